"""Upper bounds on the groups of a convolution, one kind after the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from convspec.arrays import IntArray
from convspec.bounds.spectral_norm.lower import Leading
from convspec.bounds.spectral_norm.parts import Exact, Parts, Wrap
from convspec.operators.reduce import Reduction
from convspec.rounding import down, up
from convspec.run.budget import Budget
from convspec.tori.relation import Relation

__all__ = ["Search", "best_relation"]


@dataclass
class Search:
    """The least upper bounds so far on the norm of each group of B.

    Attributes:
        reduced: The operator; B is what is left of it without the axes that factor out.
        target: What to prove.
        budget: What it may spend.
        upper: Bounds, (groups,).
        used: What each comes from, in words.
    """

    reduced: Reduction
    target: float
    budget: Budget
    upper: Tensor
    used: list[str]

    @classmethod
    def of(cls, reduced: Reduction, lower: float, rtol: float, budget: Budget) -> Search:
        """Nothing known yet; the target is ``(1 + rtol) lower``."""
        return cls(
            reduced,
            lower * (1 + rtol) * (1 - 2.0**-48),
            budget,
            torch.full((reduced.groups,), math.inf, dtype=torch.float64),
            [""] * reduced.groups,
        )

    @property
    def open(self) -> list[int]:
        """The groups that may be above the target."""
        return torch.nonzero(self.upper > self.target).reshape(-1).tolist()

    @property
    def done(self) -> bool:
        """Whether the target is proven."""
        return not self.open

    def include(self, group: int, upper: float, words: str) -> None:
        """Take in a bound on a group."""
        if upper < float(self.upper[group]):
            self.upper[group], self.used[group] = upper, words

    def include_open(self, upper: float, words: str) -> None:
        """Take in a bound on all groups that may be above the target."""
        for group in self.open:
            self.include(group, upper, words)

    def fits(self, parts: Parts) -> bool:
        """Whether the band of these parts is within the byte limit."""
        return (
            not parts.exact or parts.layout.bytes(parts.is_complex) <= self.budget.bytes
        )

    def affords(self, parts: Parts, share: float = 1.0) -> bool:
        """Whether testing this for the open groups is within what is left."""
        return self.fits(parts) and parts.flops(len(self.open)) <= self.budget.part(share)

    def exact(self) -> Parts:
        """The operator with no axis wrapped: A itself."""
        return self.parts([Exact(r.source, len(r.pixels)) for r in self.reduced.kept])

    def parts(self, axes: Sequence[Wrap | Exact]) -> Parts:
        """The operator with some axes wrapped onto tori."""
        reduced = self.reduced
        return Parts.of(reduced.weight, reduced.groups, axes, self.budget.bytes)

    def run(self, parts: Parts, words: str, caps: Tensor | None = None) -> Tensor:
        """Test the parts of all open groups.

        Args:
            parts: What to test.
            words: What to call it.
            caps: Bounds known at the frequencies, (groups, j).

        Returns:
            Bounds at the frequencies, (groups, j).
        """
        if caps is None:
            shape = self.reduced.groups, len(parts.index)
            caps = torch.full(shape, math.inf, dtype=torch.float64)
        found = caps.clone()
        goal = down(self.target / parts.factor)
        for group in self.open:
            found[group] = parts.norms(group, goal, caps[group])
            tested = int((caps[group] > goal).sum())
            self.budget.spend(parts.flops() * tested / len(parts.index))
            largest = float(found[group].max())
            upper = largest if parts.square == 1 else up(largest * parts.factor)
            self.include(group, upper, words)
        return found

    def wraps(
        self, vector: Leading, kinds: Sequence[Relation], *, between: bool = True
    ) -> list[Wrap]:
        """Tori of all axes, with phases chosen for the leading vector."""
        frequencies = tuple(relation.frequencies for relation in kinds)
        strides = tuple(relation.stride for relation in kinds)
        free = tuple(relation.twisted for relation in kinds)
        turns = vector.turns(
            frequencies, strides, free, between=between, max_bytes=self.budget.bytes
        )
        return [Wrap(*pair) for pair in zip(kinds, turns, strict=True)]

    def cost(self, parts: Parts, caps: Tensor) -> float:
        """Estimated operations of testing what is not known yet; caps (groups, j)."""
        open_ = caps[self.open] > down(self.target / parts.factor)
        return parts.flops() * int(open_.sum()) / len(parts.index)

    def half_wrapped(
        self, wraps: Sequence[Wrap], full: Parts, known: Tensor, words: str
    ) -> None:
        """Leave one axis as it is, and wrap the others onto the same torus.

        What is known of the full torus excludes most of the frequencies.
        """
        kept = self.reduced.kept
        choices = []
        for count in range(1, len(kept)):
            for exact in combinations(range(len(kept)), count):
                axes = [
                    Exact(kept[j].source, len(kept[j].pixels)) if j in exact else wraps[j]
                    for j in range(len(kept))
                ]
                parts = self.parts(axes)
                left_out = math.prod(wraps[j].square for j in exact)
                caps = _caps(full, known, parts, exact, left_out)
                choices.append((self.cost(parts, caps), parts, caps))
        for cost, parts, caps in sorted(choices, key=lambda choice: choice[0]):
            if self.done or not self.fits(parts) or cost > self.budget.left:
                continue
            self.run(parts, words, caps)


def _caps(
    full: Parts, known: Tensor, parts: Parts, exact: Sequence[int], square: int
) -> Tensor:
    """What bounds on a torus say where fewer of its axes are wrapped."""
    kept = [j for j in range(len(full.grid)) if j not in exact]
    sizes = [full.grid[j] for j in kept]
    own = full.index[:, kept]
    places, where = np.unique(
        np.concatenate([_codes(own, sizes), _codes(-own, sizes)]), return_inverse=True
    )
    largest = known.new_full((len(known), len(places)), -math.inf)
    values = known.repeat(1, 2)  # (groups, 2 j)
    largest.scatter_reduce_(1, torch.as_tensor(where).expand_as(values), values, "amax")
    sought = _codes(parts.index, sizes)
    at = np.searchsorted(places, sought).clip(max=len(places) - 1)
    caps = largest[:, torch.as_tensor(at)]
    if square > 1:
        caps = caps * up(math.sqrt(square)) * (1 + 2.0**-50)
    return torch.where(torch.as_tensor(places[at] == sought), caps, math.inf)


def _codes(index: IntArray, sizes: Sequence[int]) -> IntArray:
    """One number for each place of a grid, whose indices wrap around; (j, d) -> (j,)."""
    codes = np.zeros(len(index), dtype=np.int64)
    for values, size in zip(index.T, sizes, strict=True):
        codes = codes * size + values % size
    return codes


def best_relation(kinds: dict[str, list[Relation]]) -> Relation:
    """The torus that holds an axis with the fewest repeated rows and columns."""
    found = [
        relation
        for kind in ("compression", "rows")
        for relation in kinds.get(kind, [])
        if relation.rows.kept == relation.rows.total
        and relation.columns.kept == relation.columns.total
    ]
    return min(found, key=lambda relation: Wrap(relation, Fraction(0)).square)

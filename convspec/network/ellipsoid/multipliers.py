"""Multipliers of the rules: any that are above the ellipsoid serve, some serve better.

While they are searched they are ``Lambda = (1 + margin) tau D``: D is free and positive,
and ``tau`` is the largest eigenvalue of ``D^-1/2 S D^-1/2`` over all frequencies, so that
they are feasible whatever came before. What is found is kept as plain numbers, which a
proof checks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from convspec.network.ellipsoid.group import Group
from convspec.network.ellipsoid.spread import Spread
from convspec.network.norms import Norms

__all__ = ["Multipliers"]

# of a multiplier above the ellipsoid, at least; and of one that is proven
LEAST_MARGIN, TIGHT_MARGIN = 1e-3, 1e-6
# taken for a covariance of 0
LEAST_TOP = 1e-100
# what D is of the largest variance of a channel, at least
LEAST_SHARE = 1e-6
# channels up to which eigenvalues are found by decomposition
SMALL = 48
# power steps at all frequencies from scratch, and more at one in so many of them
FRESH, POWER_STEPS, SELECTED, LEAST_SELECTED = 6, 12, 12, 64


@dataclass
class Multipliers:
    """The numbers that the rules take, by the place of their node.

    Attributes:
        norms: Of linear maps of which only the norm is used.
        weights: ``log D``; (c,).
        margins: Logarithm of the margin beyond the least one.
        shares: Logarithm of t relative to what balances the parts.
        lifts: Factors by which multipliers were raised, since they did not serve.
        found: What was taken at the last run: Lambda, or D, and its exponent.
        taken: Likewise, t.
        fixed: Whether these are taken again, as they are.
        tilt: The power of a channel's variance that D is before the search.
        may_rise: Whether fixed ones may be raised where a proof refuses them.
    """

    norms: Norms
    weights: dict[int, Tensor] = field(default_factory=dict)
    margins: dict[int, Tensor] = field(default_factory=dict)
    shares: dict[tuple[int, int], Tensor] = field(default_factory=dict)
    found: dict[int, tuple[Tensor, int]] = field(default_factory=dict)
    taken: dict[tuple[int, int], float] = field(default_factory=dict)
    fixed: bool = False
    tilt: float = 0.0
    may_rise: bool = True
    lifts: dict[int, float] = field(default_factory=dict)
    _tops: dict[int, Tensor] = field(default_factory=dict)

    @property
    def searched(self) -> list[Tensor]:
        """All that a search may move."""
        every = (self.weights, self.margins, self.shares)
        return [x for some in every for x in some.values() if x.requires_grad]

    def as_fixed(self) -> Multipliers:
        """What was taken at the last run, to be taken as it is."""
        return Multipliers(
            self.norms, found=dict(self.found), taken=dict(self.taken), fixed=True
        )

    def copied(self) -> Multipliers:
        """The numbers as they are now, from which a search may go on."""
        return Multipliers(
            self.norms,
            {place: _copy(each) for place, each in self.weights.items()},
            {place: _copy(each) for place, each in self.margins.items()},
            {place: _copy(each) for place, each in self.shares.items()},
        )

    def take(self, other: Multipliers) -> None:
        """Go back to the numbers of a copy."""
        with torch.no_grad():
            for mine, others in (
                (self.weights, other.weights),
                (self.margins, other.margins),
            ):
                for place, each in others.items():
                    mine[place].copy_(each)
            for key, share in other.shares.items():
                self.shares[key].copy_(share)
        self._tops.clear()

    def start_again(self) -> None:
        """Forget vectors of another torus."""
        self._tops.clear()

    def raise_above(
        self, place: int, spread: Spread, multiplier: Tensor, more: float
    ) -> None:
        """Take more at a node, for good.

        Args:
            place: Of the node.
            spread: The covariance.
            multiplier: What did not serve.
            more: By which share more than the covariance asks.
        """
        if not self.fixed:
            self.lifts[place] = self.lifts.get(place, 1.0) * (1 + more)
            return
        top = float(self._top(place, spread, multiplier))
        known, exponent = self.found[place]
        self.found[place] = known * max(1.0, top) * (1 + more), exponent

    def above(
        self,
        place: int,
        spread: Spread,
        exponent: int,
        *,
        even: bool = False,
        tight: bool = False,
    ) -> Tensor:
        """Lambda of a node, above a covariance at every frequency; (c,).

        Args:
            place: Of the node.
            spread: The covariance of what it reads.
            exponent: Of its scale.
            even: Whether all channels have one number.
            tight: Whether it need not be strictly above.
        """
        if self.fixed:
            known, own = self.found[place]
            return known * 2.0 ** (own - exponent)
        if place not in self.weights:
            self.weights[place] = self._begun(spread, even).requires_grad_(not even)
            if not tight:
                one = torch.zeros((), dtype=torch.float64, device="cpu")
                self.margins[place] = one.requires_grad_()
        D = self.weights[place].exp()
        # of what is constant 0, for which any positive number serves
        tau = self._top(place, spread, D).clamp(min=LEAST_TOP)
        margin = 0.0 if tight else self.margins[place].exp()
        least = TIGHT_MARGIN if tight else LEAST_MARGIN
        multiplier = (1 + least + margin) * tau * D * self.lifts.get(place, 1.0)
        self.found[place] = multiplier.detach(), exponent
        return multiplier

    def _begun(self, spread: Spread, even: bool) -> Tensor:
        """``log D`` before the search; (c,)."""
        if even or not self.tilt:
            return torch.zeros(spread.width, dtype=torch.float64, device="cpu")
        with torch.no_grad():
            variances = spread.variances()
            most = float(variances.max()) + LEAST_TOP
            return self.tilt * (variances / most).clamp(min=LEAST_SHARE).log()

    def beside(self, place: int, variance: Tensor, exponent: int) -> Tensor:
        """D of a transposed convolution, by default the variance of its channels; (c,).

        Args:
            place: Of the node.
            variance: The mean over frequencies; (c,).
            exponent: Of its scale.
        """
        if self.fixed:
            known, own = self.found[place]
            return known * 2.0 ** (own - exponent)
        if place not in self.weights:
            self.weights[place] = torch.zeros_like(variance).requires_grad_()
        least = LEAST_SHARE * float(variance.detach().max()) + LEAST_TOP
        D = self.weights[place].exp() * variance.clamp(min=least)
        self.found[place] = D.detach(), exponent
        return D

    def share(self, at: int, step: int, first: Group, other: Group) -> Tensor:
        """T of two groups that are joined: by default what balances their sizes."""
        key = at, step
        lift = 2.0 ** (other.exponent - first.exponent)
        if self.fixed:
            return torch.tensor(self.taken[key], dtype=torch.float64, device="cpu")
        if key not in self.shares:
            zero = torch.zeros((), dtype=torch.float64, device="cpu")
            self.shares[key] = zero.requires_grad_()
        with torch.no_grad():
            sizes = [float(group.most.max()) for group in (first, other)]
        balanced = math.sqrt(max(sizes[1] * lift, 1e-300) / max(sizes[0], 1e-300))
        share = balanced * self.shares[key].exp()
        self.taken[key] = float(share.detach())
        return share

    def _top(self, place: int, spread: Spread, D: Tensor) -> Tensor:
        """The largest eigenvalue of ``D^-1/2 Z D^-1/2``, with its gradient."""
        root = D.rsqrt()
        with torch.no_grad():
            vector = self._vector(place, spread, root)
        turned = root * vector
        quotient = (turned.conj() * spread.times(turned)).sum(-1).real  # (F,)
        return quotient.max()

    def _vector(self, place: int, spread: Spread, root: Tensor) -> Tensor:
        """About top eigenvectors at each frequency, unit; (F, c).

        By power iteration, most of it where the first steps found the largest values.
        """
        if spread.width <= SMALL:
            scaled = root[:, None] * spread.blocks() * root
            vectors: Tensor = torch.linalg.eigh(scaled).eigenvectors[..., -1]
            return vectors
        known = self._tops.get(place)
        fresh = known is None or known.shape != spread.shape
        if known is None or fresh:
            generator = torch.Generator().manual_seed(place)
            known = torch.randn(
                spread.shape, generator=generator, dtype=torch.float64, device="cpu"
            ).to(spread.core.dtype)
        known, lengths = _powers(spread, root, known, FRESH if fresh else 1)
        count = max(LEAST_SELECTED, len(lengths) // SELECTED)
        if count < len(lengths):
            some = lengths.topk(count).indices
            known[some], _ = _powers(spread.at(some), root, known[some], POWER_STEPS)
        else:
            known, _ = _powers(spread, root, known, POWER_STEPS)
        self._tops[place] = known
        return known


def _copy(number: Tensor) -> Tensor:
    return number.detach().clone().requires_grad_(number.requires_grad)


def _powers(
    spread: Spread, root: Tensor, vectors: Tensor, steps: int
) -> tuple[Tensor, Tensor]:
    """Steps of power iteration, and the lengths of the last; (F, c) and (F,)."""
    lengths = torch.ones(len(vectors), dtype=torch.float64, device="cpu")
    for _ in range(steps):
        vectors = root * spread.times(root * vectors)
        lengths = torch.linalg.vector_norm(vectors, dim=-1)
        vectors = vectors / lengths.clamp(min=1e-300)[:, None]
    return vectors, lengths

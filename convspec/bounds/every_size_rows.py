"""Upper bounds at every input size, of a kernel and of its output channels apart.

Let the output channels fall into blocks, A_B the rows of A of block B. Then
``A^H A = sum_B A_B^H A_B`` and

    ||A||^2 <= sum_B ||A_B||^2,

at each size and so for the suprema over all sizes. A block whose kernel is zero beyond
some taps reads less padding than the layer, often none along an axis, and repeats fewer
pixels: see :class:`convspec.tori.tap_range.TapRange`. That outweighs the sum where each
block differs along an axis of its own, as in a gradient.

With groups A is a direct sum, the blocks are taken within each of them, and the largest
group of each block serves.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from convspec.frequency.search.branch_and_bound import SearchBudget
from convspec.frequency.search.extremes import Extreme, enclose_largest
from convspec.operators.axis import Axis
from convspec.operators.half_ring import half_ring
from convspec.operators.operator import ConvOperator
from convspec.operators.reads import Reads
from convspec.operators.symbol import Symbol
from convspec.quantity.enclosure import Enclosure
from convspec.rounding.directed import square_root, up
from convspec.rounding.scaling import root
from convspec.tori.every_size import Repeats, enlarged, ways
from convspec.tori.tap_range import TapRange, at_tap_ranges, tap_ranges

__all__ = ["KernelRows", "Upper", "in_quadrature", "least_upper"]

# of more kinds of output channels the sum is no use
MOST_BLOCKS = 8


@dataclass(frozen=True)
class Upper:
    """A bound on the norm at every size.

    Attributes:
        upper: The bound, rounded up.
        value: The same as computed, differentiable.
        words: How it differs from the supremum of the symbol; empty if it does not.
        gap: The relative gap that the search for the supremum left.
        strided: Along which axes the symbol is that with stride.
        frequency: Where that symbol was found largest.
    """

    upper: float
    value: Tensor
    words: str
    gap: float
    strided: tuple[bool, ...] = ()
    frequency: tuple[float, ...] = ()


@dataclass(frozen=True)
class KernelRows:
    """The kernel of some output channels, those of others being zero.

    Attributes:
        weight: (C_out, C_in / groups, *kernel), at the taps of the ranges.
        groups: Number of groups.
        ranges: The taps that are not zero, per axis.
        mirrored: The axes whose padding mirrors as the kernel does: at every size their
            values are those of the symbol (:mod:`convspec.operators.half_ring`).
    """

    weight: Tensor
    groups: int
    ranges: tuple[TapRange, ...]
    mirrored: frozenset[int]

    @classmethod
    def of(cls, weight: Tensor, groups: int, axes: Sequence[Axis]) -> KernelRows:
        """The rows of a weight that are not zero."""
        ranges = tap_ranges(weight, axes)
        mirrored = frozenset(
            j for j, taps in enumerate(ranges) if _is_mirrored(weight, j, taps)
        )
        return cls(at_tap_ranges(weight, ranges), groups, ranges, mirrored)

    @classmethod
    def blocks(cls, op: ConvOperator, max_bytes: float) -> list[KernelRows]:
        """The output channels by the taps that they use; none if all use the same.

        Nor are there any if copies of the weight, one for each block, are too large.
        """
        axes = op.geometry.axes
        found: dict[tuple[tuple[int, int], ...], list[int]] = {}
        for channel, rows in enumerate(op.weight.detach()):
            if bool((rows != 0).any()):
                ranges = tap_ranges(rows[None], axes)
                key = tuple((taps.first, taps.last) for taps in ranges)
                found.setdefault(key, []).append(channel)
        copies = len(found) * op.weight.numel() * op.weight.element_size()
        if not 1 < len(found) <= MOST_BLOCKS or copies > max_bytes:
            return []
        return [
            cls.of(_only(op.weight, channels), op.groups, axes)
            for channels in found.values()
        ]

    def symbol(self, strided: Sequence[bool]) -> Symbol:
        """The symbol with the stride of some axes."""
        phases = [
            taps.axis.phases if keep else 1
            for taps, keep in zip(self.ranges, strided, strict=True)
        ]
        return Symbol.of_kernel(self.weight, self.groups, phases)

    def settings(self, divisible: bool) -> list[tuple[Repeats, ...]]:
        """Every combination of ways to count repeats, those on circles first."""
        each = [
            [Repeats()] if j in self.mirrored else ways(taps, divisible)
            for j, taps in enumerate(self.ranges)
        ]
        return list(product(*each))


def least_upper(
    rows: KernelRows,
    exact: Extreme,
    divisible: bool,
    rtol: float,
    budget: SearchBudget,
) -> Upper:
    """The least bound of the ways to count repeats.

    Args:
        rows: The kernel.
        exact: The supremum of its symbol with stride.
        divisible: Whether only sizes are meant that the stride divides.
        rtol: Relative gap of a supremum to stop at.
        budget: For symbols without stride along some axes.
    """
    return _least(_by_repeats(rows, exact, divisible, rtol, budget))


def in_quadrature(parts: Sequence[Upper]) -> Upper:
    """The root of the sum of squares, a bound on rows of which these bound the parts."""
    top = max(part.upper for part in parts)
    total = 0.0
    for part in parts:
        share = up(part.upper / top) if 0 < top < math.inf else 1.0
        total = up(total + up(share * share))
    value = root(torch.stack([part.value.square() for part in parts]).sum())
    words = [f"upper end of {len(parts)} blocks of output channels, squares added"]
    words += list(dict.fromkeys(part.words for part in parts if part.words))
    gap = max(part.gap for part in parts)
    upper = up(top * up(math.sqrt(total))) if top > 0 else 0.0
    return Upper(upper, value, ", ".join(words), gap)


def _by_repeats(
    rows: KernelRows,
    exact: Extreme,
    divisible: bool,
    rtol: float,
    budget: SearchBudget,
) -> Iterator[Upper]:
    """Bounds of the settings that can be the least."""
    settings = rows.settings(divisible)
    fewest = min(_count(way) for way in settings if all(r.with_stride for r in way))
    for setting in settings:
        strided = tuple(repeat.with_stride for repeat in setting)
        factor = square_root(_count(setting))
        if all(strided):
            found = exact
        elif _count(setting) >= fewest:  # without stride the supremum is no less
            continue
        else:
            found = enclose_largest(rows.symbol(strided), rtol, budget)
        upper = found.upper if factor == 1 else up(found.upper * factor)
        yield Upper(
            upper if found.upper > 0 else 0.0,
            found.value * factor,
            enlarged(setting),
            Enclosure(found.lower, found.upper).gap,
            strided,
            found.frequency,
        )


def _count(setting: Sequence[Repeats]) -> int:
    """How often rows and pixels are repeated in all."""
    return math.prod(repeat.count for repeat in setting)


def _least(bounds: Iterable[Upper]) -> Upper:
    """The bound that is least; of equal ones the first."""
    return min(bounds, key=lambda bound: bound.upper)


def _is_mirrored(weight: Tensor, j: int, taps: TapRange) -> bool:
    """Whether the padding of an axis mirrors as the kernel does, exactly.

    That is so at one size if it is at another, as long as that has pixels enough.
    """
    if taps.axis.mode not in ("symmetric", "replicate") or not taps.pads:
        return False
    read = Reads.of(taps.of_size(taps.least + taps.axis.extent + 1))
    there = torch.as_tensor(read.taps, device=weight.device)
    half = half_ring(read, weight.index_select(2 + j, there), 2 + j)
    return half is not None and half.distance == 0


def _only(weight: Tensor, channels: Sequence[int]) -> Tensor:
    """The weight with zeros in the place of all other output channels."""
    kept = torch.zeros(len(weight), dtype=torch.bool, device=weight.device)
    kept[list(channels)] = True
    kept = kept.reshape(-1, *[1] * (weight.ndim - 1))
    return torch.where(kept, weight, torch.zeros_like(weight))

"""The first cover of a search: of the reach that leaves the least to do, by a sample.

Cells that are too large all fail, and cost their tests before they are split; cells that
are too small are more than it takes. A sample of the values at centres tells about which
share of the cells of any reach would fail. Nothing here is part of a proof.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from convspec.frequency.search.cells import MANY_CELLS, Cells
from convspec.frequency.search.rule import Rule

__all__ = ["first_cover", "sample"]

# rho of the sample's cells, larger where that makes many, and how many are looked at
SAMPLE_REACHES = {1: (0.4, 0.75, 1.5), 2: (0.55, 0.8, 1.5), 3: (1.2, 1.5)}
SAMPLE = 2**14
# candidates: reaches down from the sample's, so many for each factor of 2
OCTAVE, REACHES = 4, 56
# what the look at a cell that fails costs, in tests, and what a level costs beside them
LOOK, LEVEL = 1.0, 8.0
# of the cells that a sample of m frequencies does not show: 1 / m would be one of them
UNSEEN = 0.5


def sample(groups: int, degrees: tuple[float, ...], real: bool) -> Cells:
    """Cells all over the torus, whose centres tell what to expect."""
    cells = Cells.cover(groups, degrees, real, SAMPLE_REACHES[len(degrees)])
    return cells.take(slice(None, None, -(-len(cells) // SAMPLE)))


def first_cover(
    some: Cells,
    groups: int,
    squares: Tensor,
    rule: Rule,
    peak: float,
    bend: float,
    allows: Callable[[int], bool],
) -> Cells:
    """The cover from which a search is expected to take the fewest tests.

    Args:
        some: Where the sample was taken.
        groups: Number of groups.
        squares: The sample: the square of the singular value at each centre.
        rule: What is to be proven.
        peak: The most extreme square known.
        bend: Of the sample's cells, see ``Gram.bend``; the largest.
        allows: Whether the budget allows so many tests; the cover of the sample's reach
            is tried even if it does not.
    """
    dim = len(some.degrees)
    reaches = [some.reach * 2 ** (-step / OCTAVE) for step in range(REACHES)]
    bends = [bend * (reach / some.reach) ** 2 for reach in reaches]
    shares = _shares(reaches, bends, squares, rule, peak, dim)
    sizes: list[int] = []
    for reach in reaches:
        size = groups * Cells.count(some.degrees, some.real, reach)
        if sizes and (size > MANY_CELLS or not allows(size)):
            break
        sizes.append(size)
    later = [0.0] * (len(reaches) + OCTAVE)  # what the parts of cells that fail cost
    for step in reversed(range(len(reaches))):
        cells = sizes[0] * 2 ** (dim * step / OCTAVE)
        if shares[step] > 0:
            parts = (2**dim + LOOK) * cells * shares[step]
            later[step] = LEVEL + parts + later[step + OCTAVE]
    costs = [size + later[step] for step, size in enumerate(sizes)]
    best = min(range(len(costs)), key=costs.__getitem__)
    return Cells.cover(groups, some.degrees, some.real, reaches[best : best + 1])


def _shares(
    reaches: list[float],
    bends: list[float],
    squares: Tensor,
    rule: Rule,
    peak: float,
    dim: int,
) -> list[float]:
    """About which share of the cells of each reach fails its test.

    Beyond what the sample shows, the frequencies that fail lie around a maximum: their
    volume goes with the reach to the power d, until the maximum itself passes.
    """
    shares = [0.0] * len(reaches)
    last = 0.0  # the largest reach at which the sample does not show any
    top = torch.tensor([peak], dtype=torch.float64)
    for step, (reach, bend) in enumerate(zip(reaches, bends, strict=True)):
        shares[step] = float(rule.fails(squares, reach, bend).double().mean())
        if shares[step] == 0.0:
            if not rule.fails(top, reach, bend):
                break
            last = last or reach
            shares[step] = UNSEEN / len(squares) * (reach / last) ** dim
    return shares

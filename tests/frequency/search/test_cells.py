"""Cells cover the torus, at every level, with the reach they claim."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from convspec.frequency.search.cells import Cells

DEGREES = [(1.0,), (0.5,), (7.5,), (1.0, 1.0), (0.5, 2.0), (1.0, 1.5, 0.5)]


def distances(cells: Cells, points: torch.Tensor) -> torch.Tensor:
    """From each point to the nearest centre, or mirrored centre, in cell sizes."""
    signs = (1, -1) if cells.real else (1,)
    best = torch.full((len(points),), math.inf, dtype=torch.float64)
    for sign in signs:
        gap = sign * points[:, None, :] - cells.centres
        gap = (gap - gap.round()).abs() / torch.tensor(cells.spans)
        diamond = gap[..., :2].sum(-1)
        interval = torch.cat([gap[..., 2:], 0 * gap[..., :1]], -1).amax(-1)
        best = torch.minimum(best, torch.maximum(diamond, interval).amin(1))
    return best


@pytest.mark.parametrize("real", [True, False], ids=["real", "complex"])
@pytest.mark.parametrize("degrees", DEGREES, ids=str)
def test_cells_cover_the_torus(degrees: tuple[float, ...], real: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(300, len(degrees), generator=generator, dtype=torch.float64)
    cells = Cells.cover(1, degrees, real)
    for _ in range(3):
        assert float(distances(cells, points).max()) <= 1
        assert (cells.centres * 2**32 == (cells.centres * 2**32).round()).all()
        # rho of the corners of a cell
        steps = [2 * math.pi * n * s for n, s in zip(degrees, cells.spans, strict=True)]
        reach = max(steps[:2]) + sum(steps[2:])
        assert reach <= cells.reach <= reach * (1 + 1e-6)
        smaller = cells.split()
        # spans are multiples of 2^-32
        assert smaller.reach == pytest.approx(cells.reach / 2, rel=1e-6)
        assert smaller.reach >= cells.reach / 2
        cells = smaller


@pytest.mark.parametrize("real", [True, False], ids=["real", "complex"])
def test_parts_cover_the_whole(real: bool) -> None:
    """Of single cells: what is split is all there, for each group."""
    cells = Cells.cover(2, (1.0, 1.5), real)
    some = cells.take(torch.tensor([0, 5, len(cells) - 1]))
    assert some.groups.tolist() == [0, 0, 1]
    parts = some.split()
    generator = torch.Generator().manual_seed(1)
    for group, centre in zip(some.groups, some.centres, strict=True):
        offset = torch.rand(200, 2, generator=generator, dtype=torch.float64) * 2 - 1
        inside = offset.abs().sum(1) <= 1
        points = centre + offset[inside] * torch.tensor(some.spans)
        mine = parts.take(parts.groups == group)
        assert float(distances(mine, points).max()) <= 1 + 1e-12


def test_cells_of_many_groups_are_coarser() -> None:
    few, many = Cells.cover(1, (1.0, 1.0), True), Cells.cover(2000, (1.0, 1.0), True)
    assert few.reach < many.reach < math.pi / 2
    assert many.groups.unique().tolist() == list(range(2000))


REACHES = [1.4, 0.5236, 0.31, 0.131, 0.07]


@pytest.mark.parametrize("reach", REACHES)
@pytest.mark.parametrize("real", [True, False], ids=["real", "complex"])
@pytest.mark.parametrize("degrees", DEGREES, ids=str)
def test_covers_of_any_reach(
    degrees: tuple[float, ...], real: bool, reach: float
) -> None:
    """With counts that are no powers of two, centres and spans are rounded."""
    if len(degrees) == 3 and reach < 0.3:
        reach *= 4
    cells = Cells.cover(1, degrees, real, (reach,))
    assert cells.reach <= reach * (1 + 1e-6)
    count = Cells.count(degrees, real, reach)
    assert abs(len(cells) - count) <= 4
    generator = torch.Generator().manual_seed(2)
    points = torch.rand(60, len(degrees), generator=generator, dtype=torch.float64)
    assert float(distances(cells, points).max()) <= 1
    for numbers in (cells.centres, torch.tensor(cells.spans)):
        assert (numbers * 2**32 == (numbers * 2**32).round()).all()


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 3),
    st.floats(0.15, 1.5),
    st.lists(st.sampled_from([0.5, 1.0, 1.5, 2.0, 3.5]), min_size=3, max_size=3),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_covers_hold_every_point(
    dim: int, reach: float, degrees: list[float], real: bool, seed: int
) -> None:
    cells = Cells.cover(1, degrees[:dim], real, (reach if dim < 3 else 1.5,))
    generator = torch.Generator().manual_seed(seed)
    points = torch.rand(20, dim, generator=generator, dtype=torch.float64)
    assert bool(cells.hold(points, 0.0).all())


@pytest.mark.parametrize("degrees", DEGREES, ids=str)
def test_parts_hold_a_point_down_to_the_smallest(degrees: tuple[float, ...]) -> None:
    """Odd spans halve to the next multiple of 2^-32, and no point is lost by that."""
    generator = torch.Generator().manual_seed(3)
    point = torch.rand(1, len(degrees), generator=generator, dtype=torch.float64)
    cells, levels = Cells.cover(1, degrees, False, (1.1,)), 0
    while cells.divisible:
        held = [cells.take(slice(i, i + 1)) for i in range(len(cells))]
        cells = Cells.joined([one for one in held if one.hold(point, 0.0)])
        assert len(cells) >= 1
        cells, levels = cells.split(), levels + 1
    assert bool(cells.hold(point, 0.0))
    assert 20 < levels < 34


def test_joined_cells_are_in_the_order_of_their_groups() -> None:
    cells = Cells.cover(3, (1.0, 1.0), True)
    odd = torch.arange(len(cells)) % 2 == 1
    joined = Cells.joined([cells.take(odd), cells.take(~odd)])
    assert (joined.groups == cells.groups).all()
    assert len(torch.unique(joined.centres[joined.groups == 1], dim=0)) == len(cells) // 3


def brute(cells: Cells, turns: torch.Tensor, slack: float) -> torch.Tensor:
    """Which points lie in a cell, from all distances, images by rounding."""
    spans = torch.tensor(cells.spans, dtype=torch.float64)
    held = torch.zeros(len(turns), dtype=torch.bool)
    for sign in (1, -1) if cells.real else (1,):
        gaps = sign * turns[:, None] - cells.centres
        shares = (gaps - gaps.round()).abs() / spans
        most = torch.maximum(shares[..., :2].sum(-1), shares[..., 2:].sum(-1))
        held |= (most <= 1 + slack).any(-1)
    return held


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from([0.5, 1.0, 1.5, 2.0, 3.5]), min_size=1, max_size=3),
    st.booleans(),
    st.integers(0, 2),
    st.integers(0, 2**32 - 1),
)
def test_points_are_held_as_distances_say(
    degrees: list[float], real: bool, splits: int, seed: int
) -> None:
    """Of some cells that are left: at the ends of the turn, and outside of it, too."""
    generator = torch.Generator().manual_seed(seed)
    cells = Cells.cover(1, degrees, real, (1.5,))
    for _ in range(splits):
        kept = torch.rand(len(cells), generator=generator, dtype=torch.float64) < 0.3
        cells = cells.take(kept).split()
    shape = 200, len(degrees)
    points = 3 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1
    points[:20] = (8 * points[:20]).round() / 8
    assert (cells.hold(points, 1e-6) == brute(cells, points, 1e-6)).all()


def test_no_cell_holds_anything() -> None:
    cells = Cells.cover(1, (1.0, 1.0), True).take(slice(0))
    assert not cells.hold(torch.zeros(3, 2, dtype=torch.float64), 0.0).any()

"""What an axis reads: against loops over taps and outputs, and in examples by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import product
from random import Random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import convspec as cs
from convspec.operators.conv_arguments import ConvArguments
from convspec.operators.geometry import Axis, ConvGeometry
from convspec.operators.kernel import ScaledKernel
from convspec.operators.reads import Reads, at_live_taps
from convspec.spectrum.fourier.frequencies import fourier_obstacle
from tests import geometries, oracles
from tests.cases import Case


def axis(
    kernel: int, size: int, pads: tuple[int, int] = (0, 0), **given: int | str
) -> Axis:
    """An axis as a convolution has it."""
    mode = str(given.pop("mode", "zeros"))
    arguments = ConvArguments(padding=(pads,), padding_mode=mode, **given)  # type: ignore[arg-type]
    return ConvGeometry.of((1, 1, kernel), size, arguments).axes[0]


# -- some axes ------------------------------------------------------------------------


def test_everything_is_read() -> None:
    read = Reads.of(axis(3, 5, (1, 1)))
    assert read.taps.tolist() == [0, 1, 2]
    assert read.pixels.tolist() == [0, 1, 2, 3, 4]
    assert read.source.tolist() == [[-1, 0, 1, 2, 3], [0, 1, 2, 3, 4], [1, 2, 3, 4, -1]]
    assert read.counts.tolist() == [2, 3, 3, 3, 2]
    assert (read.outputs, read.single, read.cyclic) == (5, False, False)
    assert read.live is read


@pytest.mark.parametrize("mode", ["zeros", "circular", "replicate"])
def test_one_pixel(mode: str) -> None:
    """With zeros the outer taps are dead; else all three read the only pixel."""
    read = Reads.of(axis(3, 1, (1, 1), mode=mode))
    assert read.taps.tolist() == ([1] if mode == "zeros" else [0, 1, 2])
    assert read.single == (mode == "zeros")
    assert read.cyclic
    assert read.pixels.tolist() == [0]


def test_dead_taps_in_wide_padding() -> None:
    """Two outputs, from -4 and from -2: taps 0 and 1 reach none of the three pixels."""
    read = Reads.of(axis(5, 3, (4, 0), stride=2))
    assert read.taps.tolist() == [2, 3, 4]
    assert read.source.tolist() == [[-1, 0], [-1, 1], [0, 2]]
    assert read.lags.tolist() == [-2, -1, 0]


def test_dead_taps_inside_of_the_kernel() -> None:
    """One pixel, stride 2, padding 4: of five taps the even ones read it."""
    read = Reads.of(axis(5, 1, (4, 4), stride=2))
    assert read.taps.tolist() == [0, 2, 4]
    assert read.reach == 5
    assert read.source.tolist() == [[-1, -1, 0], [-1, 0, -1], [0, -1, -1]]


def test_outputs_that_read_zeros_only() -> None:
    """Padding 3 on either side of two pixels: the first and the last of six outputs."""
    read = Reads.of(axis(3, 2, (3, 3)))
    assert read.outputs == 6
    assert read.live.rows.tolist() == [1, 2, 3, 4]
    assert read.live.source.tolist() == [[-1, -1, 0, 1], [-1, 0, 1, -1], [0, 1, -1, -1]]


def test_axis_that_reads_nothing() -> None:
    """Both taps beside the only pixel: one of each is kept, read by no output."""
    read = Reads.of(axis(2, 1, (1, 1), dilation=2))
    assert read.source.tolist() == [[-1]]
    assert read.counts.tolist() == [0]
    assert read.single


def test_unread_pixels_are_dropped() -> None:
    """Stride 3, kernel 2, 10 pixels: pixels 2, 5, 8 and 9 are never read."""
    read = Reads.of(axis(2, 10, stride=3))
    assert read.pixels.tolist() == [0, 1, 3, 4, 6, 7]
    assert read.source.tolist() == [[0, 2, 4], [1, 3, 5]]
    assert read.counts.tolist() == [1] * 6
    assert read.cyclic
    assert read.pixels_per_output == 2


def test_counts_with_repeated_reads() -> None:
    """A 1x1 kernel over replicate padding reads the two ends three times each."""
    read = Reads.of(axis(1, 4, (2, 2), mode="replicate"))
    assert read.single
    assert read.counts.tolist() == [3, 1, 1, 3]
    assert not read.cyclic


def test_overlap_of_what_is_left() -> None:
    """[t, u]: in how many outputs taps t and u read one pixel."""
    read = Reads.of(axis(3, 3, (2, 0), mode="replicate"))
    assert read.source.tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 2]]
    assert read.overlap.tolist() == [[3, 2, 1], [2, 3, 1], [1, 1, 3]]


CYCLES = {
    "circular": (axis(3, 5, (1, 1), mode="circular"), 1),
    "circular-one-sided": (axis(3, 5, (2, 0), mode="circular"), 1),
    "circular-stride": (axis(3, 6, (1, 0), mode="circular", stride=2), 2),
    "circular-folded": (axis(7, 3, (3, 3), mode="circular"), 1),
    "patches": (axis(4, 8, stride=4), 4),
    "patches-with-gaps": (axis(2, 9, stride=4), 2),
    "one-output": (axis(4, 4), 4),
    "one-pixel": (axis(1, 1), 1),
}


@pytest.mark.parametrize("name", CYCLES)
def test_cyclic(name: str) -> None:
    line, stride = CYCLES[name]
    read = Reads.of(line)
    assert read.cyclic
    assert read.pixels_per_output == stride
    assert read.outputs * stride == len(read.pixels)


@pytest.mark.parametrize(
    "line",
    [
        axis(3, 5, (1, 1)),
        axis(3, 5),
        axis(3, 5, (1, 1), mode="reflect"),
        axis(3, 5, (1, 1), mode="replicate"),
        axis(3, 5, (1, 0), mode="circular"),
        axis(3, 5, (2, 2), mode="circular"),
        axis(3, 5, (1, 1), mode="circular", stride=2),
        axis(2, 3, (2, 3), mode="circular"),
    ],
    ids=[
        "zeros",
        "valid",
        "reflect",
        "replicate",
        "partial",
        "excess",
        "stride-remainder",
        "twice-around",
    ],
)
def test_not_cyclic(line: Axis) -> None:
    read = Reads.of(line)
    assert not read.cyclic
    assert not read.single
    assert fourier_obstacle(ConvGeometry(1, 1, 1, (line,))) is not None


def test_obstacle_is_that_of_the_first_bad_axis() -> None:
    good, bad = axis(3, 6, (1, 1), mode="circular"), axis(3, 6, (2, 1), mode="circular")
    assert fourier_obstacle(ConvGeometry(1, 1, 1, (good, good))) is None
    obstacle = fourier_obstacle(ConvGeometry(1, 1, 1, (good, bad, bad)))
    assert obstacle is not None
    assert obstacle.startswith("axis 1 has 7 outputs for 6 pixels")


# -- any axis -------------------------------------------------------------------------


def looped(axis: Axis, taps: Iterable[int], rows: Iterable[int]) -> list[list[int]]:
    """The pixel that each of the taps of each of the outputs reads, -1 for a zero."""
    shown = [
        [
            oracles.shown_pixel(
                axis.stride * o + axis.dilation * t - axis.before, axis.size, axis.mode
            )
            for o in rows
        ]
        for t in taps
    ]
    return [[-1 if pixel is None else pixel for pixel in line] for line in shown]


def assert_described(read: Reads, pixels: list[int]) -> None:
    """Every fact about the taps, outputs and pixels left, against loops."""
    axis = read.axis
    table = looped(axis, read.taps.tolist(), read.rows.tolist())
    table = [[pixel if pixel in pixels else -1 for pixel in line] for line in table]
    assert read.shown.tolist() == table
    assert read.pixels.tolist() == pixels
    places = [[pixels.index(p) if p >= 0 else -1 for p in line] for line in table]
    assert read.source.tolist() == places
    counted = Counter(pixel for line in table for pixel in line)
    assert read.counts.tolist() == [counted[pixel] for pixel in pixels]
    assert read.overlap.tolist() == [
        [sum(p == q >= 0 for p, q in zip(t, u, strict=True)) for u in table]
        for t in table
    ]
    spots = {}
    for (t, tap), (o, row) in product(enumerate(read.taps), enumerate(read.rows)):
        spot = axis.stride * int(row) + axis.dilation * int(tap) - axis.before
        assert read.coordinates[t, o] == spot
        if table[t][o] >= 0:
            spots[spot] = pixels.index(table[t][o])
    assert list(zip(*map(np.ndarray.tolist, read.used), strict=True)) == sorted(
        spots.items()
    )
    assert read.isometric == (len(spots) == len(set(spots.values())) == len(pixels))
    assert read.lags.tolist() == [axis.dilation * t - axis.before for t in read.taps]


@settings(max_examples=200)
@given(geometries.any_case(), st.randoms(use_true_random=False))
def test_reads_of_any_axis(case: Case, random: Random) -> None:
    for axis in case.operator().geometry.axes:
        table = looped(axis, range(axis.kernel), range(axis.output))
        taps = [t for t, line in enumerate(table) if max(line) >= 0]
        pixels = sorted({pixel for line in table for pixel in line} - {-1})
        read = Reads.of(axis)
        assert read.axis is axis
        assert read.taps.tolist() == (taps or [0])
        assert read.rows.tolist() == list(range(axis.output))
        assert read.single == (len(taps) <= 1)
        assert read.reach == (taps[-1] - taps[0] + 1 if taps else 1)
        rows = [o for o in range(axis.output) if max(line[o] for line in table) >= 0]
        assert read.live.rows.tolist() == rows
        if not taps:
            assert (read.source == -1).all()
            assert read.pixels.tolist() == read.counts.tolist() == [0]
            continue
        assert_described(read, pixels)
        assert_described(read.live, pixels)
        chosen = [bool(random.getrandbits(1)) for _ in pixels]
        part = read.on(np.array(chosen))
        some = [pixel for pixel, taken in zip(pixels, chosen, strict=True) if taken]
        assert part.taps.tolist() == taps
        assert part.rows.tolist() == [
            o for o in rows if any(line[o] in some for line in table)
        ]
        if some:
            assert_described(part, some)


@settings(max_examples=150)
@given(
    st.integers(1, 9),
    st.integers(1, 4),
    st.integers(1, 6),
    st.integers(1, 4),
    st.tuples(st.integers(0, 9), st.integers(0, 9)),
)
def test_dropped_taps_leave_no_gap_in_the_lags(
    kernel: int, size: int, stride: int, dilation: int, pads: tuple[int, int]
) -> None:
    """And the symbol of the taps left is that of all taps, the dead ones 0."""
    weight = torch.arange(1.0, kernel + 1, dtype=torch.float64)[None, None]
    try:
        op = cs.ConvOperator(
            weight, size, stride=stride, dilation=dilation, padding=(pads,)
        )
    except cs.GeometryError:
        return
    (line,) = op.geometry.axes
    read = Reads.of(line)
    lags = (read.taps - read.taps[0]) // line.phases
    assert sorted(set(lags.tolist())) == list(range(-(-read.reach // line.phases)))
    left = at_live_taps(weight, [read])
    assert left.flatten().tolist() == [float(t + 1) for t in read.taps]
    if not line.live.any():
        return
    kernel_left = ScaledKernel.of(op)
    whole = torch.zeros(1, 1, read.reach, dtype=torch.float64)
    whole[0, 0, read.taps - read.taps[0]] = left[0, 0]
    known = cs.Symbol.of_kernel(whole, 1, [line.phases])
    found = kernel_left.symbol([line.phases])
    assert found.lags.tolist() == known.lags.tolist()
    scaled = found.coefficients * 2.0**kernel_left.exponent
    assert torch.equal(scaled, known.coefficients)


def test_weights_at_live_taps_are_differentiable() -> None:
    """The gradient is 0 at the taps that are dropped; nothing is copied without any."""
    read = Reads.of(axis(5, 1, (4, 4), stride=2))
    weight = torch.ones(2, 3, 5, dtype=torch.float64, requires_grad=True)
    at_live_taps(weight, [read]).sum().backward()
    assert weight.grad is not None
    assert weight.grad[0, 0].tolist() == [1, 0, 1, 0, 1]
    assert at_live_taps(weight[..., :3], [Reads.of(axis(3, 5, (1, 1)))]).shape[2] == 3

"""What of a geometry is read: dead taps, unread pixels, axes that factor out, cycles."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings

import convspec as cs
from convspec.operators.geometry import Axis, ConvGeometry
from convspec.operators.reduce import ReadAxis, Reduction
from convspec.spectrum.dense import dense_groups
from convspec.spectrum.fourier.frequencies import fourier_obstacle
from tests import geometries, oracles
from tests.cases import Case

EPS = float(np.finfo(np.float64).eps)


def axis(
    kernel: int, size: int, pads: tuple[int, int] = (0, 0), **given: int | str
) -> Axis:
    """An axis as a convolution has it."""
    mode = str(given.pop("mode", "zeros"))
    geometry = ConvGeometry.of_convolution(
        (1, 1, kernel), size, padding=(pads,), padding_mode=mode, **given
    )
    return geometry.axes[0]


# -- one axis -------------------------------------------------------------------------


def test_everything_is_read() -> None:
    read = ReadAxis.of(axis(3, 5, (1, 1)))
    assert read.taps.tolist() == [0, 1, 2]
    assert read.pixels.tolist() == [0, 1, 2, 3, 4]
    assert read.source.tolist() == [[-1, 0, 1, 2, 3], [0, 1, 2, 3, 4], [1, 2, 3, 4, -1]]
    assert read.counts.tolist() == [2, 3, 3, 3, 2]
    assert (read.outputs, read.single, read.cyclic) == (5, False, False)


@pytest.mark.parametrize("mode", ["zeros", "circular", "replicate"])
def test_one_pixel(mode: str) -> None:
    """With zeros the outer taps are dead; else all three read the only pixel."""
    read = ReadAxis.of(axis(3, 1, (1, 1), mode=mode))
    assert read.taps.tolist() == ([1] if mode == "zeros" else [0, 1, 2])
    assert read.single == (mode == "zeros")
    assert read.cyclic
    assert read.pixels.tolist() == [0]


def test_dead_taps_in_wide_padding() -> None:
    """Two outputs, from -4 and from -2: taps 0 and 1 reach none of the three pixels."""
    read = ReadAxis.of(axis(5, 3, (4, 0), stride=2))
    assert read.taps.tolist() == [2, 3, 4]
    assert read.source.tolist() == [[-1, 0], [-1, 1], [0, 2]]


def test_axis_that_reads_nothing() -> None:
    """Both taps beside the only pixel: one of each is kept, read by no output."""
    read = ReadAxis.of(axis(2, 1, (1, 1), dilation=2))
    assert read.source.tolist() == [[-1]]
    assert read.counts.tolist() == [0]
    assert read.single


def test_unread_pixels_are_dropped() -> None:
    """Stride 3, kernel 2, 10 pixels: pixels 2, 5, 8 and 9 are never read."""
    read = ReadAxis.of(axis(2, 10, stride=3))
    assert read.pixels.tolist() == [0, 1, 3, 4, 6, 7]
    assert read.source.tolist() == [[0, 2, 4], [1, 3, 5]]
    assert read.counts.tolist() == [1] * 6
    assert read.cyclic
    assert read.stride == 2


def test_counts_with_repeated_reads() -> None:
    """A 1x1 kernel over replicate padding reads the two ends three times each."""
    read = ReadAxis.of(axis(1, 4, (2, 2), mode="replicate"))
    assert read.single
    assert read.counts.tolist() == [3, 1, 1, 3]
    assert not read.cyclic


def test_overlap_of_what_is_left() -> None:
    """[t, u]: in how many outputs taps t and u read one pixel."""
    read = ReadAxis.of(axis(3, 3, (2, 0), mode="replicate"))
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
    read = ReadAxis.of(line)
    assert read.cyclic
    assert read.stride == stride
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
    read = ReadAxis.of(line)
    assert not read.cyclic
    assert not read.single
    assert fourier_obstacle(ConvGeometry(1, 1, 1, (line,))) is not None


def test_obstacle_is_that_of_the_first_bad_axis() -> None:
    good, bad = axis(3, 6, (1, 1), mode="circular"), axis(3, 6, (2, 1), mode="circular")
    assert fourier_obstacle(ConvGeometry(1, 1, 1, (good, good))) is None
    obstacle = fourier_obstacle(ConvGeometry(1, 1, 1, (good, bad, bad)))
    assert obstacle is not None
    assert obstacle.startswith("axis 1 has 7 outputs for 6 pixels")


# -- the operator ---------------------------------------------------------------------


def reduction(op: cs.ConvOperator) -> Reduction:
    return Reduction.of(op)


@settings(max_examples=120)
@given(geometries.any_case())
def test_scales_times_block_values(case: Case) -> None:
    """All products, filled up with zeros, are the singular values of the matrix."""
    op = case.operator()
    reduced = reduction(op)
    assert reduced.shape == op.shape
    blocks = torch.cat([build() for build in dense_groups(reduced)])
    assert blocks.shape == (op.groups, *reduced.block_shape)
    values = np.linalg.svd(blocks.numpy(), compute_uv=False)
    products = np.multiply.outer(values.ravel(), reduced.scales)
    assert products.size <= min(op.shape)
    known = case.matrix()
    np.testing.assert_allclose(
        oracles.descending(products, min(op.shape)),
        oracles.singular_values(known),
        rtol=0,
        atol=2 * oracles.svd_tolerance(known),
    )
    found = reduced.assemble(values.ravel())
    assert np.array_equal(found, oracles.descending(products, min(op.shape)))


@settings(max_examples=60)
@given(geometries.any_case())
def test_nothing_left_over(case: Case) -> None:
    """After the reduction no kept axis is single, no tap dead and no pixel unread."""
    reduced = reduction(case.operator())
    for read in reduced.kept:
        assert len(read.taps) > 1
        assert (read.source >= 0).any(axis=1).all()
        assert (read.counts > 0).all()
    assert reduced.weight.shape[2:] == tuple(len(read.taps) for read in reduced.kept)
    rows, columns = reduced.block_shape
    c_out, c = reduced.block_channels
    assert rows == c_out * math.prod(read.outputs for read in reduced.kept)
    assert columns == c * math.prod(len(read.pixels) for read in reduced.kept)


def test_pointwise_is_one_small_block() -> None:
    """A 1x1 layer on 1000 x 1000 pixels is decomposed as its 3 x 2 kernel."""
    op = cs.ConvOperator(torch.ones(3, 2, 1, 1), 1000)
    reduced = reduction(op)
    assert reduced.block_shape == (3, 2)
    assert reduced.kept == ()
    assert reduced.scales.tolist() == [1.0] * 10**6
    assert cs.explain(op, method="dense").flops < 1000


def test_one_axis_factors_out() -> None:
    """A (1, 7) kernel over rows that stride 2 picks: dense along the columns only."""
    op = cs.ConvOperator(torch.ones(2, 3, 1, 7), (9, 8), stride=(2, 1), padding="valid")
    reduced = reduction(op)
    assert [read.single for read in reduced.axes] == [True, False]
    assert reduced.block_shape == (2 * 2, 3 * 8)
    assert reduced.scales.tolist() == [1.0] * 5


def test_scales_are_square_roots_of_counts() -> None:
    """Replicated by 1 and by 2: pixels read 2, 1, 2 and 3, 3 times on the two axes."""
    op = cs.ConvOperator(
        torch.ones(1, 1, 1, 1), (3, 2), padding=(1, 2), padding_mode="replicate"
    )
    known = np.sqrt(np.multiply.outer([2, 1, 2], [3, 3])).ravel()
    np.testing.assert_allclose(reduction(op).scales, known, rtol=2 * EPS, atol=0)


def test_error_is_that_of_the_largest_scale() -> None:
    """Exact with scales of 0 and 1; else it grows with them, and by two roundings."""
    plain = reduction(cs.ConvOperator(torch.ones(2, 2, 3), 5, padding=1))
    assert plain.error(3.0, 1e-10) == 1e-10
    dead = reduction(cs.ConvOperator(torch.ones(1, 1, 2), 1, dilation=2, padding=1))
    assert dead.error(3.0, 1e-10) == 0
    replicated = reduction(
        cs.ConvOperator(torch.ones(1, 1, 1), 2, padding=1, padding_mode="replicate")
    )
    assert replicated.error(3.0, 0.0) == pytest.approx(
        math.sqrt(2) * 2 * EPS * 3, rel=1e-12, abs=0
    )
    assert replicated.error(3.0, 1e-10) > math.sqrt(2) * 1e-10

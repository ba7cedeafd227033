"""The band of a Gram matrix: its width, its entries and what it costs, by arithmetic."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings

import convspec as cs
from convspec.bounds.spectral_norm.fill import negative_band
from convspec.bounds.spectral_norm.layout import BandLayout
from convspec.operators.conv_arguments import ConvArguments
from convspec.operators.geometry import ConvGeometry
from convspec.operators.reads import Reads
from convspec.operators.reduce import Reduction
from tests import geometries
from tests.cases import Case

GEOMETRIES = [
    {"stride": 1, "padding": 2},
    {"stride": 2, "padding": 1},
    {"stride": 3, "padding": 0},
    {"stride": 1, "padding": ((2, 0), (1, 3))},
    {"stride": 1, "padding": 2, "padding_mode": "reflect"},
    {"stride": 2, "padding": 3, "padding_mode": "replicate"},
    {"stride": 1, "padding": 3, "padding_mode": "circular"},
    {"stride": 1, "padding": 2, "dilation": 2},
]


def layout_of(reduced: Reduction) -> BandLayout:
    axes = reduced.axes
    return BandLayout.of(
        [axis.source for axis in axes],
        [len(axis.pixels) for axis in axes],
        *reduced.block_channels,
    )


def dense_gram(layout: BandLayout, taps: torch.Tensor) -> np.ndarray:
    """G on the layout's side, by a loop over taps and outputs."""
    first, *others = [axis.source for axis in layout.axes]
    sizes = [axis.size for axis in layout.axes]
    maps = list(first)
    maps = [np.eye(sizes[0] + 1)[row, :-1] for row in maps]
    for source, size in zip(others, sizes[1:], strict=True):
        inner = [np.eye(size + 1)[row, :-1] for row in source]
        maps = [np.kron(a, b) for a in maps for b in inner]
    matrix = sum(np.kron(S, K) for S, K in zip(maps, taps.numpy(), strict=True))
    left = matrix.conj().T if layout.pixels else matrix
    right = matrix if layout.pixels else matrix.conj().T
    return np.asarray(left @ right)


def unrolled(band: np.ndarray) -> np.ndarray:
    side, width = band.shape
    dense = np.zeros((side, side), dtype=band.dtype)
    for step in range(width):
        assert not band[side - step :, step].any()
        places = np.arange(side - step)
        dense[places + step, places] = band[: side - step, step]
    return dense


def agree(layout: BandLayout, seed: int, *, is_complex: bool = False) -> None:
    generator = torch.Generator().manual_seed(seed)
    rows, columns = layout.inner, layout.channels
    if not layout.pixels:
        rows, columns = columns, rows
    kind = torch.complex128 if is_complex else torch.float64
    shape = layout.taps, rows, columns
    taps = torch.rand(shape, dtype=kind, generator=generator) + 0.5  # nothing cancels
    expected = np.tril(dense_gram(layout, taps))
    found = unrolled(negative_band(layout, taps))
    rounding = 2.0**-52 * (layout.inner + layout.taps**2 + 8) * np.abs(expected).max()
    assert np.abs(found + expected).max() <= rounding
    row, column = np.nonzero(expected)
    if len(row):  # the half width is that of the pattern of channels full of entries
        blocks = np.abs(row // layout.channels - column // layout.channels)
        apart = int(blocks.max(initial=0))
        least = layout.channels * (apart + 1) - 1
        assert layout.width == min(least, layout.side - 1)
        assert int((row - column).max()) <= layout.width


@pytest.mark.parametrize("arguments", GEOMETRIES, ids=str)
@pytest.mark.parametrize("channels", [(1, 1), (2, 1), (1, 3)], ids=str)
def test_band_is_that_of_the_dense_gram_matrix(
    arguments: dict[str, object], channels: tuple[int, int]
) -> None:
    geometry = ConvGeometry.of((*channels, 3, 4), (7, 8), ConvArguments(**arguments))  # type: ignore[arg-type]
    axes = [Reads.of(axis) for axis in geometry.axes]
    layout = BandLayout.of(
        [axis.source for axis in axes], [len(axis.pixels) for axis in axes], *channels
    )
    agree(layout, 0)
    agree(layout, 1, is_complex=True)


@settings(max_examples=60)
@given(case=geometries.any_case())
def test_band_of_any_geometry(case: Case) -> None:
    op = case.operator()
    if not op.geometry.reads:  # a band of nothing is not asked for
        assert tuple(cs.spectral_norm(op)) == (0, 0)
        return
    layout = layout_of(Reduction.of(op))
    assume(layout.side <= 400)
    agree(layout, 2)


@pytest.mark.parametrize(
    ("size", "kernel", "channels"),
    [((64, 64), 9, 1), ((24, 24), 15, 1), ((12, 12), 5, 6), ((6, 6, 6), 3, 3)],
)
def test_filling_stays_within_what_the_layout_says(
    size: tuple[int, ...], kernel: int, channels: int
) -> None:
    shape = channels, channels, *[kernel] * len(size)
    geometry = ConvGeometry.of(shape, size, ConvArguments(padding=kernel // 2))
    sources = [axis.source for axis in geometry.axes]
    taps = torch.randn(kernel ** len(size), channels, channels, dtype=torch.float64)
    tracemalloc.start()
    layout = BandLayout.of(sources, size, channels, channels)
    said, flops = layout.bytes(False), layout.flops(False)
    costless = tracemalloc.get_traced_memory()[1]
    negative_band(layout, taps)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert flops > 0
    reads = sum(source.size for source in sources)
    assert costless <= 200 * reads + 2**16  # the tables of the axes, read once
    assert peak <= 1.1 * said + 2**23  # and one chunk


def test_cost_of_the_band_of_a_huge_layer_is_arithmetic() -> None:
    # 9x9 taps on 4096 x 4096 pixels: the pairs of places alone would be terabytes
    geometry = ConvGeometry.of((1, 1, 9, 9), (4096, 4096), ConvArguments(padding=4))
    layout = BandLayout.of([axis.source for axis in geometry.axes], (4096, 4096), 1, 1)
    assert layout.width == 8 * 4096 + 8
    assert layout.bytes(False) >= 2 * 8 * 4096**2 * layout.width


def test_norm_of_a_wide_box_filter() -> None:
    # separable: the square of the norm of 15 ones on a line of 96, a Toeplitz matrix
    line = np.array([[abs(i - j) <= 7 for j in range(96)] for i in range(96)]) / 15
    expected = np.linalg.norm(line, 2) ** 2
    op = cs.ConvOperator(
        torch.ones(1, 1, 15, 15, dtype=torch.float64) / 225, 96, padding=7
    )
    bound = cs.spectral_norm(op)
    assert bound.gap <= 1e-6
    assert bound.lower <= expected * (1 + 1e-13)
    assert bound.upper >= expected * (1 - 1e-13)
    assert abs(expected - 0.9818906) < 1e-7

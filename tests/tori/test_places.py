"""The supremum of a symbol and the factor by which the geometry may exceed it.

The supremum is found here by a fine grid over a symbol summed tap by tap.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings

import convspec as cs
from convspec import bounds
from convspec.frequency.grid import Grid, sampling_factor
from convspec.operators.kernel import ScaledKernel
from convspec.operators.reads import Reads
from convspec.tori.places import COUNTEREXAMPLES, Place, Setting
from convspec.tori.places import settings as settings_of
from tests import geometries, oracles
from tests.cases import Case

FINE = {1: 96, 2: 24, 3: 10}


def supremum(op: cs.ConvOperator, setting: Setting) -> float:
    """The maximum over a fine grid times the factor that makes it a bound."""
    kernel = ScaledKernel.of(op)
    dim = len(kernel.axes)
    grid = Grid.sampled(setting.lags, [FINE[dim]] * dim, real=False)
    symbol = kernel.symbol(setting.strides)
    values = [torch.linalg.matrix_norm(part, 2).max() for part in grid.blocks(symbol)]
    return float(max(values)) * grid.factor * 2.0**kernel.exponent


@settings(max_examples=50)
@given(case=geometries.any_case())
def test_every_setting_bounds_the_operator(case: Case) -> None:
    op = case.operator()
    norm = oracles.singular_values(case.matrix())[0]
    found = settings_of(ScaledKernel.of(op).axes)
    assert 1 <= len(found) <= 2 ** len(case.kernel)
    for setting in found:
        bound = setting.factor * supremum(op, setting)
        assert norm <= bound * (1 + 1e-12) + 1e-300


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_circles_have_the_values_of_the_symbol(dim: int) -> None:
    """On a circle that the padding keeps, its frequencies give the exact spectrum."""

    @settings(max_examples=15)
    @given(case=geometries.circulants(dim))
    def run(case: Case) -> None:
        op = case.operator()
        kernel = ScaledKernel.of(op)
        places = [Place.on_circle(read) for read in kernel.axes]
        setting = Setting(tuple(places))
        sizes = [place.circle or 1 for place in places]
        real = not op.dtype.is_complex
        grid = Grid.full(sizes, [place.step for place in places], real)
        blocks = torch.cat(list(grid.blocks(kernel.symbol(setting.strides))))
        values = torch.linalg.svdvals(blocks) * 2.0**kernel.exponent
        squares = (values**2).sum(dim=(1, 2)) * torch.as_tensor(grid.weights)
        known = oracles.singular_values(case.matrix())
        assert setting.multiplicity == 1
        assert float(values.max()) == pytest.approx(known[0], rel=1e-12, abs=1e-300)
        assert float(squares.sum()) == pytest.approx(
            (known**2).sum(), rel=1e-11, abs=1e-300
        )

    run()


def axis(size: int, kernel: int, **options: Any) -> Reads:
    op = cs.ConvOperator(torch.ones(1, 1, kernel), size, **options)
    return Reads.of(op.geometry.axes[0])


MULTIPLICITIES = [
    ("zeros", 5, 3, {"padding": 1}, 1),
    ("zeros-any-amount", 5, 3, {"padding": 9}, 1),
    ("reflect", 8, 3, {"padding": 1, "padding_mode": "reflect"}, 2),
    (
        "reflect-at-both-ends",
        3,
        3,
        {"padding": 1, "padding_mode": "reflect"},
        3,
    ),
    ("replicate", 8, 5, {"padding": 2, "padding_mode": "replicate"}, 3),
    ("replicate-unread", 8, 1, {"padding": 0, "padding_mode": "replicate"}, 1),
    (
        "replicate-padding-that-the-stride-skips",
        6,
        1,
        {"padding": ((2, 0),), "stride": 2, "padding_mode": "replicate"},
        2,
    ),
]


@pytest.mark.parametrize(
    ("size", "kernel", "options", "expected"),
    [row[1:] for row in MULTIPLICITIES],
    ids=[row[0] for row in MULTIPLICITIES],
)
def test_how_often_padding_shows_a_pixel(
    size: int, kernel: int, options: dict[str, Any], expected: int
) -> None:
    assert Place.on_line(axis(size, kernel, **options)).multiplicity == expected


CIRCLES = [
    # size, kernel, stride, padding, dilation; the symbol's stride, frequencies, repeats
    (6, 3, 1, 1, 1, (1, 6, 1)),
    (6, 3, 2, 1, 1, (2, 3, 1)),
    (5, 3, 2, 1, 1, (1, 5, 1)),
    (6, 2, 4, 1, 1, (2, 3, 1)),
    (6, 3, 2, 2, 2, (1, 3, 1)),
    (4, 1, 1, 4, 1, (1, 4, 3)),
]


@pytest.mark.parametrize("row", CIRCLES, ids=str)
def test_circles(row: tuple[int, int, int, int, int, tuple[int, int, int]]) -> None:
    size, kernel, stride, padding, dilation, expected = row
    place = Place.on_circle(
        axis(
            size,
            kernel,
            stride=stride,
            padding=padding,
            dilation=dilation,
            padding_mode="circular",
        )
    )
    assert (place.stride, place.circle, place.multiplicity) == expected


def test_the_factor_of_reflect_padding_is_needed() -> None:
    """The kernel [1] with replicate padding: norm sqrt(1 + p), supremum 1."""
    op = cs.ConvOperator(torch.ones(1, 1, 1), 4, padding=3, padding_mode="replicate")
    (setting,) = settings_of(ScaledKernel.of(op).axes)
    assert setting.multiplicity == 4
    assert float(torch.linalg.matrix_norm(op.to_dense(), 2)) == pytest.approx(2)


def test_the_words_say_what_was_assumed() -> None:
    weight = torch.ones(1, 1, 3, 3)
    expected = {
        "zeros": "zero padding",
        "circular": "circular padding repeats no output",
        "reflect": "reflect padding shows a pixel at up to 2 positions: times sqrt(4)",
        "replicate": "replicate padding shows a pixel at up to 2 positions: "
        "times sqrt(4)",
    }
    for mode, words in expected.items():
        op = cs.ConvOperator(weight, 8, padding=1, padding_mode=mode)
        assert [found.words for found in settings_of(ScaledKernel.of(op).axes)] == [words]


@pytest.mark.parametrize("padding", [0, 1, (2, 0), (0, 3)])
def test_a_stride_that_does_not_divide_the_circle_leaves_two_ways(padding: Any) -> None:
    """The line, with repeated pixels, and the circle of stride 1; the least is taken."""
    pads = (padding,) if isinstance(padding, tuple) else padding
    weight = torch.randn(2, 2, 5, generator=torch.Generator().manual_seed(8)).double()
    options = {"stride": 2, "padding": pads, "padding_mode": "circular"}
    op = cs.ConvOperator(weight, 7, **options)
    truth = float(torch.linalg.matrix_norm(op.to_dense(), 2))
    for setting in settings_of(ScaledKernel.of(op).axes):
        assert truth <= setting.factor * supremum(op, setting) * (1 + 1e-12)


# -- formulas of the kernel alone -----------------------------------------------------

FORMULAS = [bounds.fantastic_four, bounds.tensor_norm, bounds.gram_iteration_zero]
COUNTED = {
    # mode: taps of sum 1, pixels, padding, the norm in closed form or by a dense SVD
    "reflect": ([1 / 3] * 3, 8, 1, 1.0292689500755388),
    "replicate": ([1 / 5] * 5, 8, 2, 1.0113511112535358),
    "symmetric": ([0.5, 0.5], 8, 1, 1.154817541685588),
    "circular": ([1.0], 3, 1, math.sqrt(2)),
}


def padded(taps: list[float], size: int, padding: int, mode: str) -> oracles.Array:
    """The matrix of a kernel, one row at a time."""
    name = {"circular": "wrap", "replicate": "edge"}.get(mode, mode)
    shown = np.pad(np.eye(size), ((padding, padding), (0, 0)), mode=name)
    return np.array([taps @ row for row in windows(shown, len(taps))])


def windows(rows: oracles.Array, length: int) -> list[oracles.Array]:
    return [rows[i : i + length] for i in range(len(rows) - length + 1)]


@pytest.mark.parametrize("mode", COUNTED)
@pytest.mark.parametrize("method", FORMULAS, ids=lambda method: method.__name__)
def test_the_counterexamples_are_true(method: Any, mode: str) -> None:
    """The formula gives 1 for taps of sum 1, whose norm with this padding is larger."""
    taps, size, padding, expected = COUNTED[mode]
    known = float(np.linalg.norm(padded(taps, size, padding, mode), 2))
    assert known == pytest.approx(expected, rel=1e-14)
    assert COUNTEREXAMPLES[mode].endswith(f"has norm {known:.3f}")
    weight = torch.tensor([[taps]], dtype=torch.float64)
    assert method(cs.ConvOperator(weight, size, padding=padding)).upper < 1 + 1e-11
    op = cs.ConvOperator(weight, size, padding=padding, padding_mode=mode)
    with pytest.raises(cs.NotApplicable) as caught:
        method(op)
    assert caught.value.name == method.__name__
    for words in (
        f"{method.__name__} needs padding that shows no pixel twice",
        f"got {mode} padding, which shows a pixel at up to",
        COUNTEREXAMPLES[mode],
        "take tsuzuku, which counts overlaps exactly, or spectral_norm",
    ):
        assert words in str(caught.value)
    assert bounds.tsuzuku(op).upper >= known


@pytest.mark.parametrize("method", FORMULAS, ids=lambda method: method.__name__)
def test_padding_that_repeats_nothing_is_no_obstacle(method: Any) -> None:
    """Circular padding that keeps the size, and reflect padding that nothing reads."""
    weight = torch.randn(2, 2, 3, generator=torch.Generator().manual_seed(4)).double()
    plain = method(cs.ConvOperator(weight, 8, padding=1)).upper
    for options in (
        {"padding": 1, "padding_mode": "circular"},
        {"padding": 0, "padding_mode": "reflect"},
    ):
        found = method(cs.ConvOperator(weight, 8, **options))
        assert found.upper == pytest.approx(plain, rel=1e-9)
    skipped = {"stride": 3, "padding": ((0, 2),), "padding_mode": "replicate"}
    op = cs.ConvOperator(weight, 6, **skipped)  # the second output would end at 7
    assert not op.geometry.axes[0].reads_padding
    assert method(op).upper < math.inf


# -- the sampling factor --------------------------------------------------------------


@pytest.mark.parametrize(
    ("lags", "samples", "factor"),
    [
        (1, 1, 1.0),
        (2, 2, math.sqrt(2)),
        (2, 4, 1 / math.cos(math.pi / 8)),
        (3, 3, math.sqrt(3)),
        (3, 4, math.sqrt(2)),
        (3, 8, 1 / math.cos(math.pi / 8)),
        (5, 8, math.sqrt(2)),
        (7, 7, math.sqrt(7)),
    ],
)
def test_sampling_factor(lags: int, samples: int, factor: float) -> None:
    found = sampling_factor(lags, samples)
    assert factor * (1 - 1e-15) <= found <= factor * (1 + 1e-13)


@pytest.mark.parametrize(("lags", "samples"), [(3, 4), (3, 8), (5, 8), (2, 4)])
def test_sampling_factor_is_attained(lags: int, samples: int) -> None:
    """``cos(tau (w - w*))`` with w* halfway between two samples."""
    w = 2 * math.pi * np.arange(samples) / samples - math.pi / samples
    tau = (lags - 1) / 2
    assert 1 / np.abs(np.cos(tau * w)).max() == pytest.approx(
        sampling_factor(lags, samples), rel=1e-12
    )


def test_sampling_factor_holds_for_random_polynomials() -> None:
    rng = np.random.default_rng(9)
    for _ in range(300):
        lags = int(rng.integers(2, 8))
        samples = int(rng.integers(lags, 4 * lags))
        matrix = rng.standard_normal((2, lags, 2, 2))
        taps = matrix[0] + 1j * matrix[1]
        fine = 40 * samples

        def largest(points: int, taps: oracles.Array = taps) -> float:
            waves = np.exp(
                2j * np.pi * np.outer(np.arange(points), np.arange(len(taps))) / points
            )
            values = np.tensordot(waves, taps, axes=1)
            return float(np.linalg.norm(values, 2, axis=(1, 2)).max())

        assert largest(fine) <= sampling_factor(lags, samples) * largest(samples)


def test_the_grid_keeps_one_of_each_conjugate_pair() -> None:
    for sizes in ([5], [6], [4, 5], [3, 4, 2]):
        grid = Grid.sampled([2] * len(sizes), sizes, real=True)
        self_conjugate = 2 ** sum(size % 2 == 0 for size in sizes)
        assert len(grid.index) == (math.prod(sizes) + self_conjugate) // 2
        assert grid.weights.sum() == math.prod(sizes)

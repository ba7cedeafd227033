"""The symbol's density: the limit of large inputs, and the distance from it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

import convspec as cs
from convspec.spectrum.density.boundary import boundary_fraction
from convspec.spectrum.density.density import spectral_density, symbol_density
from tests.spectrum.density.test_density import (
    OPERATORS,
    dense_values,
    gaussian,
    operator,
)


def laplacian(size: int) -> cs.ConvOperator:
    weight = torch.tensor([[[1.0, -2.0, 1.0]]], dtype=torch.float64)
    return cs.ConvOperator(weight, size, padding=1)


@pytest.mark.parametrize(
    ("shape", "size", "options"),
    [
        ((3, 4, 3, 3), (6, 7), {"padding": 1}),
        ((3, 2, 4, 4), (8, 6), {"padding": 1, "stride": 2}),
        ((4, 2, 3), 9, {"padding": 1, "groups": 2}),
        ((2, 3, 3, 3, 3), 4, {"padding": 1}),
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
def test_on_its_torus_it_is_the_spectrum(
    shape: tuple[int, ...], size: Any, options: dict[str, Any], dtype: torch.dtype
) -> None:
    """A circular operator's values are the symbol's on the grid of its outputs."""
    op = cs.ConvOperator(
        gaussian(1, *shape, dtype=dtype), size, **options, padding_mode="circular"
    )
    density = symbol_density(op, op.output_shape[1:])
    values = dense_values(op)
    for p in (0.5, 1.0, 2.0, 3.0):
        estimate = density.moment(p)
        assert estimate.value == pytest.approx((values**p).sum())
        assert estimate.standard_error == estimate.quadrature_error == 0
    t = (values[3:-3] + values[4:-2]) / 2
    t = t[(values[3:-3] - values[4:-2]) > 1e-9]
    counts = density.counting(t)
    assert np.allclose(counts.value, (values >= t[:, None]).sum(axis=1))
    assert not counts.standard_error.any()
    assert density.weights.sum() == pytest.approx(1)
    assert density.seed is None
    assert density.method == "symbol"


@pytest.mark.parametrize("p", [0.5, 3.0])
def test_szego_limit_at_first_order(p: float) -> None:
    """1-D Laplacian: the mean of f(sigma) is off by O(1 / n), halved from n to 2 n."""
    gaps = []
    for n in (50, 100, 200, 400):
        op = laplacian(n)
        limit = symbol_density(op, 4096).moment(p)
        values = 4 * np.sin(np.pi * np.arange(1, n + 1) / (2 * (n + 1))) ** 2
        gaps.append(abs(limit.value - (values**p).sum()) / n)
    ratios = np.array(gaps[:-1]) / np.array(gaps[1:])
    assert (np.abs(ratios - 2) < 0.15).all()


def test_transposed_and_adjoint_share_it() -> None:
    op = operator("stride")
    one, other = symbol_density(op, 9), symbol_density(op.T, 9)
    np.testing.assert_allclose(one.nodes, other.nodes, atol=1e-12)
    assert one.boundary_fraction == other.boundary_fraction


def test_it_does_not_depend_on_padding_or_dead_taps() -> None:
    """On one pixel only the central tap lives; the limit has all nine."""
    weight = gaussian(5, 2, 2, 3, 3)
    tiny = symbol_density(cs.ConvOperator(weight, 1, padding=1), 16)
    large = symbol_density(cs.ConvOperator(weight, 30, padding_mode="reflect"), 16)
    np.testing.assert_allclose(tiny.nodes, large.nodes, atol=1e-12)


def test_default_grid_keeps_the_fourth_moment() -> None:
    op = cs.ConvOperator(gaussian(6, 2, 2, 5, 5), 6, padding=2)
    default, fine = symbol_density(op), symbol_density(op, 40)
    for p in (2, 4):
        assert default.moment(p).value == pytest.approx(fine.moment(p).value)
    assert default.moment(2).value > op.frobenius_norm() ** 2


def test_it_is_larger_than_the_compression() -> None:
    """Berezin and Lieb: for p >= 2 zero padding has the smaller moments."""
    op = operator("zeros")
    limit, values = symbol_density(op, 24), dense_values(op)
    for p in (2.0, 3.0, 4.0, 8.0):
        assert (values**p).sum() <= limit.moment(p).value


# -- the boundary ---------------------------------------------------------------------


WITH_TORUS = [
    name
    for name in OPERATORS
    if not any(axis.size % axis.stride for axis in operator(name).geometry.axes)
]


@pytest.mark.parametrize("name", WITH_TORUS)
def test_boundary_fraction_bounds_the_difference_from_the_torus(name: str) -> None:
    op = operator(name)
    bound = boundary_fraction(op.geometry) * min(op.shape)
    values, torus = dense_values(op), dense_values(op.circular())
    t = np.unique(np.concatenate([values, torus]))
    t = t[t > 1e-9 * t[-1]] * (1 - 1e-9)
    counts = [(v >= t[:, None]).sum(axis=1) for v in (values, torus)]
    assert np.abs(counts[0] - counts[1]).max() <= bound + 1e-9
    assert symbol_density(op).boundary_fraction == boundary_fraction(op.geometry)


@pytest.mark.parametrize(
    ("shape", "size", "options", "expected"),
    [
        ((3, 3, 3, 3), 8, {"padding": 1}, 28 / 64),
        ((2, 2, 5, 5), 7, {"padding": 2}, 40 / 49),
        ((3, 5, 3, 3), 8, {"padding": 1}, 28 / 64),
        ((1, 1, 3, 3), 224, {"padding": 1}, 892 / 224**2),
        ((4, 4, 1, 1), 9, {}, 0.0),
        ((4, 4, 2, 2), 8, {"stride": 2}, 0.0),
        ((1, 1, 3), 10, {}, 2 / 8),
        ((1, 1, 3), 3, {"padding": 1, "padding_mode": "replicate"}, 2 / 3),
        ((1, 1, 9), 3, {"padding": 4}, 1.0),
    ],
    ids=str,
)
def test_boundary_fraction_counts_rows(
    shape: tuple[int, ...], size: int, options: dict[str, Any], expected: float
) -> None:
    op = cs.ConvOperator(gaussian(1, *shape), size, **options)
    assert boundary_fraction(op.geometry) == pytest.approx(expected)
    assert spectral_density(op, probes=2, steps=1).boundary_fraction == pytest.approx(
        expected
    )


def test_boundary_fraction_falls_like_boundary_over_volume() -> None:
    found = [boundary_fraction(laplacian(n).geometry) * n for n in (5, 50, 500)]
    assert found == pytest.approx([2, 2, 2])


# -- refusals -------------------------------------------------------------------------


@pytest.mark.parametrize("grid", [0, (3, 3, 3), "8", (4, 2.0)], ids=str)
def test_bad_grid(grid: Any) -> None:
    with pytest.raises(
        cs.GeometryError, match=r"grid must be an integer or 2 integers .*; got "
    ):
        symbol_density(operator("zeros"), grid)


def test_symbols_sample_nothing() -> None:
    density = symbol_density(operator("zeros"))
    for name, call in (
        ("check", lambda: density.check),
        ("with_control", lambda: density.with_control()),
    ):
        with pytest.raises(
            cs.NotApplicable,
            match=f"{name} needs random probes; this is the symbol's density, .*; call "
            r"spectral_density\(op\)",
        ) as caught:
            call()
        assert caught.value.name == name
    assert density.with_control(False).nuclear_norm.standard_error == 0


def test_too_large() -> None:
    with pytest.raises(
        cs.TooLargeError, match=r"the symbol's [\d,]+ singular values must fit .*grid"
    ):
        symbol_density(operator("zeros"), 4096, max_bytes=2**20)


def test_chunks_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    from convspec.rounding import blocks

    op = operator("groups")
    whole = symbol_density(op, 11)
    monkeypatch.setattr(blocks, "CHUNK_BYTES", 48 * 12 * 5)
    np.testing.assert_allclose(symbol_density(op, 11).nodes, whole.nodes, rtol=1e-12)
    assert math.isclose(whole.weights.sum(), 1)

"""What a density says: curves, quantiles, histograms, blurs, and how it prints."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch

import convspec as cs
from convspec.quantity.estimate import Estimate
from convspec.spectrum.density.density import spectral_density, symbol_density
from convspec.spectrum.density.result import Density
from tests import oracles
from tests.spectrum.density.test_density import dense_values, gaussian, off


def integral(y: oracles.Array, x: oracles.Array) -> float:
    """By the trapezoidal rule."""
    return float(((y[1:] + y[:-1]) / 2 * np.diff(x)).sum())


@pytest.fixture(scope="module")
def op() -> cs.ConvOperator:
    """4 channels of 12 x 12: 576 singular values."""
    return cs.ConvOperator(gaussian(11, 4, 4, 3, 3), 12, padding=1)


@pytest.fixture(scope="module")
def values(op: cs.ConvOperator) -> oracles.Array:
    return dense_values(op)


@pytest.fixture(scope="module")
def density(op: cs.ConvOperator) -> Density:
    return spectral_density(op, steps=40)


def test_counting(density: Density, values: oracles.Array) -> None:
    t = np.linspace(0, 1.1, 45).reshape(9, 5) * values[0]
    found = density.counting(t)
    truth = (values >= t[..., None]).sum(axis=2)
    assert found.value.shape == found.standard_error.shape == t.shape
    assert off(found, truth) <= 1
    # far better than the bound: the quadrature's error is below the sampling's
    assert (np.abs(found.value - truth) <= 5 * found.standard_error + 3).all()
    assert found.value.flat[0] == pytest.approx(576)
    assert found.value.flat[-1] == 0
    scalar = density.counting(1.0)
    assert np.shape(scalar.value) == ()


def test_quantiles(density: Density, values: oracles.Array) -> None:
    q = np.array([0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0])
    found = density.quantile(q)
    truth = np.quantile(values, q)
    assert (np.diff(found.value) >= 0).all()
    assert np.abs(found.value - truth).max() < 0.03 * values[0]
    assert off(found, truth, 0.01 * values[0]) <= 1
    assert np.shape(density.quantile(0.5).value) == ()


def test_histogram(density: Density, values: oracles.Array) -> None:
    found, edges = density.histogram(8, (0.0, values[0]))
    truth = np.histogram(values, edges)[0]
    assert found.value.shape == (8,)
    assert edges.shape == (9,)
    assert found.value.sum() == pytest.approx(576, abs=1e-6)
    assert (np.abs(found.value - truth) <= 5 * found.standard_error + 5).all()
    default, edges = density.histogram()
    assert default.value.shape == (20,)
    assert edges[0] == 0
    assert edges[-1] == density.largest_node


@pytest.mark.parametrize("width", [None, 0.2, 1.0])
def test_pdf_integrates_to_one(density: Density, width: float | None) -> None:
    t = np.linspace(0, 2 * density.largest_node + 5, 4001)
    found = density.pdf(t, width)
    assert integral(found.value, t) == pytest.approx(1, abs=1e-6)
    assert (found.standard_error >= 0).all()
    assert found.quadrature_error is None


def test_pdf_is_the_blurred_spectrum(density: Density, values: oracles.Array) -> None:
    t = np.linspace(0, values[0], 30)
    width = 2 * density.node_distance
    kernel = np.exp(-(((t[:, None] - values) / width) ** 2) / 2)
    kernel += np.exp(-(((t[:, None] + values) / width) ** 2) / 2)
    truth = kernel.mean(axis=1) / (width * np.sqrt(2 * np.pi))
    found = density.pdf(t, width)
    assert (np.abs(found.value - truth) <= 5 * found.standard_error + 1e-3).all()


def test_pdf_in_logarithms(density: Density, values: oracles.Array) -> None:
    u = np.linspace(np.log(1e-4 * values[0]), np.log(2 * values[0]), 3000)
    found = density.pdf(np.exp(u), 0.2, log=True)
    assert integral(found.value, u) == pytest.approx(1, abs=1e-3)
    at = np.log(values[0] * np.array([0.3, 0.5, 0.8]))
    kernel = np.exp(-(((at[:, None] - np.log(values)) / 0.2) ** 2) / 2)
    truth = kernel.mean(axis=1) / (0.2 * np.sqrt(2 * np.pi))
    found = density.pdf(np.exp(at), 0.2, log=True)
    assert (np.abs(found.value - truth) <= 5 * found.standard_error + 0.01).all()
    assert density.pdf(1.0, log=True).value.shape == ()


def test_default_width_follows_the_steps(op: cs.ConvOperator) -> None:
    few, many = (spectral_density(op, probes=2, steps=s) for s in (10, 40))
    ratio = few.node_distance / many.node_distance
    assert ratio == pytest.approx(4, rel=0.05)


@pytest.mark.parametrize("which", ["lanczos", "symbol"])
def test_curves_of_a_symbol_and_of_probes_read_alike(
    op: cs.ConvOperator, density: Density, which: str
) -> None:
    found = density if which == "lanczos" else symbol_density(op)
    assert found.method == which
    assert found.counting([0.1, 1.0]).value.shape == (2,)
    assert found.histogram(3)[0].value.sum() == pytest.approx(576)
    assert found.quantile(0.5).value > 0
    for read in ("nuclear_norm", "frobenius_norm", "effective_rank"):
        assert getattr(found, read).value > 0
    assert re.match(r"<Density of .*nuclear norm [\d.]+ \+- [\d.]+>", repr(found))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda d: d.moment(0), "p must be positive and finite; got 0; "),
        (lambda d: d.moment(-1.0), "p must be positive and finite; got -1.0; "),
        (lambda d: d.schatten(np.inf), "finite; got inf; for inf see largest_node"),
        (lambda d: d.moment(float("nan")), "p must be positive and finite; got nan; "),
        (lambda d: d.counting([1.0, np.nan]), "t must hold no NaN; got [1.0, nan]; "),
        (lambda d: d.quantile(1.5), "q must be within [0, 1]; got 1.5; give shares"),
        (lambda d: d.quantile(np.nan), "q must be within [0, 1]; got nan; "),
        (lambda d: d.histogram(0), "bins must be a positive integer; got 0; "),
        (lambda d: d.histogram(2.5), "bins must be a positive integer; got 2.5; "),
        (
            lambda d: d.histogram(2, (1, 1)),
            "range must be finite and increasing; got (1, 1); leave it out",
        ),
        (lambda d: d.pdf(-1.0), "t must be at least 0; got -1.0; "),
        (lambda d: d.pdf(0.0, log=True), "t must be positive for log=True; got 0.0; "),
        (lambda d: d.pdf(1.0, 0.0), "width must be positive and finite; got 0.0; "),
    ],
)
def test_bad_arguments(density: Density, call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        call(density)


@pytest.mark.parametrize(
    ("value", "error", "shown"),
    [
        (1193.62, 5.21, "1193.6 +- 5.2"),
        (1193.62, 52.1, "1194 +- 52"),
        (119362.0, 521.0, "119360 +- 520"),
        (0.0123456, 0.00021, "0.01235 +- 0.00021"),
        (3.0, 0.0, "3 +- 0"),
        (1e30, 1e28, "1e+30 +- 1e+28"),
        (1.0, 1e-14, "1 +- 1e-14"),
        (0.0, 0.0, "0 +- 0"),
        (float("inf"), float("inf"), "inf +- inf"),
    ],
)
def test_estimates_print_what_they_know(value: float, error: float, shown: str) -> None:
    assert repr(Estimate(value, error)) == shown


def test_arrays_of_estimates_print_some() -> None:
    assert repr(Estimate(np.array([1.0, 2.0]), np.array([0.1, 0.2]))) == (
        "<2 estimates: 1.00 +- 0.10, 2.00 +- 0.20>"
    )
    many = Estimate(np.arange(9.0), np.full(9, 0.5))
    assert repr(many) == "<9 estimates: 0.00 +- 0.50, 1.00 +- 0.50, ..., 8.00 +- 0.50>"


def test_nothing_is_mutable(density: Density) -> None:
    with pytest.raises(AttributeError):
        density.seed = 1  # type: ignore[misc]
    with pytest.raises(AttributeError):
        density.nuclear_norm.value = 1.0  # type: ignore[misc]


def test_first_order_errors_of_norms(density: Density) -> None:
    moment, norm = density.moment(3), density.schatten(3)
    assert norm.value == pytest.approx(moment.value ** (1 / 3))
    relative = moment.standard_error / moment.value
    assert norm.standard_error / norm.value == pytest.approx(relative / 3)
    assert torch.get_default_dtype() == torch.float32

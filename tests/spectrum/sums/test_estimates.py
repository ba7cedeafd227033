"""Estimates from frequencies of the symbol, against decompositions of dense matrices."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import convspec as cs
from convspec.spectrum.sums.estimates import (
    QUANTILES,
    Estimated,
    estimated,
    estimated_flops,
)
from convspec.spectrum.sums.majorisation import sums
from tests import oracles
from tests.gaussian import gaussian

RTOL = 0.2

LAYERS = {
    "square": cs.ConvOperator(gaussian(1, 5, 6, 3, 3), 16, padding=1),
    "tall": cs.ConvOperator(gaussian(2, 6, 3, 3, 3), 16, padding=1),
    "strided": cs.ConvOperator(gaussian(3, 8, 4, 3, 3), 20, stride=2, padding=1),
    "dilated": cs.ConvOperator(gaussian(4, 4, 4, 3, 3), 18, dilation=2, padding=2),
    "groups": cs.ConvOperator(gaussian(5, 6, 2, 3, 3), 16, groups=3, padding=1),
    "reflect": cs.ConvOperator(
        gaussian(6, 4, 5, 3, 3), 16, padding=1, padding_mode="reflect"
    ),
    "transposed": cs.ConvOperator(
        gaussian(7, 4, 6, 4, 4), 10, stride=2, padding=1, transposed=True
    ),
    "complex": cs.ConvOperator(
        gaussian(8, 4, 5, 3, 3, dtype=torch.complex128), 14, padding=1
    ),
    "line": cs.ConvOperator(gaussian(9, 4, 5, 5), 200, padding=2),
    "space": cs.ConvOperator(gaussian(10, 2, 3, 3, 3, 3), 7, padding=1),
}

TORI = {
    "plane": cs.ConvOperator(
        gaussian(1, 3, 4, 3, 3), 8, padding=1, padding_mode="circular"
    ),
    "strided": cs.ConvOperator(
        gaussian(2, 4, 3, 4), 12, stride=2, padding=1, padding_mode="circular"
    ),
}


def truths(op: cs.ConvOperator) -> dict[str, float]:
    """Every estimated number, exactly."""
    sigma = oracles.singular_values(op.to_dense().numpy())
    share = sigma[sigma > 0] / sigma.sum()
    found = {
        "nuclear_norm": sigma.sum(),
        "effective_rank": math.exp(-(share * np.log(share)).sum()),
        "participation_ratio": (sigma**2).sum() ** 2 / (sigma**4).sum(),
        "log_volume": np.log(sigma).sum(),
        "rank": (sigma > RTOL * sigma[0]).sum(),
    }
    quantiles = {f"quantile_{q}": np.quantile(sigma, q) for q in QUANTILES}
    return {name: float(value) for name, value in (found | quantiles).items()}


def norm(op: cs.ConvOperator) -> float:
    return float(torch.linalg.matrix_norm(op.to_dense(), 2))


@pytest.mark.parametrize("name", LAYERS)
def test_within_four_errors_and_the_bias(name: str) -> None:
    op = LAYERS[name]
    found = estimated(op, frequencies=32, sigma_1=norm(op), rtol=RTOL)
    truth = truths(op)
    assert found.keys() == truth.keys()
    for quantity, each in found.items():
        allowed = 4 * each.standard_error + each.bias
        assert abs(each.value - truth[quantity]) <= allowed, quantity


@pytest.mark.parametrize("name", TORI)
def test_tori_are_exact(name: str) -> None:
    op = TORI[name]
    found = estimated(op, frequencies=16, sigma_1=norm(op), rtol=RTOL)
    for quantity, truth in truths(op).items():
        each = found[quantity]
        assert (each.standard_error, each.bias) == (0.0, 0.0)
        rel = 0.05 if quantity.startswith("quantile") else 1e-9
        assert each.value == pytest.approx(truth, rel=rel)


def test_samples_of_a_torus_have_no_bias() -> None:
    op = TORI["plane"]
    found = [
        estimated(op, frequencies=4, seed=seed)["nuclear_norm"] for seed in range(40)
    ]
    values = np.array([each.value for each in found])
    scatter = values.std(ddof=1)
    assert all(each.bias == 0 for each in found)
    assert abs(values.mean() - truths(op)["nuclear_norm"]) < 4 * scatter / math.sqrt(40)
    stated = math.sqrt(np.mean([each.standard_error**2 for each in found]))
    assert stated == pytest.approx(scatter, rel=0.4)


@pytest.mark.parametrize(
    "name", ["square", "tall", "strided", "groups", "complex", "line"]
)
def test_the_frobenius_norm_takes_out_most_of_the_boundary(name: str) -> None:
    """What is left is a sixth of the boundary's share at most."""
    op = LAYERS[name]
    found = estimated(op, frequencies=64)["nuclear_norm"]
    off = abs(found.value - truths(op)["nuclear_norm"])
    assert off <= 4 * found.standard_error + found.bias / 6


def test_certified_bounds_correct_the_nuclear_norm() -> None:
    op = LAYERS["square"]
    bounds = sums(op)
    assert bounds is not None
    plain = estimated(op)["nuclear_norm"]
    corrected = estimated(op, nuclear_norm=bounds.nuclear_norm)["nuclear_norm"]
    truth = truths(op)["nuclear_norm"]
    assert abs(corrected.value - truth) <= corrected.bias < plain.bias
    assert corrected.standard_error == 0


@pytest.mark.parametrize("exponent", [-1000, 300])
def test_scales_with_the_weight(exponent: int) -> None:
    weight = gaussian(3, 3, 3, 3)
    near = estimated(cs.ConvOperator(weight, 20, padding=1))
    far = estimated(cs.ConvOperator(weight * 2.0**exponent, 20, padding=1))
    scaled = math.ldexp(near["nuclear_norm"].value, exponent)
    assert far["nuclear_norm"].value == scaled
    assert far["effective_rank"] == near["effective_rank"]
    shift = 60 * exponent * math.log(2)
    assert far["log_volume"].value == pytest.approx(near["log_volume"].value + shift)


def test_zero() -> None:
    op = cs.ConvOperator(torch.zeros(2, 2, 3, dtype=torch.float64), 9, padding=1)
    found = estimated(op)
    assert found["nuclear_norm"] == Estimated(0.0, 0.0, 0.0)
    assert found["effective_rank"].value == 0.0
    assert found["log_volume"].value == -math.inf


def test_operations_and_bytes_limit_the_frequencies() -> None:
    op = LAYERS["square"]
    few = estimated(op, max_flops=estimated_flops(op, 2) * 1.01)
    assert few == estimated(op, frequencies=2)
    assert estimated(op, max_flops=estimated_flops(op, 1) / 2) == {}
    assert estimated(op, max_bytes=100) == {}


def test_numbers_of_frequencies_are_positive() -> None:
    with pytest.raises(ValueError, match="frequencies"):
        estimated(LAYERS["square"], frequencies=0)

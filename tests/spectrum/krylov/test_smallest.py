"""The smallest singular values by a sparse inverse, against dense SVD and mpmath."""

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings

import convspec as cs
from tests.cases import Case
from tests.geometries import any_case
from tests.spectrum.krylov.test_largest import OPERATORS, operator, oracle_error, truth

SOBEL = [[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]
CONV_SV = [[2.0, 7.0, -1.0], [1.0, 3.0, -8.0], [5.0, -3.0, 1.0]]


def assert_smallest(spec: cs.Spectrum, op: cs.ConvOperator, k: int) -> None:
    """Values, errors and vectors against a dense SVD."""
    values = truth(op)
    rounding = oracle_error(op, values)
    assert (spec.which, len(spec), spec.method) == ("smallest", k, "krylov")
    assert (np.diff(spec.values) <= 0).all()
    near = np.abs(values[:, None] - spec.values).min(axis=0)
    assert (near <= spec.error + rounding).all()
    # the values of A V are never below those they stand for
    assert (spec.values >= values[len(values) - k :] - rounding).all()
    assert np.abs(spec.values - values[len(values) - k :]).max() <= 1e-9 * values[0]
    assert np.max(spec.error) <= 1e-6 * values[0] + rounding
    left, right = spec.left.flatten(1), spec.right.flatten(1)
    for vectors in (left, right):
        eye = torch.eye(k, dtype=vectors.dtype)
        assert float((vectors @ vectors.mH - eye).abs().max()) <= 1e-12
    ahead = op.apply(spec.right).flatten(1) - torch.tensor(spec.values)[:, None] * left
    lengths = torch.linalg.vector_norm(ahead, dim=1).numpy()
    assert (lengths <= 2 * np.asarray(spec.error) + rounding).all()


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.complex128], ids=["real", "complex"]
)
@pytest.mark.parametrize("k", [1, 5])
@pytest.mark.parametrize("name", OPERATORS)
def test_agrees_with_dense(name: str, k: int, dtype: torch.dtype) -> None:
    op = operator(name, dtype)
    assert_smallest(cs.spectrum(op, k, "smallest", "krylov", True), op, k)


@pytest.mark.parametrize(
    ("kernel", "size"),
    [
        ([2.0, 1.0, 0.0], 60),
        ([2.0, 1.0, 0.0], 200),
        ([1.0, 2.0, 0.0], 300),
        ([1.0, -2.0, 1.0], 400),
        ([-1.0, 0.0, 1.0], 301),
        ([0.0, 0.0, 0.0], 90),
        (SOBEL, (21, 20)),
        (CONV_SV, (30, 30)),
    ],
    ids=[
        "exponential-60",
        "exponential-200",
        "triangular",
        "laplacian",
        "difference",
        "zero",
        "sobel",
        "conv-sv",
    ],
)
@pytest.mark.parametrize("k", [1, 4])
def test_singular_and_nearly_singular(kernel: list, size: int, k: int) -> None:
    """Values of 0, of 2^-n with a gap behind them, and clusters."""
    weight = torch.tensor(kernel, dtype=torch.float64)[None, None]
    op = cs.ConvOperator(weight, size, padding=1)
    assert_smallest(cs.spectrum(op, k, "smallest", "krylov", True), op, k)


def test_a_dead_channel_gives_zeros() -> None:
    weight = torch.randn(3, 3, 3, 3, generator=torch.Generator().manual_seed(1)).double()
    weight[1] = 0
    op = cs.ConvOperator(weight, 12, padding=1)
    spec = cs.spectrum(op, 3, "smallest", "krylov")
    assert (spec.values <= spec.error).all()
    assert np.max(spec.error) <= 1e-9


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
@pytest.mark.parametrize("k", [6, 12, 20])
def test_more_values_than_zeros(seed: int, k: int) -> None:
    """Eight values are zero; rounding beside them in the inverse is no value."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(2, 1, 3, 3, dtype=torch.float64, generator=generator)
    op = cs.ConvOperator(weight, 40)
    assert_smallest(cs.spectrum(op, k, "smallest", "krylov", True), op, k)


def test_needs_no_squared_condition_number() -> None:
    """Relative to 40 digits: a smallest value far below sqrt(eps) sigma_1."""
    weight = torch.tensor([[[2.0, 1.0, 0.0]]], dtype=torch.float64)
    op = cs.ConvOperator(weight, 36, padding=1)
    spec = cs.spectrum(op, 1, "smallest", "krylov")
    with mpmath.workdps(40):
        values = mpmath.svd_r(mpmath.matrix(op.to_dense().tolist()), compute_uv=False)
        least = float(min(values))
    assert least < 1e-8
    assert abs(spec.values[0] - least) <= 1e-15
    assert np.max(spec.error) <= 1e-9


@pytest.mark.parametrize("exponent", [-900, -30, 40, 900])
def test_scales(exponent: int) -> None:
    op = operator("strided")
    expected = cs.spectrum(op, 3, "smallest", "krylov")
    scaled = cs.spectrum(
        op.with_weight(op.weight * 2.0**exponent), 3, "smallest", "krylov"
    )
    assert np.array_equal(scaled.values, np.ldexp(expected.values, exponent))


@settings(max_examples=60, deadline=None)
@given(case=any_case())
def test_any_geometry(case: Case) -> None:
    op = case.operator()
    assume(min(op.shape) > 0 and max(op.shape) <= 400)
    k = min(3, min(op.shape))
    spec = cs.spectrum(op, k, "smallest", "krylov", True)
    values = truth(op)
    near = np.abs(values[:, None] - spec.values).min(axis=0)
    assert (near <= spec.error + oracle_error(op, values)).all()


def test_auto_inverts_large_operators_only() -> None:
    weight = torch.randn(1, 1, 3, 3, generator=torch.Generator().manual_seed(2)).double()
    small, large = (cs.ConvOperator(weight, n, padding=1) for n in (12, 120))
    assert cs.explain(small, 2, "smallest").method == "dense"
    plan = cs.explain(large, 2, "smallest")
    assert plan.method == "krylov"
    assert "sparse factorisation" in plan.reason
    spec = cs.spectrum(large, 2, "smallest")
    assert (spec.method, spec.complete) == ("krylov", False)
    assert np.max(spec.error) <= 1e-6 * cs.spectrum(large, 1).norm


def test_refuses_factors_that_do_not_fit() -> None:
    weight = torch.randn(64, 64, 3, 3, generator=torch.Generator().manual_seed(3))
    op = cs.ConvOperator(weight, 56, padding=1)
    with pytest.raises(cs.TooLargeError, match=r"needs .* GiB; take a smaller"):
        cs.spectrum(op, 2, "smallest")


def test_not_converged_carries_the_best() -> None:
    weight = torch.tensor([[[1.0, 2.0, 0.0]]], dtype=torch.float64)
    op = cs.ConvOperator(weight, 3000, padding=1)
    with pytest.raises(cs.NotConverged, match=r"after .* products") as caught:
        cs.spectrum(op, 2, "smallest", "krylov", rtol=1e-9, max_products=60)
    best = caught.value.best
    assert isinstance(best, cs.Spectrum)
    assert (len(best), best.converged) == (2, False)


def test_values_that_crowd_at_the_end_take_longer_rounds() -> None:
    """Those of a nearly tight frame: 200 steps do not tell them apart."""
    window = torch.hann_window(32, dtype=torch.float64)
    time = torch.arange(32, dtype=torch.float64)
    angles = 2 * torch.pi * torch.outer(torch.arange(17), time) / 32
    filters = window * torch.cat([angles.cos(), angles[1:16].sin()])
    op = cs.ConvOperator(filters[:, None], 4000, stride=16, padding=16)
    found = cs.spectrum(op, 1, "smallest")
    band = cs.spectral_envelope(op)
    assert found.converged
    assert band.lower[-1] - found.error[0] <= found.values[0] <= band.upper[-1]

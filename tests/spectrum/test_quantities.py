"""Every quantity of a spectrum, against NumPy on the dense matrix."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

import convspec as cs
from tests import oracles
from tests.gaussian import gaussian

EPS = float(np.finfo(np.float64).eps)


# weight shape, input size, options: of full rank
FULL: dict[str, tuple[tuple[int, ...], Any, dict[str, Any]]] = {
    "square": ((2, 2, 3), 7, {"padding": 1}),
    "square-torus": (
        (3, 3, 3, 2),
        (5, 4),
        {"padding": "same", "padding_mode": "circular"},
    ),
    "wide": ((2, 3, 2, 2), (4, 5), {}),
    "tall": ((5, 2, 3), 6, {"padding": 1, "padding_mode": "replicate"}),
    "strided-torus": (
        (2, 3, 3),
        8,
        {"padding": 1, "stride": 2, "padding_mode": "circular"},
    ),
    "transposed": ((2, 3, 3, 3), 3, {"stride": 2, "padding": 1, "transposed": True}),
    "depthwise": ((4, 1, 3, 3), 4, {"padding": 1, "groups": 4}),
    "reflect": ((2, 2, 3), 9, {"padding": 1, "padding_mode": "reflect"}),
    "patches": ((4, 2, 2, 2), 6, {"stride": 2}),
}


@pytest.fixture(params=FULL)
def full(request: pytest.FixtureRequest) -> cs.ConvOperator:
    shape, size, options = FULL[request.param]
    return cs.ConvOperator(gaussian(1, *shape), size, **options)


@pytest.fixture(params=["projection", "torus-laplacian", "repeated-channel", "dead-rows"])
def deficient(request: pytest.FixtureRequest) -> cs.ConvOperator:
    """Operators whose rank is below min(m, n), to rounding or exactly."""
    weight = gaussian(2, 2, 2, 3)
    if request.param == "projection":
        weight = torch.einsum("o,it->oit", weight[:, 0, 0], weight[0])
        return cs.ConvOperator(weight, 5, padding=1)
    if request.param == "torus-laplacian":
        laplacian = torch.tensor([[[1.0, -2, 1]]], dtype=torch.float64)
        return cs.ConvOperator(laplacian, 6, padding=1, padding_mode="circular")
    if request.param == "repeated-channel":
        weight = weight[:, :1].expand(2, 2, 3)
        return cs.ConvOperator(weight, 6, padding=1, padding_mode="reflect")
    return cs.ConvOperator(weight[:1, :1], 2, padding=6, stride=5)


def test_of_full_rank(full: cs.ConvOperator) -> None:
    matrix = full.to_dense().numpy()
    spec = cs.spectrum(full)
    condition = np.linalg.cond(matrix)
    assert condition < 1e6
    assert spec.rank() == np.linalg.matrix_rank(matrix) == min(full.shape)
    assert spec.nullity() == full.shape[1] - min(full.shape)
    relative = 2 * (spec.error + oracles.svd_tolerance(matrix)) / spec.norm
    assert spec.condition_number == pytest.approx(
        condition, rel=relative * condition, abs=0
    )
    tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    log_volume = np.linalg.slogdet(tall.T @ tall).logabsdet / 2
    assert spec.log_volume == pytest.approx(
        log_volume, abs=len(spec) * relative * condition**2
    )


def test_log_volume_is_the_determinant_of_a_square_matrix() -> None:
    op = cs.ConvOperator(gaussian(1, 2, 2, 3), 7, padding=1)
    sign, logabsdet = np.linalg.slogdet(op.to_dense().numpy())
    assert sign != 0
    assert cs.spectrum(op).log_volume == pytest.approx(logabsdet, abs=1e-12)


def assert_quantities(op: cs.ConvOperator, spec: cs.Spectrum) -> None:
    """Those that are smooth in the values, and so as accurate as these."""
    matrix = op.to_dense().numpy()
    known = oracles.singular_values(matrix)
    rtol = 4 * len(known) * (spec.error + oracles.svd_tolerance(matrix)) / known[0]
    assert rtol < 1e-9

    def close(value: float) -> Any:
        return pytest.approx(value, rel=rtol, abs=0)

    assert spec.norm == close(np.linalg.norm(matrix, 2))
    assert spec.frobenius_norm == close(np.linalg.norm(matrix, "fro"))
    assert spec.frobenius_norm == close(op.frobenius_norm())
    assert spec.nuclear_norm == close(np.linalg.norm(matrix, "nuc"))
    fourth = np.sum(np.abs(matrix @ matrix.conj().T) ** 2)
    second = np.sum(np.abs(matrix) ** 2)
    assert spec.stable_rank == close(second / np.linalg.norm(matrix, 2) ** 2)
    assert spec.participation_ratio == close(second**2 / fourth)
    assert spec.schatten(4) == close(fourth**0.25)
    assert spec.schatten(1) == close(spec.nuclear_norm)
    assert spec.schatten(2) == close(spec.frobenius_norm)
    assert spec.schatten(math.inf) == spec.norm
    for p in (1.5, 2.5, 3, math.pi, 7, 40, 1000):
        assert spec.schatten(p) == close(
            known[0] * np.sum((known / known[0]) ** p) ** (1 / p)
        )
    share = known[known > 1e-13 * known[0]] / known.sum()
    entropy = -sum(p * math.log(p) for p in share)
    assert spec.effective_rank == pytest.approx(
        math.exp(entropy), rel=rtol + 1e-10, abs=0
    )
    assert 1 <= spec.participation_ratio <= spec.effective_rank * (1 + rtol)
    assert spec.stable_rank <= spec.rank() + rtol


def test_quantities_of_full_rank(full: cs.ConvOperator) -> None:
    for method in ("dense", "auto"):
        assert_quantities(full, cs.spectrum(full, method=method))


def test_quantities_of_low_rank(deficient: cs.ConvOperator) -> None:
    assert_quantities(deficient, cs.spectrum(deficient))


def test_quantities_of_complex_weights() -> None:
    weight = gaussian(3, 2, 3, 3, dtype=torch.complex128)
    op = cs.ConvOperator(weight, 6, padding=1)
    assert_quantities(op, cs.spectrum(op))
    assert_quantities(op.circular(), cs.spectrum(op.circular()))


def test_below_full_rank(deficient: cs.ConvOperator) -> None:
    matrix = deficient.to_dense().numpy()
    spec = cs.spectrum(deficient)
    rank = int(np.linalg.matrix_rank(matrix))
    assert rank < min(deficient.shape)
    assert spec.rank() == rank
    assert spec.nullity() == deficient.shape[1] - rank
    assert spec.condition_number == math.inf
    assert spec.log_volume == -math.inf


def test_schatten_below_one() -> None:
    """p < 1 is no norm, but defined: (sum sigma^p)^(1/p)."""
    op = cs.ConvOperator(torch.diag(torch.tensor([4.0, 1.0]))[..., None], 1)
    assert cs.spectrum(op).schatten(0.5) == pytest.approx(9.0, rel=1e-14, abs=0)


def test_schatten_of_a_tiny_p_is_infinite() -> None:
    """50 values about 1 and p = 0.001: about 50^1000, beyond any float."""
    op = cs.ConvOperator(torch.ones(1, 1, 1), 50)
    assert cs.spectrum(op).schatten(0.001) == math.inf


def test_zero_operator() -> None:
    spec = cs.spectrum(cs.ConvOperator(torch.zeros(2, 3, 3), 4, padding=1))
    assert spec.shape == (8, 12)
    assert spec.rank() == spec.rank(rtol=0) == 0
    assert spec.nullity() == 12
    assert spec.condition_number == math.inf
    assert spec.log_volume == -math.inf
    for value in (
        spec.norm,
        spec.frobenius_norm,
        spec.nuclear_norm,
        spec.stable_rank,
        spec.effective_rank,
        spec.participation_ratio,
        *map(spec.schatten, (0.5, 1, 2, 3.5, math.inf)),
    ):
        assert value == 0


# -- rank ---------------------------------------------------------------------------


def diagonal(*values: float, dtype: torch.dtype = torch.float64) -> cs.ConvOperator:
    """A pointwise layer on 3 pixels: each value three times."""
    return cs.ConvOperator(torch.tensor(values, dtype=dtype).diag()[..., None], 3)


@pytest.mark.parametrize(
    ("rtol", "rank"),
    [(0.0, 9), (1e-9, 9), (0.009, 9), (0.011, 6), (0.09, 6), (0.11, 3), (1.0, 0), (5, 0)],
)
def test_rank_at_a_given_tolerance(rtol: float, rank: int) -> None:
    spec = cs.spectrum(diagonal(1.0, 0.1, 0.01))
    assert spec.rank(rtol) == spec.rank(rtol=rtol) == rank
    assert spec.nullity(rtol=rtol) == 9 - rank


def test_rank_counts_values_strictly_above() -> None:
    """Like NumPy's, at the tolerance itself a value is zero."""
    spec = cs.spectrum(diagonal(4.0, 2.0, 1.0))
    assert spec.rank(rtol=0.5) == 3
    assert spec.rank(rtol=np.nextafter(0.5, 0)) == 6


@pytest.mark.parametrize("factor", [0.25, 0.9, 1.1, 4.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_default_rank_is_that_of_numpy(dtype: torch.dtype, factor: float) -> None:
    """The full operator's dimensions count, not a block's, and the arithmetic's eps."""
    pixels, unused = 50, 3  # input channels with zero weights: 100 x 250
    threshold = (2 + unused) * pixels * torch.finfo(dtype).eps
    weight = torch.zeros(2, 2 + unused, 1, dtype=dtype)
    weight[:, :2, 0] = torch.tensor([1.0, factor * threshold]).diag()
    op = cs.ConvOperator(weight, pixels)
    assert op.shape == (100, 250)
    for each in (op, op.T):
        spec = cs.spectrum(each, dtype=dtype)
        assert spec.rank() == np.linalg.matrix_rank(each.to_dense().numpy())
        assert spec.rank() == (100 if factor > 1 else 50)


@pytest.mark.parametrize("rtol", [-1e-9, -1, math.nan, -math.inf], ids=str)
def test_bad_rtol(rtol: float) -> None:
    spec = cs.spectrum(diagonal(1.0))
    for call in (spec.rank, spec.nullity):
        with pytest.raises(ValueError, match=f"rtol must be at least 0; got {rtol}"):
            call(rtol)


@pytest.mark.parametrize("p", [0, -1, -0.5, math.nan, -math.inf], ids=str)
def test_bad_p(p: float) -> None:
    spec = cs.spectrum(diagonal(1.0))
    with pytest.raises(ValueError, match=rf"p must be positive .*; got {p}"):
        spec.schatten(p)


# -- scale ----------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-200, 1e-150, 1e-30, 1e30, 1e150, 1e200], ids=str)
@pytest.mark.parametrize("mode", ["zeros", "circular", "replicate"])
def test_quantities_at_any_scale(mode: str, scale: float) -> None:
    """Powers of two scale everything exactly: the values, the error, no ratio."""
    scale = 2.0 ** round(math.log2(scale))
    weight = gaussian(4, 2, 2, 3)
    options = {"padding": 1, "padding_mode": mode}
    one = cs.spectrum(cs.ConvOperator(weight, 5, **options))
    spec = cs.spectrum(cs.ConvOperator(weight * scale, 5, **options))
    rtol = 4 * len(one) * one.error / one.values[-1]
    np.testing.assert_allclose(spec.values, one.values * scale, rtol=rtol, atol=0)
    assert spec.error == pytest.approx(one.error * scale, rel=1e-6, abs=0)
    assert spec.rank() == one.rank()
    for name in (
        "condition_number",
        "stable_rank",
        "effective_rank",
        "participation_ratio",
    ):
        assert getattr(spec, name) == pytest.approx(getattr(one, name), rel=rtol, abs=0)
    for name in ("norm", "nuclear_norm", "frobenius_norm"):
        assert getattr(spec, name) == pytest.approx(
            getattr(one, name) * scale, rel=rtol, abs=0
        )
    for p in (0.5, 1.5, 3, 20, math.inf):
        assert spec.schatten(p) == pytest.approx(one.schatten(p) * scale, rel=rtol, abs=0)
    shift = len(one) * math.log(scale)
    assert spec.log_volume == pytest.approx(one.log_volume + shift, rel=1e-12, abs=0)


# -- incomplete spectra ---------------------------------------------------------------

NEEDS_ALL = {
    "rank": lambda spec: spec.rank(),
    "nullity": lambda spec: spec.nullity(),
    "condition_number": lambda spec: spec.condition_number,
    "stable_rank": lambda spec: spec.stable_rank,
    "effective_rank": lambda spec: spec.effective_rank,
    "nuclear_norm": lambda spec: spec.nuclear_norm,
    "frobenius_norm": lambda spec: spec.frobenius_norm,
    "schatten": lambda spec: spec.schatten(3),
    "log_volume": lambda spec: spec.log_volume,
    "participation_ratio": lambda spec: spec.participation_ratio,
}


@pytest.mark.parametrize("which", ["largest", "smallest"])
@pytest.mark.parametrize("quantity", NEEDS_ALL)
def test_incomplete(quantity: str, which: str) -> None:
    """Refused, naming the quantity and the calls that complete or enclose it."""
    spec = cs.spectrum(diagonal(3.0, 2.0, 1.0), k=4, which=which)
    assert not spec.complete
    message = (
        rf"needs all 9 singular values; .* the 4 {which}; call spectrum\(op\) with "
        r"k=None, or, .* spectral_envelope\(op\), which encloses it"
    )
    with pytest.raises(cs.NotApplicable, match=message) as caught:
        NEEDS_ALL[quantity](spec)
    assert caught.value.name in (quantity, "rank")


def test_norm_of_an_incomplete_spectrum() -> None:
    """The largest values know it, the smallest do not."""
    op = diagonal(3.0, 2.0, 1.0)
    assert cs.spectrum(op, k=1).norm == 3
    with pytest.raises(cs.NotApplicable, match="norm needs all 9") as caught:
        _ = cs.spectrum(op, k=1, which="smallest").norm
    assert caught.value.name == "norm"
    assert cs.spectrum(op, k=9, which="smallest").norm == 3


def test_array_and_repr() -> None:
    spec = cs.spectrum(diagonal(3.0, 2.0, 1.0))
    assert np.asarray(spec).tolist() == [3.0] * 3 + [2.0] * 3 + [1.0] * 3
    assert np.asarray(spec, dtype=np.float32).dtype == np.float32
    assert repr(spec).startswith(
        "<Spectrum of 9 x 9: all 9 singular values, 3 ... 1, fourier, error <= "
    )
    part = cs.spectrum(diagonal(3.0, 2.0, 1.0), k=2, which="smallest")
    assert "the 2 smallest singular values, 1 ... 1" in repr(part)
    for which, values in (("largest", "3 ... 3"), ("smallest", "1 ... 1")):
        krylov = cs.spectrum(diagonal(3.0, 2.0, 1.0), 2, which, method="krylov")
        assert f"the 2 {which} singular values found, {values}, krylov" in repr(krylov)
        with pytest.raises(cs.NotApplicable, match=f"has the 2 {which} found; call"):
            krylov.rank()

"""The largest singular values by Krylov subspaces, against dense SVD and closed forms."""

import math

import numpy as np
import pytest
import scipy
import torch
from hypothesis import assume, given, settings

import convspec as cs
from convspec.krylov.orthogonal import orthonormal_rows
from convspec.spectrum.krylov.start import symbol_start
from tests.cases import Case
from tests.geometries import any_case

DTYPES = [torch.float64, torch.complex128]
EPS = float(np.finfo(np.float64).eps)

OPERATORS = {
    "zeros": ((8, 8, 3, 3), 12, {"padding": 1}),
    "valid-wide": ((2, 6, 3, 3), 12, {}),
    "tall": ((9, 2, 3, 3), 9, {"padding": 1}),
    "strided": ((6, 4, 3, 3), (11, 10), {"padding": 1, "stride": (2, 1)}),
    "dilated-reflect": (
        (5, 5, 3, 3),
        9,
        {"padding": 2, "dilation": 2, "padding_mode": "reflect"},
    ),
    "groups-replicate": (
        (8, 2, 3, 3),
        10,
        {"padding": 1, "groups": 4, "padding_mode": "replicate"},
    ),
    "depthwise": ((12, 1, 3, 3), 9, {"padding": 1, "groups": 12}),
    "partial-circular": (
        (4, 4, 5, 5),
        8,
        {"padding": 1, "padding_mode": "circular"},
    ),
    "one-dimensional": ((3, 7, 5), 40, {"padding": 2}),
    "three-dimensional": ((2, 3, 2, 3, 2), (5, 4, 6), {"padding": (1, 0, 1)}),
    "transposed": ((4, 6, 3, 3), 6, {"stride": 2, "transposed": True}),
}


def operator(name: str, dtype: torch.dtype = torch.float64) -> cs.ConvOperator:
    shape, size, options = OPERATORS[name]
    generator = torch.Generator().manual_seed(len(name))
    weight = torch.randn(shape, generator=generator, dtype=dtype)
    return cs.ConvOperator(weight, size, **options)


def truth(op: cs.ConvOperator) -> np.ndarray:
    return np.linalg.svd(op.to_dense().numpy(), compute_uv=False)


def oracle_error(op: cs.ConvOperator, values: np.ndarray) -> float:
    return 100 * max(op.shape) * EPS * float(values[0])


@pytest.mark.parametrize(
    ("k", "dtype"),
    [(1, torch.float64), (6, torch.float64), (2, torch.complex128)],
    ids=["1-real", "6-real", "2-complex"],
)
@pytest.mark.parametrize("rtol", [1e-3, 1e-6, 1e-10])
@pytest.mark.parametrize("name", OPERATORS)
def test_values_are_within_their_errors(
    name: str, rtol: float, k: int, dtype: torch.dtype
) -> None:
    op = operator(name, dtype)
    spec = cs.spectrum(op, k, method="krylov", rtol=rtol, vectors=True)
    values = truth(op)
    slack = oracle_error(op, values)
    assert spec.converged
    assert spec.method == "krylov"
    assert len(spec.values) == len(spec.error) == k
    assert (np.diff(spec.values) <= 0).all()
    # a residual bounds the distance to some singular value
    nearest = np.abs(values[None, :] - spec.values[:, None]).min(axis=1)
    assert (nearest <= spec.error + slack).all()
    assert (spec.error <= 5 * rtol * values[0] + slack).all()
    # Ritz values lie below the values they stand for
    assert (spec.values <= values[:k] + slack).all()
    # and here, with these seeds, they are the largest
    np.testing.assert_allclose(spec.values, values[:k], rtol=5 * rtol)


@pytest.mark.parametrize("name", OPERATORS)
def test_vectors(name: str) -> None:
    op = operator(name)
    spec = cs.spectrum(op, 5, method="krylov", rtol=1e-9, vectors=True)
    u, v = spec.left.flatten(1), spec.right.flatten(1)
    assert spec.left.shape == (5, *op.output_shape)
    assert spec.right.shape == (5, *op.input_shape)
    tolerance = 1e3 * EPS * math.sqrt(max(op.shape))
    identity = torch.eye(5, dtype=torch.float64)
    assert torch.allclose(u @ u.T, identity, atol=tolerance, rtol=0)
    assert torch.allclose(v @ v.T, identity, atol=tolerance, rtol=0)
    sigma = torch.from_numpy(spec.values)
    wide = op.shape[1] > op.shape[0]
    forward = (op @ v.T - u.T * sigma).norm(dim=0).numpy()
    backward = (op.T @ u.T - v.T * sigma).norm(dim=0).numpy()
    exact, residual = (backward, forward) if wide else (forward, backward)
    assert (exact <= tolerance * spec.norm).all()
    assert (residual <= spec.error).all()


def test_degenerate_values_come_out_as_often_as_they_are() -> None:
    """A circular operator: each value off the self-conjugate frequencies is double."""
    weight = torch.randn(3, 3, 3, generator=torch.Generator().manual_seed(5))
    op = cs.ConvOperator(weight.double(), 17, padding=1, padding_mode="circular")
    spec = cs.spectrum(op, 6, method="krylov", rtol=1e-9)
    exact = cs.spectrum(op, 6, method="fourier")
    np.testing.assert_allclose(spec.values, exact.values, rtol=1e-12)
    assert exact.values[0] - exact.values[1] < 1e-12 * exact.norm


@settings(max_examples=60)
@given(any_case())
def test_over_the_geometry_space(case: Case) -> None:
    op = case.operator()
    values = truth(op)
    assume(values[0] > 0)
    k = min(3, len(values))
    spec = cs.spectrum(op, k, method="krylov", rtol=1e-7)
    slack = oracle_error(op, values)
    nearest = np.abs(values[None, :] - spec.values[:, None]).min(axis=1)
    assert (nearest <= spec.error + slack).all()
    assert (spec.values <= values[:k] + slack).all()
    assert abs(spec.norm - values[0]) <= 1e-6 * values[0]


def test_zero_operator() -> None:
    op = cs.ConvOperator(torch.zeros(2, 2, 3), 9, padding=1)
    spec = cs.spectrum(op, 3, method="krylov")
    assert spec.values.tolist() == [0, 0, 0]


@pytest.mark.parametrize("scale", [1e-200, 1e200], ids=["tiny", "huge"])
def test_scales(scale: float) -> None:
    op = operator("zeros")
    other = cs.ConvOperator(op.weight * scale, 12, padding=1)
    spec = cs.spectrum(other, 2, method="krylov", rtol=1e-6)
    expected = cs.spectrum(op, 2, method="krylov", rtol=1e-6).values
    # scaled weights round otherwise: both are within their residuals
    residual = 1e-6 * float(expected[0])
    np.testing.assert_allclose(spec.values / scale, expected, rtol=0, atol=2 * residual)


def test_same_seed_same_result_and_global_state_untouched() -> None:
    op = operator("zeros")
    before = torch.random.get_rng_state()
    first = cs.spectrum(op, 3, method="krylov", seed=3)
    again = cs.spectrum(op, 3, method="krylov", seed=3)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert np.array_equal(first.values, again.values)


def test_not_converged_carries_the_best_so_far() -> None:
    op = operator("zeros")
    with pytest.raises(cs.NotConverged, match=r"after \d+ products .* raise") as caught:
        cs.spectrum(op, 4, method="krylov", rtol=1e-9, max_products=40)
    best = caught.value.best
    values = truth(op)
    assert isinstance(best, cs.Spectrum)
    assert not best.converged
    assert (best.values <= values[:4] + oracle_error(op, values)).all()
    assert best.norm > 0.5 * values[0]


def test_auto_takes_krylov_for_a_few_values_of_a_large_operator() -> None:
    """64 channels at 56 x 56: no dense SVD, but a norm; nor is it pretended for all."""
    generator = torch.Generator().manual_seed(1)
    binomial = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    mixing = torch.randn(64, 64, 1, 1, generator=generator) / 8
    one = torch.tensor([0.0, 0.0, 1.0, 0.0, 0.0])
    weight = mixing * (torch.outer(one, one) + torch.outer(binomial, binomial))
    op = cs.ConvOperator(weight, 56, padding=2)
    plan = cs.explain(op, 1)
    assert plan.method == "krylov"
    assert "1 of 200704 values are wanted" in plan.reason
    spec = cs.spectrum(op, 1, rtol=1e-4)
    # (the norm of the mixing) x (1 + the norm of the binomial filter squared)
    line = np.linalg.norm(scipy.linalg.toeplitz([6, 4, 1] + 53 * [0]) / 16, 2)
    expected = float(torch.linalg.matrix_norm(mixing[:, :, 0, 0].double(), 2))
    expected *= 1 + line**2
    assert abs(spec.norm - expected) <= 1e-6 * expected
    with pytest.raises(cs.TooLargeError, match="a number k of largest values"):
        cs.spectrum(op)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"k": None}, cs.NotApplicable, "got k=None; give k"),
        ({"k": 2, "rtol": 0.0}, ValueError, "rtol must be between 0 and 1; got 0.0"),
        ({"k": 2, "rtol": 1.0}, ValueError, "rtol must be between 0 and 1; got 1.0"),
    ],
    ids=["all", "rtol-zero", "rtol-one"],
)
def test_refused(arguments: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        cs.spectrum(operator("zeros"), method="krylov", **arguments)


def test_start_finds_the_peak_of_the_symbol() -> None:
    """A low-pass and a high-pass kernel: the start is nearly the top singular vector."""
    for taps in ([0.25, 0.5, 0.25], [-0.25, 0.5, -0.25]):
        weight = torch.tensor([[taps]], dtype=torch.float64)
        op = cs.ConvOperator(weight, 64, padding=1)
        (row,) = symbol_start(op, 1, 1, torch.Generator().manual_seed(0))
        top = cs.spectrum(op, 1, vectors=True, method="dense").right.flatten()
        assert abs(float(row @ top) / float(row.norm())) > 0.8


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.complex128], ids=["real", "complex"]
)
def test_orthonormal_rows_of_a_rank_deficient_block(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(2)
    against = torch.linalg.qr(torch.randn(30, 4, generator=generator).to(dtype))[0].mH
    rows = torch.randn(3, 30, generator=generator).to(dtype)
    rows = rows - rows @ against.mH @ against
    rows[2] = 2 * rows[0] - rows[1]
    q, coupling = orthonormal_rows(rows, against, generator)
    everything = torch.cat([against, q])
    identity = torch.eye(7, dtype=dtype)
    assert torch.allclose(everything @ everything.mH, identity, atol=1e-12)
    assert torch.allclose(coupling.to(dtype) @ q, rows, atol=1e-12)


@pytest.mark.parametrize("transposed", [False, True], ids=["conv", "transposed"])
def test_groups_that_cannot_lead_are_left_out(transposed: bool) -> None:
    """Two of eight groups hold the largest values; vectors vanish on the others."""
    generator = torch.Generator().manual_seed(8)
    weight = torch.randn(16, 2, 3, 3, generator=generator, dtype=torch.float64)
    weight[4:6] *= 4
    weight[10:12] *= 4
    op = cs.ConvOperator(weight, 14, padding=1, groups=8)
    op = op.T if transposed else op
    spec = cs.spectrum(op, 4, method="krylov", rtol=1e-8, vectors=True)
    exact = cs.spectrum(op, 4, method="dense")
    np.testing.assert_allclose(spec.values, exact.values, rtol=1e-12)
    sigma = torch.from_numpy(spec.values)
    u, v = spec.left.flatten(1), spec.right.flatten(1)
    assert torch.allclose(op @ v.T, u.T * sigma, atol=1e-6 * spec.norm)
    silent = [channel for channel in range(16) if channel not in (4, 5, 10, 11)]
    assert not spec.right[:, silent].any()


def test_a_near_pair_is_told_apart_by_default() -> None:
    """Two channels of kernels ``[0.3, c, 0.3]``: a residual of 1e-4 stops between them.

    Their largest values are ``c + 0.6 cos(pi / (n + 1))``.
    """
    weight = torch.zeros(24, 24, 3, dtype=torch.float64)
    weight[:, :, 1] = torch.diag(torch.linspace(0.1, 0.9, 24, dtype=torch.float64))
    for channel, middle in ((22, 1.0), (23, 1.0 + 6e-5)):
        weight[channel, channel] = torch.tensor([0.3, middle, 0.3], dtype=torch.float64)
    op = cs.ConvOperator(weight, 40, padding=1)
    truth = 1 + 6e-5 + 0.6 * math.cos(math.pi / 41)
    assert cs.spectrum(op, 1, method="krylov").values[0] == pytest.approx(truth, rel=1e-8)
    assert cs.spectral_norm(op, 1e-4).lower == pytest.approx(truth, rel=1e-8)

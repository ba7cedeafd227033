"""Spectra known in advance: closed forms, products, unions, published figures."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
import torch

import convspec as cs
from tests import oracles
from tests.closed_forms import CLOSED_FORMS, ClosedForm
from tests.gaussian import gaussian

MODES = ("zeros", "circular", "reflect", "replicate", "symmetric")
HALF_UNIT = 0.5e-8  # of figures given to eight decimals


def line(*taps: float) -> torch.Tensor:
    """A kernel of one channel and one axis."""
    return torch.tensor(taps, dtype=torch.float64)[None, None]


def methods(op: cs.ConvOperator) -> list[str]:
    """The methods that are exact for the operator."""
    exact = cs.explain(op).method
    return ["dense"] if exact == "dense" else ["dense", "fourier"]


def assert_spectrum(op: cs.ConvOperator, known: oracles.Array, slack: float) -> None:
    """By every exact method the values are the known ones, and the error is theirs."""
    for method in methods(op):
        spec = cs.spectrum(op, method=method)
        assert spec.values.shape == known.shape == (min(op.shape),)
        assert np.abs(spec.values - known).max() <= spec.error + slack


# -- closed forms ---------------------------------------------------------------------


@pytest.mark.parametrize("n", [5, 8, 13])
@pytest.mark.parametrize("case", CLOSED_FORMS, ids=lambda case: case.id)
def test_closed_form(case: ClosedForm, n: int) -> None:
    """Sines and products of a few of them: a handful of roundings of their size."""
    if case.id.endswith("3d-zeros"):
        n = min(n, 8)
    op = cs.ConvOperator(**case.arguments(n))
    known = oracles.descending(case.singular_values(n))
    slack = 32 * np.finfo(np.float64).eps * known[0]
    for method in methods(op):
        spec = cs.spectrum(op, method=method)
        np.testing.assert_allclose(spec.values, known, rtol=0, atol=spec.error + slack)
        assert spec.norm == pytest.approx(known[0], rel=2e-14, abs=0)


@pytest.mark.parametrize("n", [100, 1001])
def test_closed_form_of_a_long_line(n: int) -> None:
    """[1, -2, 1] on a torus of n pixels: 4 sin^2(pi j / n)."""
    op = cs.ConvOperator(line(1, -2, 1), n, padding=1).circular()
    known = oracles.descending(4 * np.sin(np.pi * np.arange(n) / n) ** 2)
    spec = cs.spectrum(op)
    assert spec.method == "fourier"
    assert np.abs(spec.values - known).max() <= spec.error
    assert spec.error <= 1e-12


# -- products and unions, for every padding mode ----------------------------------------

GEOMETRIES = {
    "1d": ((5,), (9,), (2,), ((3, 1),), (1,)),
    "1d-torus": ((3,), (8,), (2,), ((0, 1),), (1,)),
    "2d": ((3, 2), (6, 7), (1, 1), ((1, 1), (0, 1)), (1, 1)),
    "2d-strided-dilated": ((3, 4), (7, 8), (2, 3), ((2, 2), (3, 0)), (2, 1)),
    "2d-one-tap-axis": ((3, 1), (5, 4), (1, 2), ((1, 1), (2, 1)), (1, 1)),
    "3d": ((2, 3, 1), (4, 5, 3), (1, 2, 1), ((1, 0), (2, 2), (1, 1)), (1, 2, 1)),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("channels", [(3, 2), (1, 4)], ids=["3x2", "1x4"])
def test_separable_kernel(mode: str, geometry: str, channels: tuple[int, int]) -> None:
    """A = C (x) A_a (x) A_b (x) ...: all products of the factors' singular values."""
    kernel, size, stride, padding, dilation = GEOMETRIES[geometry]
    weight, mixing, factors = oracles.separable_kernel(11, channels, kernel)
    op = cs.ConvOperator(
        weight,
        size,
        stride=stride,
        padding=padding,
        dilation=dilation,
        padding_mode=mode,
    )
    known = oracles.separable_singular_values(
        mixing, factors, size, stride, padding, dilation, mode
    )
    assert_spectrum(op, known, oracles.svd_tolerance(op.to_dense().numpy()))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_mixed_kernel(mode: str, geometry: str) -> None:
    """K_t = Q diag(k_t) P^T: the union over the one-channel kernels, densely mixed."""
    kernel, *rest = GEOMETRIES[geometry]
    size, stride, padding, dilation = rest
    kernels = np.random.default_rng(12).standard_normal((4, *kernel))
    op = cs.ConvOperator(
        oracles.mixed_kernel(13, kernels),
        size,
        stride=stride,
        padding=padding,
        dilation=dilation,
        padding_mode=mode,
    )
    parts = [oracles.loop_matrix(k[None, None], *rest, 1, mode) for k in kernels]
    union = np.concatenate([oracles.singular_values(part) for part in parts])
    slack = oracles.svd_tolerance(op.to_dense().numpy())
    assert_spectrum(op, oracles.descending(union), slack)


# -- published figures ----------------------------------------------------------------

# The deterministic kernels of the tests of brain-research/conv-sv, the code of Sedghi,
# Gupta and Long, "The Singular Values of Convolutional Layers", ICLR 2019, at n = 20.
LINE = np.array([2.0, 7, -1])
SQUARE = np.array([[2.0, 7, -1], [1, 3, -8], [5, -3, 1]])
RECTANGLE = np.array([[2.0, 7, -1], [1, 3, -8]])
PAIR = [22.91221348] * 2 + [22.73452631] * 2


@pytest.mark.parametrize("method", ["fourier", "dense"])
@pytest.mark.parametrize(
    ("kernel", "largest", "smallest"),
    [
        (LINE, [8.00563364] * 2, 6.0),
        (SQUARE, PAIR, 0.15484142),
        (RECTANGLE, [17.27003904] * 2, None),
    ],
    ids=["1d", "2d", "2d-rectangular"],
)
def test_published_on_the_torus(
    kernel: np.ndarray, largest: list[float], smallest: float | None, method: str
) -> None:
    """In pairs, since w and -w share their singular values."""
    op = cs.ConvOperator(kernel[None, None], 20, padding="same", padding_mode="circular")
    spec = cs.spectrum(op, method=method)
    assert len(spec) == 20**kernel.ndim
    count = len(largest)
    np.testing.assert_allclose(spec.values[:count], largest, rtol=0, atol=HALF_UNIT)
    assert spec.values[count] < largest[-1] - 1e-4
    if smallest is not None:
        assert spec.values[-1] == pytest.approx(smallest, abs=HALF_UNIT)
    total = 20**kernel.ndim * np.sum(kernel**2)  # in exact integers, 65200 for SQUARE
    assert spec.frobenius_norm**2 == pytest.approx(total, rel=1e-13, abs=0)


def test_published_with_zero_padding() -> None:
    op = cs.ConvOperator(SQUARE[None, None], 20, padding=1)
    spec = cs.spectrum(op)
    np.testing.assert_allclose(
        spec.values[:2], [22.72753302, 22.72744344], rtol=0, atol=HALF_UNIT
    )
    assert spec.values[-1] == pytest.approx(9.747e-4, abs=0.5e-7)


# -- exponentially small singular values ------------------------------------------------


def exact_smallest(n: int) -> mpmath.mpf:
    """sigma_n of the n x n matrix with 1 on and 2 above the diagonal, to 30 digits."""
    with mpmath.workdps(60):
        matrix = mpmath.eye(n)
        for i in range(n - 1):
            matrix[i, i + 1] = 2
        return mpmath.svd_r(matrix, compute_uv=False)[n - 1]


@pytest.mark.parametrize(
    ("n", "published"), [(5, 4.7e-2), (10, 1.5e-3), (20, 1.4e-6), (40, 1.4e-12)]
)
@pytest.mark.parametrize(
    ("taps", "padding"),
    [((1.0, 2.0), (0, 1)), ((2.0, 1.0), (1, 0))],
    ids=["anticausal", "causal"],
)
def test_exponentially_small_smallest(
    taps: tuple[float, float], padding: tuple[int, int], n: int, published: float
) -> None:
    """|1 + 2 e^{iw}| >= 1 everywhere, yet sigma_n falls like 2^-n; the next is >= 1."""
    op = cs.ConvOperator(line(*taps), n, padding=(padding,))
    spec = cs.spectrum(op)
    smallest = exact_smallest(n)
    assert abs(mpmath.mpf(spec.values[-1]) - smallest) <= spec.error
    assert float(f"{spec.values[-1]:.1e}") == published
    assert spec.values[-2] >= 1 - spec.error
    assert spec.condition_number == pytest.approx(
        spec.norm / float(smallest), rel=2 * spec.error / float(smallest), abs=0
    )
    circular = cs.spectrum(op.circular())
    assert circular.values[-1] >= 1 - circular.error


@pytest.mark.parametrize("n", [5, 40])
def test_well_conditioned_twin(n: int) -> None:
    """The same two taps the other way round: 2 on the diagonal, so sigma_n >= 1."""
    op = cs.ConvOperator(line(1, 2), n, padding=((1, 0),))
    spec = cs.spectrum(op)
    assert spec.values[-1] >= 1 - spec.error
    assert spec.condition_number < 3


def test_below_rounding_the_error_says_so() -> None:
    """n = 60: sigma_n is 1e-18, which float64 cannot tell from 0; error covers it."""
    op = cs.ConvOperator(line(1, 2), 60, padding=((0, 1),))
    spec = cs.spectrum(op)
    smallest = exact_smallest(60)
    assert smallest < 1e-17
    assert abs(mpmath.mpf(spec.values[-1]) - smallest) <= spec.error


# -- defects seen in public code ------------------------------------------------------


def test_kernel_larger_than_the_torus_is_folded() -> None:
    """k = 5 on n = 3: a two-dimensional FFT of size 3 crops the kernel instead."""
    weight = gaussian(5, 2, 2, 5, 5)
    op = cs.ConvOperator(weight, 3, padding=2, padding_mode="circular")
    truth = np.linalg.norm(op.to_dense().numpy(), 2)
    spec = cs.spectrum(op, method="fourier")
    assert spec.norm == pytest.approx(truth, rel=1e-13, abs=0)
    cropped = np.fft.fft2(weight.numpy(), (3, 3)).transpose(2, 3, 0, 1)
    assert abs(np.linalg.svd(cropped, compute_uv=False).max() - truth) > 0.1 * truth


def test_folded_kernel_by_hand() -> None:
    """Ones over 5 taps on 3 pixels: [2, 2, 1] circulant, so 5, 1, 1; cropped 3, 0, 0."""
    op = cs.ConvOperator(torch.ones(1, 1, 5), 3, padding=2, padding_mode="circular")
    spec = cs.spectrum(op, method="fourier")
    np.testing.assert_allclose(spec.values, [5, 1, 1], rtol=0, atol=spec.error)


@pytest.mark.parametrize("mode", ["zeros", "circular"])
def test_groups_take_the_maximum_not_the_product(mode: str) -> None:
    """Four depthwise groups below and above norm 1: any product would be another."""
    weight = torch.stack([line(w)[0] for w in (0.5, 0.8, 1.25, 0.9)])
    op = cs.ConvOperator(weight, 6, groups=4, padding_mode=mode)
    assert (
        cs.spectrum(op).values.tolist() == [1.25] * 6 + [0.9] * 6 + [0.8] * 6 + [0.5] * 6
    )
    weight = gaussian(6, 4, 1, 3, 3)
    options = {"padding": 1, "padding_mode": mode}
    whole = cs.spectrum(cs.ConvOperator(weight, 5, groups=4, **options))
    apart = [cs.spectrum(cs.ConvOperator(w[None], 5, **options)) for w in weight]
    assert whole.norm == pytest.approx(max(s.norm for s in apart), rel=1e-14, abs=0)
    assert whole.norm != pytest.approx(math.prod(s.norm for s in apart), rel=1e-2, abs=0)
    union = oracles.descending(np.concatenate([s.values for s in apart]))
    np.testing.assert_allclose(whole.values, union, rtol=0, atol=2 * whole.error)


def test_stride_with_circular_padding_has_fewer_values() -> None:
    """n / stride outputs per axis and as many values, not those of stride 1."""
    weight = gaussian(7, 3, 3, 3, 3)
    op = cs.ConvOperator(weight, 6, stride=2, padding=1, padding_mode="circular")
    spec = cs.spectrum(op, method="fourier")
    assert spec.values.shape == (27,)
    known = oracles.singular_values(op.to_dense().numpy())
    np.testing.assert_allclose(spec.values, known, rtol=0, atol=2 * spec.error)
    plain = cs.ConvOperator(weight, 6, padding=1, padding_mode="circular")
    assert spec.norm < cs.spectrum(plain).norm * 0.99


def test_torus_norm_is_no_bound_for_zero_padding() -> None:
    """[1, -2, 1], n = 3: 2 + sqrt(2) with zeros, 3 on the torus of the same size."""
    op = cs.ConvOperator(line(1, -2, 1), 3, padding=1)
    zeros, torus = cs.spectrum(op), cs.spectrum(op.circular())
    assert zeros.norm == pytest.approx(2 + math.sqrt(2), abs=zeros.error)
    assert torus.norm == pytest.approx(3, abs=torus.error)
    assert zeros.norm > torus.norm

"""Upper ends against witnesses in exact arithmetic, where values lie close together.

A vector v with ``||A v|| > c ||v||``, in fractions, refutes ``sigma_1 <= c`` whatever
rounding did. Kernels of one tap act on each pixel alone, so A may be the kernel itself.
"""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import torch

import convspec as cs

RTOLS = (1e-7, 1e-9, 1e-12, 1e-14)


def nearly_orthogonal(side: int, spread: float, seed: int) -> np.ndarray:
    """``U S V^T`` with values from 1 to 1 + spread."""
    generator = np.random.default_rng(seed)
    left, right = (np.linalg.qr(generator.standard_normal((side, side)))[0] for _ in "ab")
    return (left * (1 + spread * generator.random(side))) @ right.T


def integers(values: np.ndarray, bits: int) -> list[int]:
    """The values times ``2^bits``, exactly."""
    mantissas, exponents = np.frexp(values.ravel())
    return [
        int(mantissa * 2**53) << (int(exponent) - 53 + bits)
        for mantissa, exponent in zip(mantissas, exponents, strict=True)
    ]


def refuted(weight: np.ndarray, upper: float) -> bool:
    """Whether the leading right singular vector, as rounded, is longer than ``upper``."""
    vector = np.linalg.svd(weight)[2][0]
    rows = np.array(integers(weight, 1200), dtype=object).reshape(weight.shape)
    v = np.array(integers(vector, 1200), dtype=object)
    (limit,) = integers(np.array([upper]), 1200)
    return int(((rows @ v) ** 2).sum()) > limit**2 * int((v**2).sum())


def test_a_witness_refutes() -> None:
    weight = nearly_orthogonal(9, 1e-3, 0)
    norm = np.linalg.norm(weight, 2)
    assert refuted(weight, norm * (1 - 1e-15))
    assert not refuted(weight, norm * (1 + 1e-15))


@pytest.mark.parametrize("rtol", RTOLS)
@pytest.mark.parametrize(("side", "spread"), [(40, 1e-7), (200, 1e-7), (200, 1e-6)])
def test_nearly_orthogonal_layers(side: int, spread: float, rtol: float) -> None:
    for seed in range(3):
        weight = nearly_orthogonal(side, spread, seed)
        op = cs.ConvOperator(torch.from_numpy(weight)[:, :, None, None], (8, 8))
        assert not refuted(weight, cs.spectral_norm(op, rtol).upper)


@pytest.mark.slow
@pytest.mark.parametrize("rtol", RTOLS)
@pytest.mark.parametrize("spread", [1e-9, 1e-7, 1e-6, 1e-5, 1e-3])
@pytest.mark.parametrize("side", [100, 300, 400])
def test_many_nearly_orthogonal_layers(side: int, spread: float, rtol: float) -> None:
    for seed in range(6):
        weight = nearly_orthogonal(side, spread, seed)
        op = cs.ConvOperator(torch.from_numpy(weight)[:, :, None], 1)
        assert not refuted(weight, cs.spectral_norm(op, rtol).upper)


@pytest.mark.parametrize("rtol", RTOLS[1:])
def test_nearly_orthogonal_on_a_torus(rtol: float) -> None:
    """One tap off centre: a cyclic shift of the layer above."""
    weight = nearly_orthogonal(200, 1e-7, 1)
    taps = torch.zeros(200, 200, 3, dtype=torch.float64)
    taps[:, :, 2] = torch.from_numpy(weight)
    op = cs.ConvOperator(taps, 64, padding=1, padding_mode="circular")
    assert not refuted(weight, cs.spectral_norm(op, rtol).upper)


def norm_of_sixty_digits(weight: torch.Tensor) -> mpmath.mpf:
    with mpmath.workdps(60):
        matrix = mpmath.matrix(weight.tolist())
        gram = matrix.T * matrix
        return mpmath.sqrt(max(mpmath.eigsy(gram, eigvals_only=True)))


def assert_single_taps(seeds: range, rtol: float) -> None:
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        weight = torch.randn(6, 4, 1, dtype=torch.float64, generator=generator)
        bound = cs.spectral_norm(cs.ConvOperator(weight, 1), rtol)
        with mpmath.workdps(60):
            assert bound.lower <= norm_of_sixty_digits(weight[..., 0]) <= bound.upper


@pytest.mark.parametrize("rtol", [1e-9, 1e-12, 1e-14, 1e-15])
def test_single_taps(rtol: float) -> None:
    assert_single_taps(range(25), rtol)


@pytest.mark.slow
@pytest.mark.parametrize("rtol", [1e-9, 1e-12, 1e-14, 1e-15])
def test_many_single_taps(rtol: float) -> None:
    assert_single_taps(range(25, 700), rtol)

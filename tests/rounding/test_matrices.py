"""Norms, products, Cholesky tests and singular values against 50 digits, no tolerance."""

from __future__ import annotations

import math
from collections.abc import Callable

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import convspec as cs
from convspec.rounding import (
    certified_below,
    frobenius_above,
    frobenius_below,
    norm_above,
    norm_enclosure,
    verified_singular_values,
)
from convspec.rounding.definite import at_least, at_most
from convspec.rounding.products import gram_matrix
from convspec.rounding.scaling import ldexp_above, ldexp_below, scaled
from convspec.rounding.svd import length_above, length_below
from tests import exact

UNIT = 2.0**-53
TINIEST = math.ulp(0.0)
SHAPES = [(1, 1), (4, 1), (2, 3)]


# -- matrices that are hard ---------------------------------------------------------


def gaussian(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return rng.standard_normal(shape)


def integers(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Rank deficient, values repeat."""
    return rng.integers(-1, 2, shape).astype(float)


def rank_one(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    rows, columns = shape
    left, right = rng.integers(-3, 4, rows), rng.integers(-3, 4, columns)
    return np.outer(left, right) * 0.1


def clustered(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """All values within 1e-14 of 1."""
    return np.eye(*shape) + 1e-14 * rng.standard_normal(shape)


def graded(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Entries from 1e-200 to 1."""
    return rng.standard_normal(shape) * 10.0 ** -rng.integers(0, 200, shape)


def cancelling(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Products of which little is left."""
    first = rng.standard_normal((shape[0], 1))
    return np.repeat(first, shape[1], axis=1) * (-1.0) ** np.arange(shape[1]) + 1e-15


def times(factor: float) -> Callable[..., np.ndarray]:
    return lambda rng, shape: gaussian(rng, shape) * factor


def multiples(step: float) -> Callable[..., np.ndarray]:
    return lambda rng, shape: integers(rng, shape) * step


FAMILIES: dict[str, Callable[..., np.ndarray]] = {
    "gaussian": gaussian,
    "integers": integers,
    "rank-one": rank_one,
    "clustered": clustered,
    "graded": graded,
    "cancelling": cancelling,
    "1e-160": times(1e-160),
    "1e150": times(1e150),
    "1e300": times(1e300),
    "1e-310": times(1e-310),
    "subnormal": multiples(TINIEST),
    "zero": multiples(0.0),
}


def drawn(family: str, shape: tuple[int, int], is_complex: bool, seed: int = 0) -> Tensor:
    rng = np.random.default_rng([seed, *shape])
    entries = FAMILIES[family](rng, shape)
    if is_complex:
        entries = entries + 1j * FAMILIES[family](rng, shape)
    return torch.from_numpy(np.asarray(entries))


def is_below(value: float | Tensor, truth: mpmath.mpf) -> bool:
    with mpmath.workdps(exact.DIGITS):
        return mpmath.mpf(float(value)) <= truth * (1 + mpmath.mpf(10) ** -45)


def is_above(value: float | Tensor, truth: mpmath.mpf) -> bool:
    with mpmath.workdps(exact.DIGITS):
        return truth <= mpmath.mpf(float(value)) * (1 + mpmath.mpf(10) ** -45)


@pytest.fixture(params=["real", "complex"])
def is_complex(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "complex")


# -- scaling ------------------------------------------------------------------------


@given(st.floats(0, 2.0**60), st.integers(-1100, 1100))
def test_ldexp_encloses(value: float, exponent: int) -> None:
    with mpmath.workdps(exact.DIGITS):
        truth = mpmath.ldexp(mpmath.mpf(value), exponent)
    tensor = torch.tensor(value, dtype=torch.float64)
    lower = float(ldexp_below(tensor, exponent))
    upper = float(ldexp_above(tensor, exponent))
    assert 0 <= lower <= truth <= upper
    assert upper <= lower + 4 * math.ulp(lower) or math.isinf(upper)


@pytest.mark.parametrize("family", FAMILIES)
def test_scaled_entries_are_at_most_one(family: str, is_complex: bool) -> None:
    A = drawn(family, (3, 4), is_complex)
    work, exponent = scaled(A)
    largest = float(
        torch.view_as_real(work).abs().max() if is_complex else work.abs().max()
    )
    assert largest == 0 or 0.5 <= largest < 1
    if family in ("gaussian", "integers", "1e300"):
        assert torch.equal(torch.abs(work) > 0, torch.abs(A) > 0)
        back = work * 2.0 ** (int(exponent) - 10) * 2.0**10
        assert torch.equal(back, A)


# -- norms --------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_norms_of_scaled_matrices(
    family: str, shape: tuple[int, int], is_complex: bool
) -> None:
    work = scaled(drawn(family, shape, is_complex))[0]
    length = exact.frobenius(work)
    assert is_below(frobenius_below(work), length)
    assert is_above(frobenius_above(work), length)
    if length > 0:
        gap = float(frobenius_above(work) - frobenius_below(work))
        assert gap <= (8 * work.numel() + 40) * UNIT * float(length)
    else:
        assert frobenius_above(work) == norm_above(work) == 0
    assert is_above(norm_above(work), exact.singular_values(work)[0])


@pytest.mark.parametrize("exponent", [-300, -530, -537, -541, -800, -1060])
def test_norms_whose_squares_underflow(exponent: int, is_complex: bool) -> None:
    entries = drawn("gaussian", (4, 7), is_complex)
    tiny = entries * 2.0 ** (exponent // 2) * 2.0 ** (exponent - exponent // 2)
    length = exact.frobenius(tiny)
    assert is_below(frobenius_below(tiny), length)
    assert is_above(frobenius_above(tiny), length)
    assert is_above(norm_above(tiny), exact.singular_values(tiny)[0])


@pytest.mark.parametrize("shape", [(2, 3), (5, 4)], ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_gram_matrix_is_within_its_error(
    family: str, shape: tuple[int, int], is_complex: bool
) -> None:
    work = scaled(drawn(family, shape, is_complex))[0]
    gram, error = gram_matrix(work)
    with mpmath.workdps(exact.DIGITS):
        wide = exact.matrix(work if shape[0] <= shape[1] else work.mT)
        gap = exact.matrix(gram) - wide * wide.H
        assert mpmath.mnorm(gap, "f") <= mpmath.mpf(float(error))


@pytest.mark.parametrize("family", ["gaussian", "graded", "cancelling", "rank-one"])
def test_lengths_enclose(family: str, is_complex: bool) -> None:
    A = scaled(drawn(family, (4, 3), is_complex))[0]
    v = torch.from_numpy(np.random.default_rng(1).standard_normal(3)).to(A.dtype)
    with mpmath.workdps(exact.DIGITS):
        vector = exact.matrix(v[:, None])
        truth = mpmath.mnorm(exact.matrix(A) * vector, "f") / mpmath.mnorm(vector, "f")
    assert is_below(length_below(A[None], v[None])[0], truth)
    assert is_above(length_above(A[None], v[None])[0], truth)


# -- singular values ----------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_singular_values_are_enclosed(
    family: str, shape: tuple[int, int], is_complex: bool
) -> None:
    A = drawn(family, shape, is_complex)
    truth = exact.singular_values(A)
    lower, upper = verified_singular_values(A)
    assert lower.shape == upper.shape == (min(shape),)
    for i, value in enumerate(truth):
        assert is_below(lower[i], value)
        assert is_above(upper[i], value)
    width = 64 * (math.prod(shape) + 4) * UNIT * float(truth[0]) + 4 * TINIEST
    assert torch.isinf(upper[0]) or float((upper - lower).max()) <= width
    below, above = norm_enclosure(A)
    assert is_below(below, truth[0])
    assert is_above(above, truth[0])
    assert torch.isinf(above) or float(above - below) <= width


@pytest.mark.parametrize("side", [16, 32, 64])
def test_singular_values_of_hadamard_products(side: int) -> None:
    """``P diag(d) P^T`` of integers is exact; its values n |d_i| repeat."""
    P = np.ones((1, 1))
    while len(P) < side:
        P = np.block([[P, P], [P, -P]])
    d = np.random.default_rng(side).integers(0, 4, side)
    A = torch.from_numpy((P * d) @ P.T)
    lower, upper = verified_singular_values(A)
    known = torch.from_numpy(np.sort(side * d)[::-1].astype(float))
    assert (lower <= known).all()
    assert (known <= upper).all()
    assert float((upper - lower).max()) <= 4 * side**2 * UNIT * float(known[0])
    below, above = norm_enclosure(A)
    assert below <= known[0] <= above


def test_batches_are_the_single_ones() -> None:
    batch = torch.stack([drawn("gaussian", (3, 4), False, seed) for seed in range(6)])
    scales = torch.tensor([1.0, 1e-200, 1e200], dtype=torch.float64)
    batch = batch.reshape(2, 3, 3, 4) * scales[:, None, None]
    for of in (verified_singular_values, norm_enclosure):
        together = of(batch)
        for place in np.ndindex(2, 3):
            alone = of(batch[place])
            for a, b in zip(together, alone, strict=True):
                torch.testing.assert_close(a[place], b, rtol=1e-12, atol=0.0)


def test_a_decomposition_that_is_wrong_is_not_believed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The enclosures hold whatever LAPACK returns."""
    A = drawn("gaussian", (4, 3), False)
    truth = exact.singular_values(A)
    original = torch.linalg.svd

    def worse(*args: object, **kwargs: object) -> tuple[Tensor, ...]:
        U, s, Vh = original(*args, **kwargs)
        return U + 1e-6, s * (1 - 1e-4), Vh.flip(-2) + 1e-5

    monkeypatch.setattr(torch.linalg, "svd", worse)
    lower, upper = verified_singular_values(A)
    for i, value in enumerate(truth):
        assert is_below(lower[i], value)
        assert is_above(upper[i], value)


@pytest.mark.parametrize("of", [verified_singular_values, norm_enclosure])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_entries_must_be_finite(of: Callable[..., object], bad: float) -> None:
    with pytest.raises(cs.NotFiniteError, match="must be finite"):
        of(torch.tensor([[1.0, bad]], dtype=torch.float64))


# -- Cholesky tests -----------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_certified_below(family: str, shape: tuple[int, int], is_complex: bool) -> None:
    A = drawn(family, shape, is_complex)
    (truth, *_) = exact.singular_values(A)
    nearest = float(truth)
    for gamma in (nearest, math.nextafter(nearest, 0), nearest * (1 - 1e-9), 0.0, -1.0):
        if gamma < truth:
            assert not certified_below(A, gamma)
    if math.isfinite(1.001 * nearest):
        succeeds = nearest * (1 + 64 * math.prod(shape) * UNIT) + 8 * TINIEST
        assert certified_below(A, succeeds)


def test_certified_below_in_batches() -> None:
    A = torch.stack([torch.eye(3, dtype=torch.float64) * s for s in (1, 2, 3, 4)])
    assert certified_below(A, 2.5).tolist() == [True, True, False, False]
    gammas = torch.tensor([[0.5, 3.0], [3.5, 3.5]], dtype=torch.float64)
    found = certified_below(A.reshape(2, 2, 3, 3), gammas)
    assert found.tolist() == [[False, True], [True, False]]


def test_nan_proves_nothing() -> None:
    A = torch.full((2, 2), math.nan, dtype=torch.float64)
    assert not certified_below(A, 1e300)
    one = torch.ones((), dtype=torch.float64)
    assert not at_most(A[None], one, 0 * one).any()
    assert not at_least(A[None], -one, 0 * one).any()


@pytest.mark.parametrize("side", [1, 2, 3, 7, 20])
def test_definiteness_at_the_edge(side: int, is_complex: bool) -> None:
    """lambda I + ones has the eigenvalues lambda and lambda + n, exactly."""
    dtype = torch.complex128 if is_complex else torch.float64
    for lowest in (0.0, 1.0, 2.0**-20, -3.0):
        B = torch.ones(1, side, side, dtype=dtype) + lowest * torch.eye(side, dtype=dtype)
        least = lowest if side > 1 else lowest + 1
        error = torch.zeros(1, dtype=torch.float64)
        margin = 64 * side**2 * UNIT * (abs(lowest) + side)
        for test, edge, sign in ((at_least, least, -1), (at_most, lowest + side, 1)):
            for step, proven in ((-1e-14, False), (margin, True)):
                level = torch.tensor(edge + sign * step, dtype=torch.float64)
                assert bool(test(B, level, error)) is proven
            level = torch.tensor(edge + sign * margin, dtype=torch.float64)
            assert not test(B, level, error + 2 * margin)


@pytest.mark.parametrize("side", [30, 60])
def test_cholesky_certifies_to_twelve_digits(side: int) -> None:
    A = drawn("gaussian", (side, side), False)
    norm = float(verified_singular_values(A)[1][0])
    assert certified_below(A, norm * (1 + 4e-12))
    assert not certified_below(A, norm * (1 - 1e-8))

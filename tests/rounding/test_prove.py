"""Levels raised until a test proves one: what is returned holds, and is nearly the least.

Truth is 50 digits, or a test that knows its own edge.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import mpmath
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from convspec.bounds.spectral_norm.parts import _block_norms
from convspec.rounding import norm_enclosure
from convspec.rounding.largest import LargestNorm
from convspec.rounding.products import gram_matrix
from convspec.rounding.prove import GROWTH, distances, least_proven, least_proven_of
from tests import exact
from tests.gaussian import gaussian

REAL = torch.float64


def vector(*values: float) -> Tensor:
    return torch.tensor(values, dtype=REAL)


def passes_from(edges: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """A test that proves each level from an edge on, and never less."""

    def test(levels: Tensor, places: Tensor) -> Tensor:
        return torch.where(levels >= edges[places], levels, torch.inf)

    return test


@given(
    st.lists(st.floats(0.5, 2.0), min_size=1, max_size=6),
    st.integers(-50, -2),
    st.integers(-50, -1),
)
def test_the_level_is_proven_and_nearly_the_least(
    estimates: list[float], first: int, needed: int
) -> None:
    """Whatever is needed below 1 / GROWTH is found, at most GROWTH times as far."""
    estimate, step = vector(*estimates), 2.0**first
    edges = estimate * (1 + 2.0**needed)
    none = torch.full_like(estimate, math.inf)
    found = least_proven(passes_from(edges), estimate, step, none)
    assert (found >= edges).all() or 2.0**needed * GROWTH >= 1
    if 2.0**needed * GROWTH < 1:
        most = max(step, GROWTH * 2.0**needed) + 2.0**-51
        assert (found <= estimate * (1 + most)).all()


def test_an_estimate_far_off_proves_nothing() -> None:
    """Less than half of the truth: no distance below 1 reaches it."""
    edges, known = vector(1.0, 1.0), vector(math.inf, 7.0)
    found = least_proven(passes_from(edges), vector(0.4, 0.4), 1e-12, known)
    assert found.tolist() == [math.inf, 7.0]


def test_what_is_known_is_never_given_away() -> None:
    edges = vector(1.0, 1.0, 1.0)
    known = vector(1.5, 1.0 + 1e-13, math.inf)
    found = least_proven(passes_from(edges), edges, 1e-9, known)
    assert found.tolist() == [1 + 1e-9, 1 + 1e-13, 1 + 1e-9]
    assert known.tolist() == [1.5, 1.0 + 1e-13, math.inf]


def test_only_what_is_left_is_tested_again() -> None:
    asked = []
    passes = passes_from(vector(1.0, 1.1, 1.0, 1.3))

    def test(levels: Tensor, places: Tensor) -> Tensor:
        asked.append(places.tolist())
        return passes(levels, places)

    ones = torch.ones(4, dtype=REAL)
    found = least_proven(test, ones, 0.05, torch.full_like(ones, math.inf))
    assert asked == [[0, 1, 2, 3], [1, 3], [3]]
    assert found.tolist() == [1.05, 1.2, 1.05, 1.8]


@pytest.mark.parametrize("first", [0.0, -1.0, math.inf, math.nan])
def test_no_test_above_an_estimate_that_cannot_be_raised(first: float) -> None:
    def never(level: float) -> float:
        raise AssertionError(f"tested {level}")

    assert least_proven_of(never, first, 1e-9) == math.inf
    one = least_proven_of(lambda level: level, 1.0, 2.0**-30)
    assert one == 1 + 2.0**-30


def test_one_problem_is_raised_likewise() -> None:
    found = least_proven_of(lambda level: level if level > 1.01 else math.inf, 1.0, 1e-6)
    assert 1.01 < found <= 1 + GROWTH * 0.01


def test_distances_end_below_one() -> None:
    assert not list(distances(1.0))
    assert list(distances(2.0**-5)) == [2.0**-5, 2.0**-3, 2.0**-1]


# -- with Cholesky tests, against 50 digits ----------------------------------------------


def hard(is_complex: bool) -> dict[str, Tensor]:
    """Matrices of which the first tests are at their edge, (2, r, c)."""
    kind = torch.complex128 if is_complex else REAL
    return {
        "entry": gaussian(0, 2, 1, 1, dtype=kind),
        "integers": gaussian(1, 2, 2, 3).round().to(kind),
        "rank-one": gaussian(2, 2, 5, 1, dtype=kind) @ gaussian(3, 2, 1, 4, dtype=kind),
        "cluster": torch.eye(6, dtype=kind) + 1e-15 * gaussian(4, 2, 6, 6, dtype=kind),
        "wide": gaussian(5, 2, 3, 40, dtype=kind),
        "zero": torch.zeros(2, 3, 2, dtype=kind),
    }


CASES = [(name, is_complex) for is_complex in (False, True) for name in hard(False)]


def holds(value: float, matrix: Tensor, radius: float) -> bool:
    """Whether it is at least ``||X|| + radius``, the most that lies within the radius."""
    with mpmath.workdps(exact.DIGITS):
        truth = exact.singular_values(matrix)[0] + mpmath.mpf(radius)
        return mpmath.mpf(value) >= truth * (1 - mpmath.mpf(10) ** -45)


@pytest.mark.parametrize(("name", "is_complex"), CASES)
@pytest.mark.parametrize("radius", [0.0, 1e-13, 0.5])
def test_norms_within_a_radius(name: str, is_complex: bool, radius: float) -> None:
    matrices = hard(is_complex)[name]
    norms = torch.linalg.matrix_norm(matrices, 2)
    rows, columns = matrices.shape[1:]
    for share in (0.5, 1.0, 1 + 1e-12, 2.0):
        target = float(norms.max()) * share + radius
        found = _block_norms(matrices, target, radius)
        for value, matrix in zip(found.tolist(), matrices, strict=True):
            assert holds(value, matrix, radius)
        near = (norms + radius) * (1 + 2.0**-48 * (rows * columns + 4)) + 1e-150
        assert (found <= near.clamp(min=target)).all()


@pytest.mark.parametrize(("name", "is_complex"), CASES)
def test_norms_of_known_matrices(name: str, is_complex: bool) -> None:
    matrices = hard(is_complex)[name]
    _, upper = norm_enclosure(matrices)
    for value, matrix in zip(upper.tolist(), matrices, strict=True):
        assert holds(value, matrix, 0.0)
    assert all(
        holds(LargestNorm.of([matrices]).above, matrix, 0.0) for matrix in matrices
    )


@pytest.mark.parametrize("scale", [1e-155, 1e-163, 1e-170, 1e-200, 5e-324])
@pytest.mark.parametrize("is_complex", [False, True])
def test_gram_matrices_whose_squares_vanish(scale: float, is_complex: bool) -> None:
    """What underflows is within the error, also where all of it does."""
    kind = torch.complex128 if is_complex else REAL
    matrix = scale * torch.ones(2, 3, dtype=kind)
    gram, error = gram_matrix(matrix[None])
    with mpmath.workdps(exact.DIGITS):
        truth = exact.matrix(matrix) * exact.matrix(matrix).H
        off = exact.singular_values(exact.matrix(gram[0]) - truth)[0]
        assert off <= mpmath.mpf(float(error))


@pytest.mark.parametrize("scale", [1e-155, 1e-170, 1e-200, 1e-300, 5e-324])
def test_the_largest_where_squares_vanish(scale: float) -> None:
    """A Gram matrix computed as 0 is no proof of 0: at no distance, at no level."""
    matrices = scale * torch.ones(3, 2, 2, dtype=REAL)
    found = LargestNorm.of(matrices.split(1)).above
    assert 2 * scale <= found <= 1e-130

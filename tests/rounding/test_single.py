"""Single precision proves only what is so, and all that has the room."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import convspec as cs
from convspec.rounding.single import at_most_single, single_error, single_room
from tests.gaussian import gaussian


def flat(side: int) -> Tensor:
    """``X X^H`` of a random matrix, an edge at about 4."""
    factor = torch.complex(gaussian(0, side, side), gaussian(1, side, side))
    return factor @ factor.mH / (2 * side)


def spiked(side: int) -> Tensor:
    """One eigenvalue far above the others."""
    v = torch.complex(gaussian(0, side), gaussian(1, side))
    return 50 * torch.outer(v, v.conj()) / side + flat(side)


def isometry(side: int) -> Tensor:
    """All eigenvalues the same."""
    return 3 * torch.eye(side, dtype=torch.complex128)


def several(side: int) -> Tensor:
    """A quarter of the eigenvalues near the largest, the others 0."""
    basis = torch.linalg.qr(flat(side)).Q[:, : max(1, side // 4)]
    product: Tensor = 7 * basis @ basis.mH
    return product


MAKERS = [flat, spiked, isometry, several]
OFFSETS = [-1e-2, -1e-4, -1e-6, -1e-7, -1e-9, 1e-9, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3]
OFFSETS += [3e-3, 1e-2, 0.1, 1.0]


@pytest.mark.parametrize("side", [2, 5, 16, 40, 64, 130, 200])
@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_proves_only_what_is_so(make: Callable[[int], Tensor], side: int) -> None:
    gram = make(side)
    largest = float(torch.linalg.eigvalsh(gram)[-1])
    offsets = torch.tensor(OFFSETS, dtype=torch.float64)
    ceilings = largest * (1 + offsets)
    matrices = gram.expand(len(offsets), side, side).to(torch.complex64)
    error = single_error(matrices, torch.full_like(ceilings, 1e-13))
    proven, unsure = at_most_single(
        matrices, ceilings, error, torch.full_like(ceilings, math.inf)
    )
    assert not (proven & (offsets < 0)).any()
    assert not (proven & unsure).any()
    assert proven[-1]
    if make in (flat, spiked):  # an isometry takes side times more
        assert proven[offsets > 4 * single_room(side)].all()


def test_what_takes_too_much_room_is_left_open() -> None:
    gram = isometry(64)[None].to(torch.complex64)
    ceiling = torch.full((1,), 3.0001, dtype=torch.float64)
    error = single_error(gram, torch.zeros(1, dtype=torch.float64))
    room = torch.full((1,), 1e-6, dtype=torch.float64)
    proven, unsure = at_most_single(gram, ceiling, error, room)
    assert unsure
    assert not proven


@pytest.mark.parametrize("side", [3, 32, 100])
def test_rounding_of_matrices_is_covered(side: int) -> None:
    gram = spiked(side)
    rounded = gram.to(torch.complex64)
    lost = float(torch.linalg.matrix_norm(gram - rounded.to(gram), 2))
    bound = single_error(rounded[None], torch.full((1,), 1e-9, dtype=torch.float64))
    assert lost <= float(bound) <= 1e-9 + 1e-6 * side * 50


def test_no_room_on_sides_that_are_too_large() -> None:
    assert single_room(10**6) == math.inf
    assert single_room(16) < single_room(64) < single_room(512) < 0.01


@pytest.mark.parametrize("side", [4, 24, 48])
@pytest.mark.parametrize("rtol", [1e-2, 1e-3])
def test_wide_gaps_agree_with_narrow_ones(side: int, rtol: float) -> None:
    """At a wide gap most cells are excluded in single precision."""
    weight = gaussian(side, side, side, 3, 3)
    wide = cs.worst_case_norm(weight, rtol=rtol)
    grid = torch.fft.fft2(weight, s=(16, 16)).movedim((0, 1), (2, 3))
    assert wide.converged
    assert float(torch.linalg.matrix_norm(grid, 2).max()) <= wide.upper
    narrow = cs.worst_case_norm(weight, rtol=1e-8, max_seconds=3)
    assert narrow.lower <= wide.upper
    assert wide.lower <= narrow.upper
    # the lower end is a local maximum to rounding, whatever the gap
    assert wide.lower >= narrow.lower * (1 - rtol)

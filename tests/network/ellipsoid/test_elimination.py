"""What an activation leaves of a core is above the truth, in 50 digits."""

from __future__ import annotations

import mpmath
import pytest
import torch
from torch import Tensor

from convspec.network.ellipsoid.elimination import eliminated
from convspec.network.ellipsoid.root import Infeasible
from tests.gaussian import gaussian

# entries of the core, rows of E, how far G is above, logarithm of the scales of rows
CASES = {
    "fewer rows": (4, 2, 1.0, 0),
    "as many": (3, 3, 0.5, 0),
    "more rows": (2, 5, 1.0, 0),
    "one": (1, 1, 1.0, 0),
    "close": (4, 2, 1e-5, 0),
    "close, more rows": (2, 4, 1e-5, 0),
    "scales": (4, 3, 0.1, 5),
    "scales, more rows": (2, 4, 0.1, 5),
}


def drawn(case: tuple[int, int, float, int], seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """S, E and G at two frequencies."""
    width, rows, margin, spread = case
    root = torch.view_as_complex(gaussian(seed, 2, width, width, 2))
    core = root @ root.mH
    core = (core + core.mH) / 2
    scales = torch.logspace(-spread, spread, rows, dtype=torch.float64)
    matrix = torch.view_as_complex(gaussian(seed + 1, 2, rows, width, 2))
    matrix = scales[:, None] * matrix
    inner = matrix @ core @ matrix.mH / scales[:, None] / scales
    top = torch.linalg.eigvalsh((inner + inner.mH) / 2)[:, -1].max()
    return core, matrix, ((1 + margin) * top * scales**2)[None]


def exact(core: Tensor, matrix: Tensor, room: Tensor) -> mpmath.matrix:
    """``S + Y^H H^-1 Y``."""
    known, read = (mpmath.matrix(x.numpy().tolist()) for x in (core, matrix))
    rows = read * known
    wide = mpmath.diag([mpmath.mpf(x) for x in room.tolist()])
    return known + rows.H * mpmath.inverse(wide - rows * read.H) * rows


def least(found: Tensor, wanted: mpmath.matrix) -> mpmath.mpf:
    gap = mpmath.matrix(found.numpy().tolist()) - wanted
    return min(mpmath.eighe((gap + gap.H) / 2, eigvals_only=True))


@pytest.mark.parametrize("off", [0.0, 1e-9], ids=["E exact", "E off"])
@pytest.mark.parametrize("name", CASES)
def test_it_is_above_and_close(name: str, off: float) -> None:
    core, matrix, room = drawn(CASES[name], 7)
    error = torch.full((2,), off * float(matrix.abs().max()), dtype=torch.float64)
    if CASES[name][2:] != (1.0, 0) and off:
        error = error * 1e-6
    found = eliminated(core, matrix, room, error)
    assert torch.equal(found, found.mH)
    turned = torch.view_as_complex(gaussian(9, *matrix.shape, 2))
    turned = turned / torch.linalg.matrix_norm(turned)[:, None, None]
    with mpmath.workdps(50):
        for j in range(2):
            for sign in (-1, 1) if off else (0,):
                true = matrix[j] + sign * float(error[j]) * (1 - 1e-3) * turned[j]
                wanted = exact(core[j], true, room[0])
                assert least(found[j], wanted) >= 0
                top = max(mpmath.eighe((wanted + wanted.H) / 2, eigvals_only=True))
                assert float(torch.linalg.matrix_norm(found[j], 2)) <= 1.01 * top


@pytest.mark.parametrize("name", CASES)
def test_a_search_finds_the_same(name: str) -> None:
    core, matrix, room = drawn(CASES[name], 11)
    error = torch.zeros(2, dtype=torch.float64)
    proven = eliminated(core, matrix, room, error)
    found = eliminated(core, matrix, room, None)
    off = torch.linalg.matrix_norm(found - proven, 2)
    assert bool(
        (off <= 1e-10 / CASES[name][2] * torch.linalg.matrix_norm(proven, 2)).all()
    )


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("proven", [True, False])
def test_what_is_not_above_is_refused(name: str, proven: bool) -> None:
    core, matrix, room = drawn(CASES[name], 13)
    margin = CASES[name][2]
    error = torch.zeros(2, dtype=torch.float64) if proven else None
    with pytest.raises(Infeasible):
        eliminated(core, matrix, room * (1 - 1e-3) / (1 + margin), error)

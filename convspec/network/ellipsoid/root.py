"""A triangular root of at least a covariance, at each frequency."""

from __future__ import annotations

import torch
from torch import Tensor

from convspec.network.ellipsoid.form import UNIT, lengths

__all__ = ["Infeasible", "root_above"]

# what is added to a core before it is factorised, of its largest diagonal entry; and
# more for what the factorisation of a wide one rounds
LIFT = 1e-12


class Infeasible(Exception):
    """A multiplier that is not above the ellipsoid at each frequency."""


def root_above(core: Tensor, proven: bool) -> Tensor:
    """L with ``L L^H >= S``, a little more than equal; (F, c, c).

    Args:
        core: S, Hermitian.
        proven: Whether that is checked, rounding included.

    Raises:
        Infeasible: If S has no such factor, or the check fails.
    """
    width = core.shape[1]
    diagonal = core.detach().diagonal(dim1=1, dim2=2).real
    lift = LIFT * diagonal.amax(1) + 32 * (width + 8) * UNIT * diagonal.sum(1)
    lift = lift.clamp(min=1e-300)
    eye = torch.eye(width, dtype=core.dtype, device="cpu")
    lifted = core + lift[:, None, None] * eye
    factor, info = torch.linalg.cholesky_ex(lifted)
    if bool(info.any()):
        raise Infeasible
    if proven:  # what L L^H is off by is less than what was added
        terms = 8 * (width + 8) * UNIT
        size = lengths(factor) * (1 + 1e-9)
        missing = lengths(lifted - factor @ factor.mH) + terms * size**2
        if not bool((missing + 4 * UNIT * lengths(lifted) < lift).all()):
            raise Infeasible
    found: Tensor = factor
    return found

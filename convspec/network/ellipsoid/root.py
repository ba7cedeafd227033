"""A triangular root of at least a covariance, at each frequency."""

from __future__ import annotations

import torch
from torch import Tensor

from convspec.network.ellipsoid.lengths import UNIT
from convspec.rounding.definite import cholesky_error
from convspec.rounding.scaling import UNDERFLOW

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
        proven: Whether rounding is accounted for.

    Raises:
        Infeasible: If S has no such factor, or rounding may exceed what is added.
    """
    width = core.shape[1]
    diagonal = core.detach().diagonal(dim1=1, dim2=2).real
    lift = LIFT * diagonal.amax(1) + 32 * (width + 8) * UNIT * diagonal.sum(1)
    lift = lift.clamp(min=4 * UNDERFLOW)
    eye = torch.eye(width, dtype=core.dtype, device="cpu")
    lifted = core + lift[:, None, None] * eye
    factor, info = torch.linalg.cholesky_ex(lifted)
    if bool(info.any()):
        raise Infeasible
    if proven:
        # what was factorised is less than S + lift by the rounding of a diagonal entry,
        # and L L^H by a share of its trace (Higham, theorem 10.3)
        trace = (diagonal + lift[:, None]).sum(1) * (1 + 2 * (width + 2) * UNIT)
        share = cholesky_error(width, core.is_complex()) + 4 * UNIT
        if not bool((share * trace * (1 + 1e-9) + UNDERFLOW < lift).all()):
            raise Infeasible
    found: Tensor = factor
    return found

"""The constant that an ellipsoid of outputs proves, rounding included."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from convspec.network.ellipsoid.group import Group
from convspec.network.ellipsoid.multipliers import Multipliers
from convspec.network.ellipsoid.propagation import Propagation
from convspec.network.ellipsoid.root import Infeasible
from convspec.rounding.definite import at_most
from convspec.rounding.directed import up
from convspec.rounding.scaling import ldexp_above

__all__ = ["Proven", "estimate", "prove"]

# how far above the computed largest eigenvalue a Cholesky test is tried, by turns
SLACKS = (1e-13, 1e-12, 1e-11, 1e-10, 1e-9, 1e-8, 1e-6, 1e-4, 1e-2, 1.0)

# what a network that is constant is proven to have at most, well above underflow
LEAST_LEVEL = 2.0**-860

# a scale below 2^-this is taken for it, which is more
MOST_BELOW = 2000

# outputs up to which an estimate decomposes, and steps for more of them
WIDE, POWER_STEPS = 128, 60


@dataclass(frozen=True)
class Proven:
    """What a proven passage gives.

    Attributes:
        upper: At least the Lipschitz constant.
        pairs: For a vector of K outputs at least the constants of the differences
            ``y_i - y_j``, (K, K); None for images.
    """

    upper: float
    pairs: Tensor | None


def estimate(group: Group) -> Tensor:
    """``ln sqrt(lambda_max(S))``, differentiable where eigenvalues are simple.

    Of wide outputs by power steps, which may end a little below.
    """
    core = group.core
    with torch.no_grad():
        if core.shape[1] <= WIDE:
            values, vectors = torch.linalg.eigh(core.detach())
            top = int(values[:, -1].argmax())
            vector = vectors[top, :, -1]
        else:
            top = int(torch.linalg.matrix_norm(core.detach()).argmax())
            vector = core[top].detach().sum(1)
            for _ in range(POWER_STEPS):
                vector = core[top].detach() @ (vector / vector.abs().max())
        vector = vector / torch.linalg.vector_norm(vector)
    value = (vector.conj() @ (core[top] @ vector)).real
    return 0.5 * (torch.log(value) + group.exponent * math.log(2))


def prove(propagation: Propagation, multipliers: Multipliers) -> Proven:
    """Carry the ellipsoid through with rounding accounted for, and test its end.

    Args:
        propagation: Of the network.
        multipliers: Fixed.

    Raises:
        Infeasible: If a multiplier is not above the ellipsoid, as far as proven.
    """
    with torch.no_grad():
        group = propagation.run(multipliers, proven=True)
        return Proven(_largest(group), _pairs(group))


def _largest(group: Group) -> float:
    """At least ``sqrt(lambda_max(S))`` over all frequencies."""
    blocks, odd = group.core, group.exponent % 2
    if not bool(torch.isfinite(blocks).all()):
        raise Infeasible
    top = float(torch.linalg.eigvalsh(blocks)[:, -1].max())
    none = torch.zeros(len(blocks), dtype=torch.float64, device="cpu")
    for slack in SLACKS:
        level = up(max(top, LEAST_LEVEL) * (1 + slack), 2)
        if bool(at_most(blocks, none + level, none).all()):
            square = level * 2.0**odd
            # up again, since a number below the normal ones is rounded
            return up(math.ldexp(up(math.sqrt(square)), (group.exponent - odd) // 2))
    raise Infeasible


def _pairs(group: Group) -> Tensor | None:
    """``sqrt(S_ii + S_jj - 2 S_ij)``, rounded up."""
    if not group.lattice.is_vector:
        return None
    blocks = group.core[0]
    diagonal = blocks.diagonal()
    sizes = diagonal[:, None].abs() + diagonal[None].abs()
    squares = diagonal[:, None] + diagonal[None] - 2 * blocks
    squares = (squares + 2.0**-50 * (sizes + 2 * blocks.abs())).clamp(min=0)
    odd = group.exponent % 2
    roots = (squares * 2.0**odd).sqrt() * (1 + 2.0**-50)
    found = ldexp_above(roots, max((group.exponent - odd) // 2, -MOST_BELOW))
    found.fill_diagonal_(0.0)
    return found

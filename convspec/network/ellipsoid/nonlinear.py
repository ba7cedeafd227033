"""What an activation, or a map with a constant, does to an ellipsoid.

An activation with slopes in [l, u] is ``phi(z) = m z + h psi(z)``, ``m = (l + u) / 2``,
``h = (u - l) / 2``, with ``|psi_i| <= |z_i|``, entry by entry. For a positive diagonal
``Lambda > S_zz`` at every frequency, subtracting ``z^H Lambda^-1 z - psi^H Lambda^-1 psi
>= 0`` from the form of the stack q (the S-procedure) leaves an ellipsoid of (q, psi) with

    S_qq + S_qz (Lambda - S_zz)^-1 S_zq   and   S_psi = Lambda,

uncorrelated. Source: the elimination of the matrix inequality of Fazlyab, Robey, Hassani,
Morari and Pappas, Efficient and accurate estimation of Lipschitz constants, NeurIPS 2019,
block by block.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from convspec.network.ellipsoid.group import Group
from convspec.network.ellipsoid.lattice import Lattice
from convspec.rounding.definite import at_least

__all__ = ["Infeasible", "activated", "fits", "weighted"]

UNIT = 2.0**-53


class Infeasible(Exception):
    """A multiplier that is not above the ellipsoid at each frequency."""


@dataclass(frozen=True)
class Slopes:
    """m and h of each channel; (c,)."""

    middle: Tensor
    half: Tensor


def slopes(lower: Tensor, upper: Tensor) -> Slopes:
    """Middles and halves of intervals, the halves a little larger than rounded."""
    middle = (lower + upper) / 2
    half = (upper - lower) / 2
    return Slopes(middle, half + 4 * UNIT * (lower.abs() + upper.abs()))


def activated(
    group: Group, place: int, new: int, given: Slopes, multiplier: Tensor
) -> Group:
    """A group with the activation of one of its tensors, which it keeps.

    Args:
        group: Of z and others.
        place: Of z.
        new: Of phi(z).
        given: Slopes of each channel.
        multiplier: Lambda, at the scale of the group's blocks; (c,).

    Raises:
        Infeasible: If the multiplier is not above S_zz.
    """
    S, where = group.blocks, group.slices[place]
    rows = S[:, where]  # (F, c, C)
    wide = torch.diag_embed(multiplier).to(S.dtype)
    gap = wide - S[:, where, where]
    floor = _floor(group, gap, multiplier)
    solved = torch.linalg.solve(gap, rows)
    grown = S + rows.mH @ solved  # (F, C, C)
    error = _update_error(group, gap, rows, solved, floor)
    m, h = given.middle, given.half
    cross = m[:, None] * grown[:, where]  # (F, c, C)
    own = cross[:, :, where] * m + torch.diag_embed(h**2 * multiplier).to(S.dtype)
    blocks = torch.cat([torch.cat([grown, cross.mH], 2), torch.cat([cross, own], 2)], 1)
    slices = {**group.slices, new: slice(group.width, blocks.shape[-1])}
    found = Group(group.lattice, blocks, group.exponent, slices, group.proven)
    if group.proven:
        largest = float(m.abs().max())
        spread = 8 * UNIT * torch.linalg.matrix_norm(cross)
        error = error * (1 + largest) ** 2 + 4 * spread * (1 + largest)
        error = error + 16 * UNIT * float((h**2 * multiplier).max())
    return found.enlarged(error)


def _floor(group: Group, gap: Tensor, multiplier: Tensor) -> Tensor:
    """At most ``lambda_min(gap)``, positive and proven; (F,)."""
    none = torch.zeros(len(gap), dtype=torch.float64, device="cpu")
    if not group.proven:
        with torch.no_grad():
            _, info = torch.linalg.cholesky_ex(gap)
            if bool(info.any()):
                raise Infeasible
        return none
    subtracted = 2 * UNIT * gap.diagonal(dim1=1, dim2=2).real.abs().amax(1)
    trial: Tensor = torch.linalg.eigvalsh(gap)[:, 0] / 2
    if not bool((trial > 0).all()):
        raise Infeasible
    if not bool(at_least(gap, trial, subtracted + none).all()):
        raise Infeasible
    del multiplier
    return trial


def _update_error(
    group: Group, gap: Tensor, rows: Tensor, solved: Tensor, floor: Tensor
) -> Tensor:
    """How far ``S_:z solved`` is from ``S_:z H^-1 S_z:``; (F,).

    With ``R = S_z: - gap solved``: ``|S_:z gap^-1 R| <= |S_z:| |R| / lambda_min(gap)``.
    """
    if not group.proven:
        return torch.zeros(len(gap), dtype=torch.float64, device="cpu")
    norm = torch.linalg.matrix_norm
    terms = 4 * (gap.shape[-1] + 8) * UNIT
    product = gap @ solved
    residual = norm(rows - product) + terms * norm(gap) * norm(solved) + UNIT * norm(rows)
    side = norm(rows)
    # gap itself is rounded on its diagonal
    moved = 2 * UNIT * gap.diagonal(dim1=1, dim2=2).real.abs().amax(1) * norm(solved)
    total = side * (residual + moved) / floor + terms * side * norm(solved)
    found: Tensor = (total + 4 * UNIT * norm(group.blocks)) * (1 + 1e-6)
    return found


def fits(blocks: Tensor, multiplier: Tensor, proven: bool) -> bool:
    """Whether ``Lambda >= S`` at each frequency."""
    gap = torch.diag_embed(multiplier).to(blocks.dtype) - blocks
    if not proven:
        return True
    error = 2 * UNIT * gap.diagonal(dim1=1, dim2=2).real.abs().amax(1)
    return bool(at_least(gap, torch.zeros_like(error), error).all())


def weighted(
    group: Group,
    place: int,
    new: int,
    lattice: Lattice,
    gain: float,
    multiplier: Tensor,
    width: int,
) -> Group:
    """A map of which ``|g(x) - g(x')|_{B^-1} <= |x - x'|_{Lambda^-1}`` is known, alone.

    Args:
        group: Of x.
        place: Of x.
        new: Of g(x).
        lattice: Of g(x).
        gain: The square of its constant, channel by channel, or between all.
        multiplier: Lambda, at the scale of the group's blocks; (c,).
        width: Channels of g(x).

    Raises:
        Infeasible: If the multiplier is not above S_xx.
    """
    if not fits(group.block(place), multiplier, group.proven):
        raise Infeasible
    diagonal = gain * multiplier * (1 + 4 * UNIT)
    if len(diagonal) != width:  # one number for all
        diagonal = diagonal.max().expand(width)
    return Group.white(lattice, diagonal, new, group)

"""What a transposed convolution of stride s does to an ellipsoid.

Zeros are put between pixels, so that at the aliases ``w_a`` of a frequency v of the
coarse torus there is ``s^(-d/2) F(w_a) t(v)``: blocks that belong together, while an
ellipsoid has one for each frequency. For ``t = L q``, ``B_a = F(w_a) L`` and positive
definite W_a that add up to at most 1,

    |sum_a B_a^H u_a|^2 <= sum_a u_a^H B_a W_a^-1 B_a^H u_a

by the inequality of Cauchy and Schwarz, so that blocks ``B_a W_a^-1 B_a^H / s^d`` without
any relation hold. W_a is the share of alias a in ``sum_a B_a^H B_a``; then nothing is
lost for one channel, nor where phases come from channels of their own.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from convspec.network.ellipsoid.form import UNIT, lengths
from convspec.network.ellipsoid.group import Group, raised
from convspec.network.ellipsoid.lattice import Lattice
from convspec.network.ellipsoid.maps import Map
from convspec.network.ellipsoid.root import Infeasible, root_above
from convspec.rounding.definite import at_least

__all__ = ["refined"]

# of all, for each alias, so that none has a share of nothing; and what is added to an
# energy of nothing, of the largest
LEAST_SHARE, LOST_ENERGY = 1e-3, 1e-9


def refined(
    group: Group,
    place: int,
    source: int,
    map_: Map,
    stride: tuple[int, ...],
    fine: Lattice,
) -> Group:
    """A tensor behind zeros put between pixels and a linear map, alone.

    Args:
        group: Of what is refined.
        place: Of the new tensor.
        source: Of what is refined.
        map_: F at the frequencies of the fine lattice.
        stride: s, per axis.
        fine: The lattice of the new tensor.

    Raises:
        Infeasible: If rounding leaves no proof.
    """
    alone = group.kept([source]).gathered()
    root = root_above(alone.core, group.proven)
    where, turned = fine.folds(stride)
    lower = _turned(root[where], turned)  # (F, c, c)
    diagonal = map_.diagonal
    product = map_.matrix[:, :, None] * lower if diagonal else map_.matrix @ lower
    weights = _shares(product, fine, stride)
    core = _blocks(
        product, weights, fine, stride, _off(map_, lower) if group.proven else None
    )
    return replace(alone, lattice=fine, core=core).stacked(core, {place: core.shape[1]})


def _turned(blocks: Tensor, turned: Tensor) -> Tensor:
    if not blocks.is_complex():
        return blocks
    return torch.where(turned[:, None, None], blocks.conj(), blocks)


def _off(map_: Map, lower: Tensor) -> Tensor:
    """How far ``F L`` may be off; (F,)."""
    terms = 8 * (map_.matrix.shape[-1] + 8) * UNIT
    found: Tensor = (map_.error + terms * map_.sizes) * lengths(lower) * (1 + 1e-9)
    return found


def _sum_of_aliases(blocks: Tensor, fine: Lattice, stride: tuple[int, ...]) -> Tensor:
    """For each frequency of the coarse lattice the sum over its aliases."""
    kept, turned = fine.aliases(stride)
    total = _turned(blocks[kept[:, 0]], turned[:, 0])
    for j in range(1, kept.shape[1]):
        total = total + _turned(blocks[kept[:, j]], turned[:, j])
    return total


def _shares(product: Tensor, fine: Lattice, stride: tuple[int, ...]) -> Tensor:
    """W at each frequency of the fine lattice; (F, c, c)."""
    where, turned = fine.folds(stride)
    count = fine.aliases(stride)[0].shape[1]
    width = product.shape[2]
    energy = product.mH @ product
    energy = (energy + energy.mH) / 2
    total = _sum_of_aliases(energy, fine, stride)
    largest = total.detach().diagonal(dim1=1, dim2=2).real.amax(1).clamp(min=1e-290)
    eye = torch.eye(width, dtype=product.dtype, device="cpu")
    lost = LOST_ENERGY * largest[:, None, None] * eye
    total = total + lost
    root, info = torch.linalg.cholesky_ex(total)
    if bool(info.any()):
        raise Infeasible
    here = _turned(root[where], turned)
    whole = _turned(total[where], turned)
    mine = energy + (LEAST_SHARE * whole + lost[where]) / count
    half = torch.linalg.solve_triangular(here, mine, upper=False)
    found: Tensor = torch.linalg.solve_triangular(here, half.mH, upper=False)
    return (found + found.mH) / (2 * (1 + LEAST_SHARE))


def _blocks(
    product: Tensor,
    weights: Tensor,
    fine: Lattice,
    stride: tuple[int, ...],
    off: Tensor | None,
) -> Tensor:
    """``B W^-1 B^H / s^d``, or a little more; (F, c', c')."""
    width = weights.shape[1]
    count = fine.aliases(stride)[0].shape[1]
    triangle, info = torch.linalg.cholesky_ex(weights)
    if bool(info.any()):
        raise Infeasible
    if off is None:
        half = torch.linalg.solve_triangular(triangle, product.mH, upper=False)
        found: Tensor = half.mH @ half / count
        return found
    terms = 8 * (width + 8) * UNIT
    eye = torch.eye(width, dtype=weights.dtype, device="cpu")
    inverse = torch.cholesky_inverse(triangle)
    length = lengths(inverse) * (1 + 1e-9)
    floor = 0.5 / length  # of the least eigenvalue, which is at least 1 / length
    if not bool(at_least(weights, floor, torch.zeros_like(floor)).all()):
        raise Infeasible
    size = lengths(product) * (1 + 1e-9)
    residual = lengths(eye - weights @ inverse) + terms * lengths(weights) * length
    error = size**2 * (residual / floor + 2 * terms * length)
    error = error + (2 * size + off) * off / floor
    # how far the shares may add up to more than 1
    sizes = lengths(weights)[fine.aliases(stride)[0]].sum(1)
    excess = lengths(_sum_of_aliases(weights, fine, stride) - eye)
    excess = excess * (1 + 1e-9) + 4 * (count + 2) * UNIT * (sizes + width)
    more = (1 + excess[fine.folds(stride)[0]]) * (1 + 8 * UNIT) / count
    blocks = product @ inverse @ product.mH
    blocks = (blocks + blocks.mH) / 2
    error = more * (error + 8 * UNIT * lengths(blocks)) * (1 + 1e-6)
    blocks = more[:, None, None] * blocks
    return raised(blocks, error + 8 * UNIT * lengths(blocks))

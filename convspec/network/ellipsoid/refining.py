"""What a transposed convolution of stride s does to an ellipsoid.

Zeros are put between pixels, so that at the aliases ``w_a`` of a frequency v of the
coarse torus there is ``s^(-d/2) F(w_a) t(v)``: blocks that belong together, while an
ellipsoid has one for each frequency. For ``t = L q`` and ``B_a = s^(-d/2) F(w_a) L``
blocks X_a without any relation are above all ``B_a B_b^H`` together where

    sum_a B_a^H X_a^-1 B_a <= I

(Schur's complement). Here ``X_a = tau Y_a`` with ``Y_a = B_a B_a^H + D``, for the least
tau at v that serves and any positive diagonal D. A large D gives the least blocks that
are alike at all aliases, a small one blocks that follow the covariance.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from convspec.network.ellipsoid.group import Group, raised
from convspec.network.ellipsoid.lattice import Lattice
from convspec.network.ellipsoid.lengths import UNIT, lengths
from convspec.network.ellipsoid.maps import Map
from convspec.network.ellipsoid.multipliers import Multipliers
from convspec.network.ellipsoid.root import Infeasible, root_above
from convspec.rounding.definite import at_most

__all__ = ["refined"]

# power steps for tau in a search
POWER_STEPS = 16
# how far above the computed largest eigenvalue tau is tried, by turns
SLACKS = (1e-12, 1e-10, 1e-8, 1e-5, 1e-2, 1.0)


def refined(
    group: Group,
    place: int,
    source: int,
    map_: Map,
    stride: tuple[int, ...],
    fine: Lattice,
    multipliers: Multipliers,
) -> Group:
    """A tensor behind zeros put between pixels and a linear map, alone.

    Args:
        group: Of what is refined.
        place: Of the new tensor.
        source: Of what is refined.
        map_: F at the frequencies of the fine lattice.
        stride: s, per axis.
        fine: The lattice of the new tensor.
        multipliers: D among them.

    Raises:
        Infeasible: If rounding leaves no proof.
    """
    alone = group.kept([source]).gathered().scaled()
    where, turned = fine.folds(stride)
    lower = _turned(root_above(alone.core, alone.proven)[where], turned)  # (F, c, c)
    lower = lower.to(fine.dtype)
    F = (map_.matrix[:, :, None] if map_.diagonal else map_.matrix).to(fine.dtype)
    product = F * lower if map_.diagonal else F @ lower  # s^(d/2) B
    variance = torch.linalg.vector_norm(product, dim=2).square().mean(0)
    D = multipliers.beside(place, variance, alone.exponent)
    weights = D.rsqrt()
    product = weights[:, None] * product
    off = None
    if alone.proven:
        terms = 8 * (map_.matrix.shape[-1] + 8) * UNIT
        off = (map_.error + terms * map_.sizes) * lengths(lower) * weights.max()
        off = off * (1 + 1e-9) + 8 * UNIT * lengths(product)
    blocks = _blocks(product, fine, stride, off)
    count = fine.aliases(stride)[0].shape[1]
    core = D.sqrt()[:, None] * blocks * (D.sqrt() / count)
    if alone.proven:
        core = raised(core, 16 * UNIT * lengths(core))
    return replace(alone, lattice=fine).stacked(core, {place: core.shape[1]})


def _turned(blocks: Tensor, turned: Tensor) -> Tensor:
    if not blocks.is_complex():
        return blocks
    return torch.where(turned[:, None, None], blocks.conj(), blocks)


def _sum_of_aliases(blocks: Tensor, fine: Lattice, stride: tuple[int, ...]) -> Tensor:
    """For each frequency of the coarse lattice the sum over its aliases."""
    kept, turned = fine.aliases(stride)
    total = _turned(blocks[kept[:, 0]], turned[:, 0])
    for j in range(1, kept.shape[1]):
        total = total + _turned(blocks[kept[:, j]], turned[:, j])
    return total


def _blocks(
    product: Tensor, fine: Lattice, stride: tuple[int, ...], off: Tensor | None
) -> Tensor:
    """``tau Y`` where D is the identity, or a little more; (F, c', c').

    Args:
        product: B.
        fine: The lattice.
        stride: s.
        off: At least what B is off by; None where rounding is not followed.

    Raises:
        Infeasible: If rounding leaves no proof.
    """
    width, terms = product.shape[1], 8 * (product.shape[2] + 8) * UNIT
    shape = product @ product.mH + torch.eye(width, dtype=product.dtype, device="cpu")
    shape = (shape + shape.mH) / 2
    triangle, info = torch.linalg.cholesky_ex(shape)
    if bool(info.any()):
        raise Infeasible
    where, _ = fine.folds(stride)
    if off is None:
        half = torch.linalg.solve_triangular(triangle, product, upper=False)
        total = _sum_of_aliases(half.mH @ half, fine, stride)
        found: Tensor = _top(total)[where][:, None, None] * shape
        return found
    size = lengths(product) * (1 + 1e-9)
    # Y is at least 1/2: its rounding is less than that
    if not bool((terms * size**2 + 8 * UNIT * lengths(shape) < 0.5).all()):
        raise Infeasible
    solved = torch.cholesky_solve(product, triangle)  # Y^-1 B, about
    wide = lengths(solved) * (1 + 1e-9)
    rounding = 8 * (width + 8) * UNIT
    residual = lengths(product - shape @ solved) + rounding * lengths(shape) * wide
    inner = product.mH @ solved
    inner = (inner + inner.mH) / 2
    # |Y^-1| <= 2, so that Y^-1 B is off by twice the residual
    error = size * (2 * residual + rounding * wide) + 2 * (2 * size + off) * off
    kept, _ = fine.aliases(stride)
    total = _sum_of_aliases(inner, fine, stride)
    sizes = (error + 4 * kept.shape[1] * UNIT * lengths(inner))[kept].sum(1)
    tau = _proven_top(total, sizes * (1 + 1e-9))
    blocks = tau[where][:, None, None] * shape
    return raised(blocks, 8 * UNIT * lengths(blocks))


def _top(blocks: Tensor) -> Tensor:
    """About the largest eigenvalue of each, differentiable; a little less, or that."""
    with torch.no_grad():
        fixed = blocks.detach()
        vectors = fixed.sum(2)
        for _ in range(POWER_STEPS):
            length = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
            vectors = vectors / length.clamp(min=1e-300)
            vectors = (fixed @ vectors[..., None])[..., 0]
        length = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
        vectors = vectors / length.clamp(min=1e-300)
    image = (blocks @ vectors[..., None])[..., 0]
    found: Tensor = (vectors.conj() * image).sum(1).real
    return found


def _proven_top(blocks: Tensor, error: Tensor) -> Tensor:
    """At least the largest eigenvalue of each, which is off by so much."""
    top: Tensor = torch.linalg.eigvalsh(blocks)[:, -1].clamp(min=0) + error
    for slack in SLACKS:
        level = top * (1 + slack)
        if bool(at_most(blocks, level, error).all()):
            return level
    raise Infeasible

"""What makes a vector of an image: a matrix of all entries, or means over pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from convspec.network.ellipsoid.group import Group, raised
from convspec.network.ellipsoid.lattice import VECTOR, pieces
from convspec.network.ellipsoid.lengths import UNIT, lengths
from convspec.network.ellipsoid.maps import pooled_rows, row_maps
from convspec.network.kinds import Axes, Rows
from convspec.rounding.scaling import UNDERFLOW

__all__ = ["head"]


def head(group: Group, place: int, kind: Axes | Rows, image: tuple[int, ...]) -> Group:
    """``mean_w G(w) S(w) G(w)^H`` of one tensor, whose pixels the map reads apart.

    Args:
        group: Of that tensor alone.
        place: Of the vector.
        kind: The map.
        image: Shape of the tensor.
    """
    (source,) = group.forms
    shares = group.lattice.shares
    if isinstance(kind, Rows):
        map_ = row_maps(kind, image, group.lattice)
        grown = group.appended(place, [(source, map_)]).kept([place]).gathered()
        core = (shares[:, None, None] * grown.core).sum(0).real[None]
        # the real part of a sum can be shorter than what was added, which rounds
        added = (shares * lengths(grown.core.detach())).sum()
        error = (8 * len(shares) * UNIT * added + UNDERFLOW)[None]
    else:
        rows, off = pooled_rows(kind, group.lattice)
        core, error = _pooled(group, rows, shares, off)
    if group.proven:
        core = raised(core, error)
    vector = Group(VECTOR, core, {}, {}, group.exponent, group.proven)
    return vector.stacked(core, {place: core.shape[-1]})


def _pooled(
    group: Group, rows: Tensor, shares: Tensor, off: float
) -> tuple[Tensor, Tensor]:
    """``mean_w S(w) (x) e(w) e(w)^H`` of a group's one tensor, and its error.

    Returns:
        (1, c k, c k) for k rows, real, and (1,).
    """
    (place,) = group.forms
    count, width = rows.shape[1], group.forms[place].width
    side = width * count
    total = torch.zeros(1, side, side, dtype=torch.float64, device="cpu")
    error = torch.zeros(1, dtype=torch.float64, device="cpu")
    for some in pieces(len(shares), max(side, group.core.shape[1]) ** 2):
        blocks = group.part(some).gathered().core
        blocks = blocks.to(rows.dtype)
        outer = rows[some][:, :, None] * rows[some].conj()[:, None, :]  # (f, k, k)
        mean = torch.einsum(
            "f,fij,fkl->ikjl", shares[some].to(blocks.dtype), blocks, outer
        )
        total = total + mean.real.reshape(1, side, side)
        norm = lengths(blocks.detach())
        length = torch.linalg.vector_norm(rows[some], dim=1)
        rounded = (8 * len(shares) + 64) * UNIT * length**2
        lost = (length + off) ** 2 - length**2 + rounded
        error = error + (norm * lost * shares[some]).sum()
    return total, error * (1 + 1e-6) + UNDERFLOW

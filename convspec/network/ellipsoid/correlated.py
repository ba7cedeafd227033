"""What tensors have in common by the leaves that they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from convspec.network.ellipsoid.form import Form

__all__ = ["add_correlated"]


def add_correlated(
    total: Tensor, leaves: Mapping[str, Tensor], forms: Sequence[Form]
) -> None:
    """Add ``sum_l B_l v_l B_l^H`` of stacked forms in place.

    Args:
        total: To what; (F, w, w).
        leaves: v, by the names of the leaves.
        forms: With B.
    """
    first = 0
    rows = []
    for form in forms:
        rows.append(slice(first, first + form.width))
        first += form.width
    for name in dict.fromkeys(leaf for form in forms for leaf in form.leaves):
        variance = leaves[name]
        owners = [j for j, form in enumerate(forms) if name in form.leaves]
        for place, i in enumerate(owners):
            one = forms[i].leaves[name]
            for j in owners[place:]:
                other = forms[j].leaves[name]
                if one.ndim == other.ndim == 2:
                    diagonal = (one * variance * other.conj()).to(total.dtype)
                    _diagonal(total, rows[i], rows[j]).add_(diagonal)
                    if i != j:
                        _diagonal(total, rows[j], rows[i]).add_(diagonal.conj())
                    continue
                block = _product(one, variance, other, total.dtype)
                total[:, rows[i], rows[j]] += block
                if i != j:
                    total[:, rows[j], rows[i]] += block.mH


def _diagonal(total: Tensor, rows: slice, columns: slice) -> Tensor:
    return total[:, rows, columns].diagonal(dim1=1, dim2=2)


def _product(one: Tensor, variance: Tensor, other: Tensor, dtype: torch.dtype) -> Tensor:
    """``B v C^H``, of which one at most is diagonal; (F or 1, w, w')."""
    if one.ndim == 2:
        turned = (one * variance)[:, :, None].to(dtype)
        return turned * other.mH.to(dtype)
    turned = one.to(dtype) * variance[:, None, :]
    if other.ndim == 2:
        return turned * other.conj()[:, None, :]
    return turned @ other.mH.to(dtype)

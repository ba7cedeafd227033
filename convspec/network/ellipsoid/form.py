"""Tensors as linear forms: in the core of a group, and in leaves beside it.

A leaf is what an activation adds: uncorrelated with all else at every frequency, of a
diagonal covariance. While maps act channel by channel its coefficients stay diagonal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from convspec.network.ellipsoid.lengths import UNIT, lengths
from convspec.network.ellipsoid.maps import Map
from convspec.network.ellipsoid.stack import Stack
from convspec.rounding.scaling import UNDERFLOW

__all__ = ["Form", "size_of", "summed"]


@dataclass(frozen=True)
class Form:
    """``t = M q + sum_l B_l psi_l``, at each frequency.

    Attributes:
        matrix: M, (F or 1, w, c).
        leaves: B by the number of the leaf: (F or 1, w) diagonal, (F or 1, w, k) not.
        error: At least the norm by which M is off, and each B; (F or 1,), float64; None
            where rounding is not followed.
    """

    matrix: Tensor
    leaves: Mapping[str, Tensor]
    error: Tensor | None

    @property
    def width(self) -> int:
        """W."""
        return self.matrix.shape[1]

    @property
    def is_channelwise(self) -> bool:
        """Whether all coefficients of leaves are diagonal."""
        return all(each.ndim == 2 for each in self.leaves.values())

    @property
    def sizes(self) -> Tensor:
        """At least the norms of M and of each B, the largest; (F or 1,)."""
        found = lengths(self.matrix.detach())
        for each in self.leaves.values():
            found = torch.maximum(found, size_of(each.detach()))
        larger: Tensor = found * (1 + 1e-9)
        return larger

    def times(self, map_: Map) -> Form:
        """``A t``."""
        if map_.diagonal:
            matrix = map_.matrix[:, :, None] * self.matrix
        else:
            matrix = Stack.of([self.matrix]).under(map_.matrix.to(self.matrix.dtype))
        leaves = {
            leaf: _multiplied(map_, each, self.matrix.dtype)
            for leaf, each in self.leaves.items()
        }
        if self.error is None:
            return Form(matrix, leaves, None)
        size, mine = map_.sizes, self.sizes
        terms = 4 * (map_.matrix.shape[-1] + 8) * UNIT
        error = (size + map_.error) * self.error + (map_.error + terms * size) * mine
        return Form(matrix, leaves, error * (1 + 1e-9) + UNDERFLOW)

    def widened(self, before: int, behind: int) -> Form:
        """The form in a core with more entries on both sides."""
        matrix = torch.nn.functional.pad(self.matrix, (before, behind))
        return Form(matrix, self.leaves, self.error)

    def taken(self, taken: Callable[[Tensor], Tensor]) -> Form:
        """The form at some frequencies; what is the same at all of them stays."""

        def some(x: Tensor) -> Tensor:
            return x if len(x) == 1 else taken(x)

        error = None if self.error is None else some(self.error)
        leaves = {leaf: some(each) for leaf, each in self.leaves.items()}
        return Form(some(self.matrix), leaves, error)


def summed(forms: Sequence[Form]) -> Form:
    """The sum of forms of one width in one group."""
    matrix, error = forms[0].matrix, forms[0].error
    leaves = dict(forms[0].leaves)
    for form in forms[1:]:
        matrix = matrix + form.matrix
        for leaf, each in form.leaves.items():
            leaves[leaf] = _added(leaves[leaf], each) if leaf in leaves else each
        if error is not None and form.error is not None:
            error = error + form.error
    if error is None:
        return Form(matrix, leaves, None)
    sizes = sum((form.sizes for form in forms[1:]), forms[0].sizes)
    return Form(matrix, leaves, error + 2 * len(forms) * UNIT * sizes)


def _added(first: Tensor, second: Tensor) -> Tensor:
    if first.ndim == second.ndim:
        return first + second
    first = torch.diag_embed(first) if first.ndim == 2 else first
    return first + (torch.diag_embed(second) if second.ndim == 2 else second)


def _multiplied(map_: Map, each: Tensor, dtype: torch.dtype) -> Tensor:
    """``A B`` for the coefficients of a leaf."""
    if map_.diagonal:
        return map_.matrix * each if each.ndim == 2 else map_.matrix[:, :, None] * each
    matrix = map_.matrix.to(dtype)
    if each.ndim == 2:
        return matrix * each[:, None, :]
    return matrix @ each.to(dtype)


def size_of(each: Tensor) -> Tensor:
    """At least the norm of the coefficients of a leaf, about; (F or 1,)."""
    if each.ndim == 2:
        return each.abs().amax(1)
    norm: Tensor = lengths(each)
    return norm

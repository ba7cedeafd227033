"""The groups of an operator: a direct sum, of which some summands may be equal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from convspec.operators.operator import ConvOperator

__all__ = ["MOST_APART", "by_kernel", "distinct_groups", "of_groups", "repeated_groups"]

# more different kernels than this are solved together
MOST_APART = 8
# kernels that differ by less than this, relative, have values in clusters
NEAR = 1e-2


def repeated_groups(op: ConvOperator) -> list[list[int]]:
    """The groups by their kernels, if some are nearly equal and few differ; else empty.

    A singular value of m equal groups has multiplicity m at least. Krylov spaces of a
    block of b vectors see b copies of it, and more only through rounding. Of groups that
    nearly agree they see a cluster as late.
    """
    kinds = by_kernel(op)
    if op.groups == 1 or len(kinds) > MOST_APART:
        return []
    return kinds if len(kinds) < op.groups or _near(op, kinds) else []


def _near(op: ConvOperator, kinds: list[list[int]]) -> bool:
    """Whether two kinds' kernels differ by less than ``NEAR`` of the smaller one."""
    kernels = _kernels(op)[[kind[0] for kind in kinds]].double()
    sizes = torch.linalg.vector_norm(kernels, dim=1)
    apart = torch.cdist(kernels, kernels, compute_mode="donot_use_mm_for_euclid_dist")
    apart.fill_diagonal_(torch.inf)
    return bool((apart < NEAR * torch.minimum(sizes[:, None], sizes)).any())


def distinct_groups(op: ConvOperator) -> ConvOperator:
    """The direct sum of one group of each kernel: the same values, but for copies."""
    kinds = by_kernel(op)
    if len(kinds) == op.groups:
        return op
    return of_groups(op, sorted(kind[0] for kind in kinds))


def by_kernel(op: ConvOperator) -> list[list[int]]:
    """Lists of the groups that have one and the same kernel."""
    if op.groups == 1:
        return [[0]]
    kinds, which = torch.unique(_kernels(op), dim=0, return_inverse=True)
    return [torch.nonzero(which == kind).flatten().tolist() for kind in range(len(kinds))]


def _kernels(op: ConvOperator) -> Tensor:
    """The real numbers of each group's kernel, a row each."""
    weight = op.weight.detach()
    weight = torch.view_as_real(weight) if weight.is_complex() else weight
    return weight.reshape(op.groups, -1)


def of_groups(op: ConvOperator, groups: Sequence[int]) -> ConvOperator:
    """The direct sum of some of the groups."""
    some = list(groups)
    weight = op.weight.reshape(op.groups, -1, *op.weight.shape[1:])[some].flatten(0, 1)
    geometry = replace(
        op.geometry,
        c_in=op.geometry.c_in // op.groups * len(some),
        c_out=op.geometry.c_out // op.groups * len(some),
        groups=len(some),
    )
    return op.with_geometry(weight, geometry)

"""Operators with groups are direct sums: those of equal kernels are solved once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from convspec.operators.operator import ConvOperator
from convspec.spectrum.krylov.result import KrylovResult

__all__ = [
    "MOST_APART",
    "among_groups",
    "by_kernel",
    "distinct_groups",
    "each_once",
    "of_groups",
    "repeated_groups",
]

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
    """The groups by their kernels."""
    if op.groups == 1:
        return [[0]]
    kinds, which = torch.unique(_kernels(op), dim=0, return_inverse=True)
    return [torch.nonzero(which == kind).flatten().tolist() for kind in range(len(kinds))]


def _kernels(op: ConvOperator) -> Tensor:
    """The real numbers of each group's kernel, a row each."""
    weight = op.weight.detach()
    weight = torch.view_as_real(weight) if weight.is_complex() else weight
    return weight.reshape(op.groups, -1)


def each_once(
    op: ConvOperator,
    kinds: Sequence[Sequence[int]],
    count: int,
    which: str,
    solve: Callable[[ConvOperator, int], KrylovResult],
) -> KrylovResult:
    """The ``count`` leading triples of all groups from those of each kind's first.

    Args:
        op: The operator.
        kinds: Groups of equal kernels.
        count: Triples wanted.
        which: ``"largest"`` or ``"smallest"``.
        solve: From one group and a number to its triples.
    """
    rank = min(op.shape) // op.groups
    parts = [
        solve(of_groups(op, kind[:1]), min(-(-count // len(kind)), rank))
        for kind in kinds
    ]
    triples = [
        (part.values[j], part.errors[j], part.left[j], part.right[j], group)
        for kind, part in zip(kinds, parts, strict=True)
        for group in kind
        for j in range(len(part.values))
    ]
    triples.sort(key=lambda triple: -triple[0])
    triples = triples[:count] if which == "largest" else triples[-count:]
    values, errors, left, right, groups = zip(*triples, strict=True)
    return KrylovResult(
        values=np.array(values),
        errors=np.array(errors),
        left=_among(torch.stack(left), op.output_shape, op.groups, groups),
        right=_among(torch.stack(right), op.input_shape, op.groups, groups),
        converged=all(part.converged for part in parts),
        products=-(-sum(part.products for part in parts) // op.groups),
    )


def _among(
    images: Tensor, shape: tuple[int, ...], groups: int, which: Sequence[int]
) -> Tensor:
    """Images of one group each, as images of all: (k, *part) -> (k, *shape)."""
    whole = images.new_zeros(len(images), groups, shape[0] // groups, *shape[1:])
    whole[torch.arange(len(images)), list(which)] = images
    return whole.reshape(len(images), *shape)


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


def among_groups(
    found: KrylovResult, op: ConvOperator, groups: Sequence[int]
) -> KrylovResult:
    """The triples of some groups as those of all."""

    def embed(images: Tensor, shape: tuple[int, ...]) -> Tensor:
        whole = images.new_zeros(
            len(images), op.groups, shape[0] // op.groups, *shape[1:]
        )
        some = images.reshape(len(images), len(groups), *whole.shape[2:])
        whole[:, list(groups)] = some
        return whole.reshape(len(images), *shape)

    return replace(
        found,
        left=embed(found.left, op.output_shape),
        right=embed(found.right, op.input_shape),
    )

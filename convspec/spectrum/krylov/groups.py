"""Operators with groups are direct sums: those of equal kernels are solved once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from convspec.operators.groups import of_groups
from convspec.operators.operator import ConvOperator
from convspec.spectrum.krylov.result import KrylovResult

__all__ = ["among_groups", "each_once"]


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

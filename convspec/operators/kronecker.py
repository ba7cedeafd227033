"""An operator as a direct sum of Kronecker products of direct sums.

The one formula of what is exact before anything is decomposed:

    A = (+)_i F_{i1} (x) F_{i2} (x) ...,    F_{ij} = (+)_k A_{ijk},

i over blocks of channels, j over axes along which a block's kernel is a product
(:mod:`convspec.operators.separable`) and what is left of it, k over residue classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from convspec.operators.channels import ChannelBlocks
from convspec.operators.direct_sum import Summand, summands
from convspec.operators.operator import ConvOperator
from convspec.operators.reads import Reads
from convspec.operators.separable import Separation, may_separate, separate

__all__ = ["Kronecker", "kronecker_sum"]

Cost = Callable[[Sequence[Summand]], float]


@dataclass(frozen=True)
class Kronecker:
    """``times`` copies of the sum over groups of Kronecker products, up to a distance.

    Attributes:
        times: How many copies.
        factors: The direct sums that are the factors of each group, all with the same
            groups; one factor where nothing splits off.
        distance: Bound on the norm of what the operator differs from the product.
    """

    times: int
    factors: tuple[list[Summand], ...]
    distance: float = 0.0


def kronecker_sum(
    op: ConvOperator, all_blocks: list[ChannelBlocks], tolerance: float, cost: Cost
) -> list[Kronecker]:
    """What A is a direct sum of, with zeros; products where those cost less.

    Args:
        op: The operator.
        all_blocks: Its :func:`convspec.operators.channels.channel_blocks`.
        tolerance: Of :func:`convspec.operators.separable.separate`.
        cost: What decomposing a direct sum costs.
    """
    axes = tuple(Reads.of(axis) for axis in op.geometry.axes)
    found = []
    for blocks in all_blocks:
        whole, products = _sorted(blocks, axes, tolerance, cost)
        found += products
        if len(whole):
            found.append(Kronecker(blocks.times, (summands(whole, axes),)))
    return found


def _sorted(
    blocks: ChannelBlocks, axes: tuple[Reads, ...], tolerance: float, cost: Cost
) -> tuple[Tensor, list[Kronecker]]:
    """The blocks that are no product, and those that are, together where axes agree."""
    most_reads = [read.axis.most_reads for read in axes]
    splits: dict[tuple[int, ...], list[tuple[int, Separation]]] = {}
    for k in torch.nonzero(may_separate(blocks.weight, tolerance)).flatten().tolist():
        split = separate(blocks.weight[k], most_reads, tolerance)
        if split is not None:
            splits.setdefault(split.axes, []).append((k, split))
    left = torch.ones(len(blocks.weight), dtype=torch.bool)
    products = []
    for found in splits.values():
        which = [k for k, _ in found]
        factors = _factors([split for _, split in found], axes)
        if sum(map(cost, factors)) < cost(summands(blocks.weight[which], axes)):
            distance = max(split.distance for _, split in found)
            products.append(Kronecker(blocks.times, factors, distance))
            left[which] = False
    return blocks.weight[left.to(blocks.weight.device)], products


def _factors(
    splits: Sequence[Separation], axes: tuple[Reads, ...]
) -> tuple[list[Summand], ...]:
    """The axes that split off, each alone, and what is left; a group of each block."""
    apart = splits[0].axes
    found = [
        summands(
            torch.stack([split.vectors[i] for split in splits])[:, None, None], [axis]
        )
        for i, axis in enumerate(axes[j] for j in apart)
    ]
    others = [axes[j] for j in range(len(axes)) if j not in apart]
    rest = torch.stack([split.rest for split in splits])
    return *found, summands(rest.squeeze(tuple(3 + j for j in apart)), others)

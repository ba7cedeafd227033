"""An operator as a direct sum of Kronecker products of direct sums.

The one formula of what is exact before anything is decomposed:

    A = (+)_i F_{i1} (x) F_{i2} (x) ...,    F_{ij} = (+)_k A_{ijk},

i over blocks of channels, j over axes along which a block's kernel is a product
(:mod:`convspec.operators.separable`) and what is left of it, k over residue classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from convspec.operators.channels import ChannelBlocks, channel_blocks
from convspec.operators.direct_sum import Summand, summands
from convspec.operators.operator import ConvOperator
from convspec.operators.reads import Reads
from convspec.operators.separable import Separation, separate

__all__ = ["Kronecker", "kronecker_sum"]

Cost = Callable[[Sequence[Summand]], float]


@dataclass(frozen=True)
class Kronecker:
    """``times`` copies of a Kronecker product, up to a distance.

    Attributes:
        times: How many copies.
        factors: The direct sums that are its factors; one where nothing splits off.
        distance: Bound on the norm of what the operator differs from the product.
    """

    times: int
    factors: tuple[list[Summand], ...]
    distance: float = 0.0


def kronecker_sum(op: ConvOperator, tolerance: float, cost: Cost) -> list[Kronecker]:
    """What A is a direct sum of, with zeros; products where those cost less.

    Args:
        op: The operator.
        tolerance: Of :func:`convspec.operators.separable.separate`.
        cost: What decomposing a direct sum costs.
    """
    axes = tuple(Reads.of(axis) for axis in op.geometry.axes)
    found = []
    for blocks in channel_blocks(op):
        whole, products = _sorted(blocks, axes, tolerance, cost)
        found += products
        if len(whole):
            found.append(Kronecker(blocks.times, (summands(whole, axes),)))
    return found


def _sorted(
    blocks: ChannelBlocks, axes: tuple[Reads, ...], tolerance: float, cost: Cost
) -> tuple[Tensor, list[Kronecker]]:
    """The blocks that are no product, and those that are."""
    most_reads = [read.axis.most_reads for read in axes]
    apart = cost(summands(blocks.weight, axes)) / len(blocks.weight)
    products, left = [], []
    for k, weight in enumerate(blocks.weight):
        split = separate(weight, most_reads, tolerance)
        factors = () if split is None else _factors(split, axes)
        if split is None or sum(map(cost, factors)) >= apart:
            left.append(k)
        else:
            products.append(Kronecker(blocks.times, factors, split.distance))
    return blocks.weight[left], products


def _factors(split: Separation, axes: tuple[Reads, ...]) -> tuple[list[Summand], ...]:
    """The axes that split off, each alone, and what is left."""
    found = [
        summands(vector[None, None, None], (axes[j],))
        for j, vector in zip(split.axes, split.vectors, strict=True)
    ]
    others = [j for j in range(len(axes)) if j not in split.axes]
    rest = split.rest.squeeze(tuple(2 + j for j in split.axes))
    return *found, summands(rest[None], [axes[j] for j in others])

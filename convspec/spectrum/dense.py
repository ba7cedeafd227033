"""All singular values by a dense SVD of the diagonal blocks: exact for every operator."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from convspec.arrays import FloatArray
from convspec.operators.matrix import Pattern, dense_blocks
from convspec.operators.product_error import sum_error
from convspec.operators.reads import Reads
from convspec.operators.reduce import Reduction
from convspec.rounding import svd_error
from convspec.rounding.blocks import CHUNK_BYTES, block_values
from convspec.run.threads import available_cores, parallel_map

__all__ = ["dense_bytes", "dense_flops", "dense_groups", "dense_values", "group_values"]

# of the largest value, below which values are near 0
FAINT = 1e-9


def dense_values(reduced: Reduction) -> tuple[FloatArray, float]:
    """All singular values and a bound on the error of each."""
    found, error = group_values(reduced)
    return reduced.assemble(found), reduced.error(float(found.max()), error)


def group_values(reduced: Reduction) -> tuple[FloatArray, float]:
    """All singular values of each group of B, and a bound on the error of each.

    The block T of one channel that is Toeplitz on every axis is symmetric about its
    other diagonal: with J, which reverses the rows, ``J T`` is symmetric, so that the
    values of T are the moduli of its eigenvalues, in half the work of an SVD (Cantoni
    and Butler, Linear Algebra Appl. 13, 1976, of Toeplitz matrices).
    """
    pieces = dense_groups(reduced)
    values_of = _reversed_values if _is_persymmetric(reduced) else block_values
    apart = dense_bytes(reduced) <= CHUNK_BYTES and not reduced.weight.is_cuda
    workers = None if apart else 1  # large blocks one by one, on all cores each
    values = torch.cat(parallel_map(lambda build: values_of(build()), pieces, workers))
    found: FloatArray = values.double().cpu().numpy()
    eps = torch.finfo(values.dtype).eps
    norm = float(found.max())
    error = svd_error(*reduced.block_shape, norm, eps)
    if values.dtype == torch.float32 or not _pattern(reduced).injective:
        overlaps = [axis.overlap for axis in reduced.kept]
        error += sum_error(reduced.weight, overlaps, eps)
    return found, error


def _is_persymmetric(reduced: Reduction) -> bool:
    """Whether ``J T J = T^T`` for each group's real block T, J the reversal of rows."""
    if reduced.block_channels != (1, 1) or reduced.weight.is_complex():
        return False
    return all(map(_reverses, reduced.kept))


def _reverses(axis: Reads) -> bool:
    """Whether each tap that reads pixel j for output i reads n-1-i for n-1-j."""
    last = axis.outputs - 1
    if len(axis.pixels) != axis.outputs:
        return False
    tap, output = (axis.source >= 0).nonzero()
    mirrored = axis.source[tap, last - axis.source[tap, output]]
    return bool((mirrored == last - output).all())


def _reversed_values(blocks: Tensor) -> Tensor:
    """Singular values of real (..., n, n) that are symmetric with rows reversed.

    Of blocks with values near 0 by an SVD, which errs by less there on most matrices.
    """
    found: Tensor = torch.linalg.eigvalsh(blocks.flip(-2)).abs()
    found = found.sort(dim=-1, descending=True).values
    faint = found[..., -1] < FAINT * found[..., 0]
    if faint.any():
        found[faint] = block_values(blocks[faint])
    return found


def dense_groups(reduced: Reduction) -> list[Callable[[], Tensor]]:
    """What builds the blocks of B, some groups each: () -> (groups, rows, columns)."""
    fitting = max(1, CHUNK_BYTES // dense_bytes(reduced))
    shared = math.ceil(reduced.groups / (4 * available_cores()))
    at_once = fitting if reduced.weight.is_cuda else min(fitting, shared)
    pattern, per_group = _pattern(reduced), reduced.block_channels[0]
    weight = reduced.weight.reshape(*reduced.weight.shape[:2], -1)
    return [
        partial(
            dense_blocks,
            weight[first * per_group : (first + at_once) * per_group],
            pattern=pattern,
            groups=min(at_once, reduced.groups - first),
        )
        for first in range(0, reduced.groups, at_once)
    ]


def dense_bytes(reduced: Reduction) -> int:
    """Bytes of one block, the least that a dense SVD must hold."""
    return math.prod(reduced.block_shape) * reduced.weight.element_size()


def dense_flops(reduced: Reduction) -> float:
    """Estimated operations of the SVDs: ``4 a b^2 - 4 b^3 / 3`` each, a >= b its sides.

    Source: Golub and Van Loan, Matrix Computations, 4th ed., figure 8.6.1.
    """
    small, large = sorted(reduced.block_shape)
    return reduced.groups * (4 * large * small**2 - 4 * small**3 / 3)


def _pattern(reduced: Reduction) -> Pattern:
    return Pattern.of(
        [axis.source for axis in reduced.kept],
        [len(axis.pixels) for axis in reduced.kept],
    )

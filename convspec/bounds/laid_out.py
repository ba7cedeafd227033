"""Small dense matrices of some outputs of one axis, differentiable, with their error."""

from __future__ import annotations

import torch
from torch import Tensor

from convspec.arrays import IntArray
from convspec.rounding.directed import gamma
from convspec.rounding.norms import above, frobenius_above

__all__ = ["laid_out", "laid_out_error"]


def laid_out(weight: Tensor, reads: IntArray, pixels: int) -> Tensor:
    """The matrices of outputs that read these pixels; (groups, o m, c pixels).

    Args:
        weight: (groups, o, c, k).
        reads: The pixel that each tap of each output reads, or -1; (k, m).
        pixels: Columns per channel.
    """
    groups, rows, columns, _ = weight.shape
    outputs = reads.shape[1]
    flat = weight.new_zeros((groups, rows, columns, outputs * pixels))
    for tap, read in enumerate(torch.from_numpy(reads.copy())):
        some = torch.nonzero(read >= 0).flatten()
        part = weight[..., tap, None].expand(-1, -1, -1, len(some))
        flat = flat.index_add(3, some * pixels + read[some], part)
    table = flat.reshape(groups, rows, columns, outputs, pixels)
    return table.transpose(2, 3).reshape(groups, rows * outputs, columns * pixels)


def laid_out_error(weight: Tensor, reads: IntArray, pixels: int) -> Tensor:
    """At least the 2-norm of the rounding of :func:`laid_out`; (groups,).

    An entry is a sum of as many weights as taps read one pixel, k at most.
    """
    sizes = laid_out(weight.detach().abs(), reads, pixels)
    # twice: for the rounding of these sizes, and of a complex number's
    return above(frobenius_above(sizes) * (2 * gamma(2 * weight.shape[-1])))

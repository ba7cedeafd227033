"""Two convolutions in the place of one: the best kernel of a given rank."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from convspec.arguments import integer, shown
from convspec.compression.frequency import by_frequency
from convspec.compression.rank import chosen_rank
from convspec.compression.result import LowRank
from convspec.compression.unfolding import Unfolding
from convspec.errors import NotApplicable
from convspec.isolation import isolated
from convspec.limits import DEFAULT_MAX_BYTES, Bytes, byte_limit
from convspec.operators.operator import ConvOperator, require_operator
from convspec.rounding.scaling import ldexp

__all__ = ["low_rank"]

WAYS = ("input", "output", "axis", "channels", "frequency")


@isolated
def low_rank(
    op: ConvOperator,
    rank: int | None = None,
    *,
    energy: float | None = None,
    by: str = "input",
    axis: int = 0,
    max_bytes: Bytes = DEFAULT_MAX_BYTES,
) -> LowRank:
    """The operator of the nearest kernel of a given rank, as two convolutions.

    The kernel is unfolded into a matrix, of which the singular value decomposition is cut
    (Eckart and Young 1936): no kernel of this rank is nearer in the Frobenius norm. The
    rank is the number of channels between the two, and ``by`` says what each of them is:

    * ``"input"``: first the kernel, then 1x1; C_out by (C_in, taps);
    * ``"output"``: first 1x1, then the kernel; (C_out, taps) by C_in;
    * ``"axis"``: first the taps along one axis, then those along the others, for a 3x3
      kernel and axis 0 first 3x1, then 1x3; (C_out, other taps) by (C_in, taps of it);
    * ``"channels"``: of kernels of one tap, C_out by C_in.

    Each axis keeps its stride, dilation and padding in the one that has its taps, which
    is exact for all of them, in every padding mode. Groups are decomposed apart, each to
    the same rank. What the error is in the norm of operators depends on more than the
    kernel: ``operator_error`` of the result is certified.

    A closed operator, of circular padding, can be cut without its kernel:

    * ``"frequency"``: the block of each frequency is cut to this rank. No operator on the
      torus whose blocks have rank r is nearer, in the norm of operators and in the
      Frobenius norm (Eckart and Young; Mirsky 1960), and its error is the largest
      ``sigma_{r+1}`` of all blocks. Both kernels are as large as the image, so that it
      shows what a rank can do at best, and saves nothing.

    Args:
        op: The operator; transposed ones, too.
        rank: Channels between the two, for each group.
        energy: Or the share of ``||K||_F^2`` to keep: the least rank that does.
        by: See above.
        axis: The axis of the first convolution, for ``by="axis"``.
        max_bytes: Byte limit of the kernels and their blocks, for ``by="frequency"``.

    Returns:
        Both factors, what they make, and its errors; not differentiable.

    Raises:
        NotApplicable: For ``by="channels"`` of kernels of several taps, and
            ``by="axis"`` of kernels on one axis.
        GeometryError: For ``by="frequency"`` of operators that are not block circulant.
        TooLargeError: If that needs more than ``max_bytes``.
        TypeError: If op is no :class:`ConvOperator`.
        ValueError: If the rank is not one of this unfolding, energy is not from 0 to 1,
            or not one of both is given.

    Source: Jaderberg, Vedaldi and Zisserman, "Speeding up convolutional neural networks
    with low rank expansions", BMVC 2014; Denton et al., NeurIPS 2014; by frequency
    Mirsky, "Symmetric gauge functions and unitarily invariant norms", 1960, on the blocks
    of Sedghi, Gupta and Long, ICLR 2019.

    Example:
        >>> import torch, convspec as cs
        >>> sobel = torch.tensor([[[[1.0, 0, -1], [2, 0, -2], [1, 0, -1]]]])
        >>> op = cs.ConvOperator(sobel, 8, padding=1)
        >>> found = cs.low_rank(op, 1, by="axis")
        >>> found.first.weight.shape, found.second.weight.shape
        (torch.Size([1, 1, 3, 1]), torch.Size([1, 1, 1, 3]))
        >>> found.kernel_error < 1e-6, found.operator_error.upper < 1e-5
        (True, True)
        >>> two = torch.tensor([[[1.0, 2, 1], [0, 0, 0]], [[0, 0, 0], [0, 1, 0]]])
        >>> op = cs.ConvOperator(two, 4, padding=1, padding_mode="circular")
        >>> found = cs.low_rank(op, 1, by="frequency")  # of 2 + 2 cos w and 1
        >>> 1.0 in found.operator_error, found.operator_error.gap < 1e-5
        (True, True)
    """
    require_operator(op, "low_rank")
    max_bytes = byte_limit(max_bytes)
    if by == "frequency":
        return by_frequency(op, rank, energy, max_bytes)
    unfolding = _unfolding(op, by, axis)
    wide = torch.complex128 if op.dtype.is_complex else torch.float64
    weight, exponent = _scaled(op.weight.detach().to(wide))
    u, s, vh = torch.linalg.svd(unfolding.matrices(weight), full_matrices=False)
    count = chosen_rank(s.numpy(force=True), rank, energy, "the unfolded kernel")
    root = s[:, :count].sqrt()
    rows = ldexp(u[:, :, :count] * root[:, None], exponent // 2).to(op.dtype)
    columns = root[:, :, None] * vh[:, :count]
    columns = ldexp(columns, exponent - exponent // 2).to(op.dtype)
    return LowRank.of(op, unfolding, by, rows, columns)


def _scaled(weight: Tensor) -> tuple[Tensor, int]:
    """A kernel without overflow in squares, and the exponent of its scale."""
    largest = float(weight.abs().max())
    exponent = int(np.frexp(largest)[1]) if largest > 0 else 0
    return ldexp(weight, -exponent), exponent


def _unfolding(op: ConvOperator, by: str, axis: int) -> Unfolding:
    """What the first convolution has; of transposed ones the first is the last."""
    axes = range(len(op.geometry.axes))
    kernel = [one.kernel for one in op.geometry.axes]
    if by not in WAYS:
        raise ValueError(f"by must be one of {', '.join(WAYS)}; got {shown(by)}")
    if by == "channels" and max(kernel) > 1:
        raise NotApplicable(
            "by='channels' is for kernels of one tap; got "
            f"{'x'.join(map(str, kernel))}; say which convolution keeps the taps, "
            "by='input' or by='output'",
            "low_rank",
        )
    if by == "axis" and len(kernel) == 1:
        raise NotApplicable(
            "by='axis' parts the taps of one axis from the others; this kernel has one "
            "axis; use by='input' or by='output'",
            "low_rank",
        )
    first = {"input": tuple(axes), "channels": tuple(axes), "output": ()}
    if by == "axis":
        place = integer("axis", axis, 0, "it is an axis of the kernel")
        if place not in axes:
            raise ValueError(f"axis must be from 0 to {axes[-1]}; got {shown(axis)}")
        first[by] = (place,)
    own = first[by]
    if op.transposed:
        own = tuple(j for j in axes if j not in own)
    return Unfolding(op.geometry, own)

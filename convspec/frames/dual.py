"""The canonical dual of a filter bank: the filters that reconstruct."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from convspec.errors import NotApplicable
from convspec.isolation import isolated
from convspec.limits import DEFAULT_MAX_BYTES, Bytes, byte_limit, require_bytes
from convspec.operators.axis import Axis
from convspec.operators.operator import ConvOperator, require_operator

__all__ = ["dual_frame"]


@isolated
def dual_frame(op: ConvOperator, *, max_bytes: Bytes = DEFAULT_MAX_BYTES) -> Tensor:
    """The filters of the canonical dual frame, each as an image at the first place.

    ``x = sum_{c, p} (A x)[c, p] dual_{c, p}``: perfect reconstruction, of all duals the
    one of least norm, ``(A^H A)^-1`` times the atoms, columns of the pseudo-inverse. On a
    torus those of a channel are shifts of one: ``dual_{c, p}`` is ``dual_c`` rolled by p
    times the stride. They are as long as the signal; of a tight frame they are the atoms
    over the frame bound.

    Args:
        op: The analysis operator, with circular padding that keeps the size and a stride
            that divides it, or with patches that share no pixel.
        max_bytes: Byte limit of what is decomposed.

    Returns:
        (C_out, C_in, *input_size), in double precision.

    Raises:
        NotApplicable: If the places are no shifts of one another, if the atoms do not
            span all signals, or the operator is transposed.
        TooLargeError: If the filters need more than ``max_bytes``.
        TypeError: If op is no :class:`ConvOperator`.

    Example:
        >>> import torch, convspec as cs
        >>> haar = torch.tensor([[[1.0, 1.0]], [[1.0, -1.0]]])
        >>> cs.dual_frame(cs.ConvOperator(haar, 4, stride=2)).squeeze(1)
        tensor([[ 0.5000,  0.5000,  0.0000,  0.0000],
                [ 0.5000, -0.5000,  0.0000,  0.0000]], dtype=torch.float64)
    """
    max_bytes = byte_limit(max_bytes)
    require_operator(op, "dual_frame")
    _require_shifts(op)
    m, n = op.shape
    if m < n:
        raise _no_frame(f"{m} atoms for {n} samples")
    channels = op.output_shape[0]
    dtype = torch.complex128 if op.dtype.is_complex else torch.float64
    needed = 2 * channels * (m + n) * dtype.itemsize
    require_bytes("the dual filters", needed, max_bytes, "use op.pinv() image by image")
    work = op.to(dtype)
    inverse = work.pinv(max_bytes=max_bytes)
    if inverse.rank is not None and inverse.rank < n:
        raise _no_frame(f"they span {inverse.rank} of {n} dimensions")
    units = torch.zeros(channels, m, dtype=dtype, device=op.device)
    first = torch.arange(channels)
    units[first, first * (m // channels)] = 1
    return inverse.apply(units.reshape(channels, *op.output_shape)) + 0.0


def _require_shifts(op: ConvOperator) -> None:
    """Refuse operators that do not commute with shifts by the stride on a torus."""
    if op.transposed:
        raise NotApplicable(
            "a dual frame is that of an analysis operator; got a transposed convolution, "
            "a synthesis operator; give its adjoint, op.H, or use op.pinv()",
            "dual_frame",
        )
    axes = enumerate(op.geometry.axes)
    broken = [j for j, axis in axes if not _shifts(axis)]
    if broken:
        raise NotApplicable(
            "dual filters are shifts of one another where the operator is block "
            "circulant: circular padding that keeps the size, and a stride that divides "
            f"it; got {op!r}, which is not along axis {broken[0]}; use op.pinv(), whose "
            "columns are the dual atoms, or op.circular(), which is another operator",
            "dual_frame",
        )


def _shifts(axis: Axis) -> bool:
    """Whether each output reads what the first one does, shifted by the stride."""
    source = axis.source
    places = axis.stride * np.arange(axis.output)
    shifted = (source[:, :1] + places) % axis.size
    whole = axis.output * axis.stride == axis.size
    return whole and bool((source >= 0).all() and (source == shifted).all())


def _no_frame(why: str) -> NotApplicable:
    return NotApplicable(
        "a dual frame needs atoms that span all signals, frame_bounds(op).lower > 0; "
        f"got {why}; op.pinv() gives back what is not lost",
        "dual_frame",
    )

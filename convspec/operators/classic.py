"""What forums ask for: the dense matrix in one line, from Toeplitz blocks, by im2col."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy
import torch
from torch import Tensor, nn

from convspec.arguments import Padding
from convspec.errors import NotApplicable
from convspec.isolation import isolated
from convspec.limits import DEFAULT_MAX_BYTES, Bytes, byte_limit, require_bytes
from convspec.operators.layers import arguments_of_weight
from convspec.operators.linear_map import LinearMap
from convspec.operators.operator import ConvOperator, require_operator
from convspec.operators.padding_mode import PaddingMode

__all__ = ["from_toeplitz", "im2col", "to_matrix"]


@isolated
def to_matrix(
    layer: nn.Module | Tensor | npt.NDArray[Any],
    input_size: int | Sequence[int],
    homogeneous: bool = False,
    *,
    bias: Tensor | npt.NDArray[Any] | None = None,
    stride: int | Sequence[int] | None = None,
    padding: Padding | None = None,
    dilation: int | Sequence[int] | None = None,
    groups: int | None = None,
    padding_mode: PaddingMode | None = None,
    transposed: bool | None = None,
    output_padding: int | Sequence[int] | None = None,
    max_bytes: Bytes = DEFAULT_MAX_BYTES,
) -> Tensor:
    """The dense matrix A of a convolution, or ``[[A, b], [0, 1]]``.

    Args:
        layer: A ``torch.nn`` convolution layer, or a weight as torch stores it,
            described by the arguments from ``bias`` on, which are for weights alone.
        input_size: Spatial size, ``(32, 32)`` or ``32``.
        homogeneous: Whether to include the bias, acting on ``[x, 1]``.
        bias: (C_out,), for ``homogeneous``; none unless told.
        stride: As in :class:`convspec.ConvOperator`, 1 unless told.
        padding: As there, 0 unless told.
        dilation: 1 unless told.
        groups: 1 unless told.
        padding_mode: ``"zeros"`` unless told.
        transposed: Whether the weight is that of a transposed convolution.
        output_padding: Of transposed ones, 0 unless told.
        max_bytes: Byte limit of the dense matrix.

    Returns:
        (m, n), or (m + 1, n + 1) if homogeneous; differentiable in the weight.

    Raises:
        GeometryError: If arguments come with a layer, or no convolution has them.
        NotFiniteError: If the weight or bias holds NaN or infinity.
        TypeError: For operators, which have ``to_dense()``, and what is no weight.
        UnsupportedLayer: If the layer is not a torch convolution.
        TooLargeError: If the matrix needs more than ``max_bytes``.

    Example:
        >>> import torch, convspec as cs
        >>> cs.to_matrix(torch.tensor([[[1.0, 2.0, 3.0]]]), 4, stride=2, padding=1)
        tensor([[2., 3., 0., 0.],
                [0., 1., 2., 3.]])
        >>> layer = torch.nn.Conv2d(2, 3, 3)
        >>> x = torch.randn(2, 4, 5)
        >>> A = cs.to_matrix(layer, (4, 5), homogeneous=True)
        >>> y = A @ torch.cat([x.flatten(), torch.ones(1)])
        >>> torch.allclose(y[:-1].reshape(3, 2, 3), layer(x), atol=1e-6)
        True
    """
    given = arguments_of_weight(
        layer,
        bias=bias,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        padding_mode=padding_mode,
        transposed=transposed,
        output_padding=output_padding,
    )
    _require_no_operator(layer)
    if isinstance(layer, nn.Module):
        op = ConvOperator.from_layer(layer, input_size)
    else:
        op = ConvOperator(layer, input_size, **given)
    dense = op.to_dense(max_bytes=max_bytes)
    if not homogeneous:
        return dense
    n = op.shape[1]
    top = torch.cat([dense, op.offset[:, None]], dim=1)
    bottom = dense.new_zeros(1, n + 1)
    bottom[0, n] = 1
    return torch.cat([top, bottom])


def _require_no_operator(layer: object) -> None:
    """Refuse operators, which have an input size already."""
    if isinstance(layer, LinearMap):
        raise TypeError(
            f"to_matrix takes a layer or a weight; got an operator, {layer!r}; "
            "use op.to_dense()"
        )


@isolated
def from_toeplitz(
    weight: Tensor,
    input_size: int | Sequence[int],
    padding: int | str | Sequence[int | Sequence[int]] = 0,
    *,
    max_bytes: Bytes = DEFAULT_MAX_BYTES,
) -> Tensor:
    """The dense A of a stride-1, zero-padded convolution from nested Toeplitz blocks.

    Along one axis, ``T[o, q] = k[q - o + before]``: constant along diagonals. Along d
    axes the entries of that matrix are themselves such matrices of the remaining axes.
    One nest is built for each pair of output and input channels.

    Args:
        weight: (C_out, C_in, *kernel), any sizes, one to three spatial dimensions.
        input_size: Spatial size, ``(7, 9)`` or ``7``.
        padding: Zero padding, as in :class:`convspec.ConvOperator`.
        max_bytes: Byte limit of the result.

    Returns:
        (m, n), equal to ``ConvOperator(weight, input_size, padding=padding).to_dense()``.

    Raises:
        GeometryError: For impossible sizes.
        TooLargeError: If the matrix needs more than ``max_bytes``.

    Source: Gray, "Toeplitz and Circulant Matrices: A Review", 2006, for the Toeplitz
    form of filtering.

    Example:
        >>> import torch, convspec as cs
        >>> cs.from_toeplitz(torch.tensor([[[1.0, 2.0, 3.0]]]), 3, padding=1)
        tensor([[2., 3., 0.],
                [1., 2., 3.],
                [0., 1., 2.]])
    """
    max_bytes = byte_limit(max_bytes)
    op = ConvOperator(weight, input_size, padding=padding)
    m, n = op.shape
    needed = m * n * op.weight.element_size()
    require_bytes(
        f"the {m} x {n} matrix", needed, max_bytes, "use ConvOperator.to_sparse()"
    )
    axes = op.geometry.axes
    weight = op.weight.detach().cpu()
    if weight.dtype == torch.bfloat16:  # NumPy has none
        weight = weight.float()
    kernels = weight.numpy()  # (C_out, C_in, *kernel)
    channels = [
        [
            _nested_toeplitz(kernel, [(a.size, a.output, a.before) for a in axes])
            for kernel in row
        ]
        for row in kernels
    ]
    return torch.from_numpy(np.block(channels)).to(op.weight)


def _nested_toeplitz(
    kernel: npt.NDArray[Any], axes: list[tuple[int, int, int]]
) -> npt.NDArray[Any]:
    """Toeplitz matrix along the first axis, of the nested matrices of the others."""
    (size, output, before), inner = axes[0], axes[1:]
    if inner:
        blocks = np.stack([_nested_toeplitz(tap, inner) for tap in kernel])
    else:
        blocks = kernel[:, None, None]  # (k, 1, 1): a tap is a 1 x 1 block
    # which tap stands at [o, q]: q - o + before, an index matrix that is Toeplitz itself
    tap = scipy.linalg.toeplitz(
        before - np.arange(output), before + np.arange(size)
    )  # (m, n)
    inside = (tap >= 0) & (tap < len(kernel))
    nested: npt.NDArray[Any] = np.where(
        inside[..., None, None], blocks[tap * inside], 0
    )  # (m, n, M, N)
    rows, columns = blocks.shape[1:]
    flat: npt.NDArray[Any] = nested.transpose(0, 2, 1, 3)
    return flat.reshape(output * rows, size * columns)


@isolated
def im2col(
    x: Tensor, op: ConvOperator, *, max_bytes: Bytes = DEFAULT_MAX_BYTES
) -> Tensor:
    """A x as (reshaped weight) @ (unfolded x), without the bias.

    The patch that each output reads becomes a column; the weight, reshaped to
    (C_out, C_in * taps), multiplies them all at once.

    Args:
        x: (..., *op.input_shape).
        op: A convolution, any geometry; not a transposed one.
        max_bytes: Byte limit of the unfolded images.

    Returns:
        (..., *op.output_shape), equal to ``op.apply(x)``; add ``op.bias`` per channel
        to get the layer's output.

    Raises:
        GeometryError: If x does not end in ``op.input_shape``.
        NotApplicable: For transposed convolutions, which scatter and do not gather.
        TooLargeError: If the unfolded images need more than ``max_bytes``.

    Source: Chellapilla, Puri, Simard, "High Performance Convolutional Neural Networks
    for Document Processing", 2006.
    """
    max_bytes = byte_limit(max_bytes)
    require_operator(op, "im2col")
    if op.transposed:
        raise NotApplicable(
            "im2col gathers patches; a transposed convolution scatters them; "
            "use op.apply(x), or im2col on op.T",
            "im2col",
        )
    shape = op.input_shape
    x, weight = op.operands("x", x)
    axes, groups = op.geometry.axes, op.groups
    lead = x.shape[: x.ndim - len(shape)]
    taps = math.prod(axis.kernel for axis in axes)
    outputs = math.prod(axis.output for axis in axes)
    needed = math.prod(lead) * shape[0] * taps * outputs * x.element_size()
    require_bytes("the unfolded images", needed, max_bytes, "use op.apply(x)")
    patches = x.reshape(math.prod(lead), *shape)
    for axis in axes:
        source = torch.as_tensor(axis.source, device=x.device)  # (k, m)
        taken = patches.index_select(2, source.clamp(min=0).flatten())
        live = (source.flatten() >= 0).reshape(-1, *[1] * (taken.ndim - 3))
        taken = torch.where(live, taken, 0)  # not a product: padding reads no inf
        # split the axis into (k, m) and move it behind, so that the next one is in front
        rest = taken.shape[3:]
        taken = taken.reshape(*taken.shape[:2], *source.shape, *rest)
        patches = taken.movedim((2, 3), (-2, -1))
    batch, d = patches.shape[0], len(axes)
    # (batch, C, k_1, m_1, ..., k_d, m_d) -> (batch, C, *k, *m)
    order = [0, 1, *range(2, 2 + 2 * d, 2), *range(3, 3 + 2 * d, 2)]
    patches = patches.permute(order)
    columns = patches.reshape(batch, groups, shape[0] // groups * taps, outputs)
    rows = weight.reshape(groups, op.output_shape[0] // groups, -1)
    return (rows @ columns).reshape(*lead, *op.output_shape)

"""The linear operator of a convolution on one input size."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from scipy.sparse.linalg import LinearOperator
from torch import Tensor, nn

from convspec import matrix
from convspec.convolve import convolve, convolve_transpose
from convspec.errors import GeometryError, NotFiniteError
from convspec.geometry import ConvGeometry, Padding
from convspec.layers import read_layer
from convspec.limits import DEFAULT_MAX_BYTES, require_bytes
from convspec.symbol import Symbol

__all__ = ["ConvOperator", "to_matrix"]

_SMALLER = "use to_sparse(), to_scipy() or spectrum(), which need no dense matrix"


class ConvOperator:
    """The matrix A of a convolution, without its bias: ``A = sum_t K_t (x) S[t]``.

    ``K_t`` is the (C_out, C_in) slice of the weight at tap t, block diagonal over
    groups; ``S[t]`` picks for each output the pixel that tap t reads. Images are
    flattened channel first, row major (``x.flatten()``). Arguments mean what they mean
    in ``torch.nn.Conv{1,2,3}d`` and ``ConvTranspose{1,2,3}d``.

    Args:
        weight: (C_out, C_in / groups, *kernel); for ``transposed=True``
            (C_in, C_out / groups, *kernel). One, two or three spatial dimensions, any
            floating or complex dtype; integers become float64. A NumPy array will do.
        input_size: Spatial size of the input, ``(32, 32)`` or ``32`` for all axes.
        bias: (C_out,) or None.
        stride: Per axis or for all.
        padding: ``"same"``, ``"valid"``, an integer, or per axis an integer or a
            (before, after) pair, the latter written ``((1, 0),)`` for one axis.
        dilation: Per axis or for all.
        groups: Number of groups.
        padding_mode: ``"zeros"``, ``"circular"``, ``"reflect"`` or ``"replicate"``.
        transposed: Whether this is a transposed convolution.
        output_padding: As in ``torch.nn.ConvTranspose{1,2,3}d``.

    Raises:
        GeometryError: Where torch's own layer would fail, with what was given.
        NotFiniteError: If weight or bias holds NaN or infinity.

    Example:
        >>> import torch, convspec as cs
        >>> op = cs.ConvOperator(torch.tensor([[[1.0, -2.0, 1.0]]]), 4, padding=1)
        >>> op.to_dense()
        tensor([[-2.,  1.,  0.,  0.],
                [ 1., -2.,  1.,  0.],
                [ 0.,  1., -2.,  1.],
                [ 0.,  0.,  1., -2.]])
    """

    weight: Tensor
    bias: Tensor | None
    geometry: ConvGeometry
    transposed: bool

    def __init__(
        self,
        weight: Tensor | npt.NDArray[Any],
        input_size: int | Sequence[int],
        *,
        bias: Tensor | npt.NDArray[Any] | None = None,
        stride: int | Sequence[int] = 1,
        padding: Padding = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        padding_mode: str = "zeros",
        transposed: bool = False,
        output_padding: int | Sequence[int] = 0,
    ) -> None:
        self.weight = _finite("weight", weight)
        self.transposed = bool(transposed)
        if self.transposed:
            self.geometry = ConvGeometry.of_transposed(
                self.weight.shape,
                input_size,
                stride=stride,
                padding=padding,
                output_padding=output_padding,
                dilation=dilation,
                groups=groups,
                padding_mode=padding_mode,
            )
        else:
            if output_padding not in (0, (0,) * (self.weight.ndim - 2)):
                raise GeometryError(
                    "output_padding is for transposed convolutions; "
                    f"got {output_padding!r} with transposed=False"
                )
            self.geometry = ConvGeometry.of_convolution(
                self.weight.shape,
                input_size,
                stride=stride,
                padding=padding,
                dilation=dilation,
                groups=groups,
                padding_mode=padding_mode,
            )
        self.bias = None if bias is None else _finite("bias", bias)
        if self.bias is not None and self.bias.shape != self.output_shape[:1]:
            raise GeometryError(
                f"bias must have shape ({self.output_shape[0]},), one per output channel; "
                f"got {tuple(self.bias.shape)}"
            )

    @classmethod
    def from_layer(
        cls, layer: nn.Module, input_size: int | Sequence[int]
    ) -> ConvOperator:
        """The operator of a ``torch.nn`` convolution layer, its bias as ``offset``.

        The weight in force is read: parametrizations, ``weight_norm``,
        ``spectral_norm`` and pruning included, without changing their state.

        Args:
            layer: ``Conv1d``, ``Conv2d``, ``Conv3d`` or their transposes.
            input_size: Spatial size, ``(32, 32)`` or ``32``.

        Raises:
            UnsupportedLayer: For lazy, quantized, overridden and other layers.
            GeometryError: For sizes at which the layer itself would fail.
            NotFiniteError: If the weight or bias holds NaN or infinity.
        """
        found = read_layer(layer)
        try:
            return cls(
                found.weight,
                input_size,
                bias=found.bias,
                stride=found.stride,
                padding=found.padding,
                dilation=found.dilation,
                groups=found.groups,
                padding_mode=found.padding_mode,
                transposed=found.transposed,
                output_padding=found.output_padding,
            )
        except (GeometryError, NotFiniteError) as error:
            raise type(error)(f"{layer}: {error}") from None

    @classmethod
    def _of(
        cls,
        weight: Tensor,
        geometry: ConvGeometry,
        transposed: bool,
        bias: Tensor | None = None,
    ) -> ConvOperator:
        """An operator from checked parts."""
        op = cls.__new__(cls)
        op.weight, op.bias = weight, bias
        op.geometry, op.transposed = geometry, transposed
        return op

    # -- what it is ------------------------------------------------------------

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(C_in, *size)."""
        found = self.geometry
        return found.output_shape if self.transposed else found.input_shape

    @property
    def output_shape(self) -> tuple[int, ...]:
        """(C_out, *size)."""
        found = self.geometry
        return found.input_shape if self.transposed else found.output_shape

    @property
    def shape(self) -> tuple[int, int]:
        """(m, n): the lengths of a flattened output and input."""
        return math.prod(self.output_shape), math.prod(self.input_shape)

    @property
    def dtype(self) -> torch.dtype:
        """The weight's dtype."""
        return self.weight.dtype

    @property
    def device(self) -> torch.device:
        """The weight's device."""
        return self.weight.device

    @property
    def groups(self) -> int:
        """Number of groups: the diagonal blocks of A."""
        return self.geometry.groups

    def __repr__(self) -> str:
        def size(numbers: Sequence[int]) -> str:
            return "x".join(map(str, numbers))

        axes = self.geometry.axes
        extras = [
            f"{name} {size(values)}"
            for name, values, usual in (
                ("stride", [a.stride for a in axes], 1),
                ("dilation", [a.dilation for a in axes], 1),
                ("groups", [self.groups], 1),
            )
            if any(value != usual for value in values)
        ]
        if any(a.before or a.after for a in axes):
            pads = ", ".join(
                str(a.before) if a.before == a.after else f"({a.before}, {a.after})"
                for a in axes
            )
            extras.append(f"padding {pads} {axes[0].mode}")
        kind = "transposed " if self.transposed else ""
        return (
            f"<ConvOperator {self.shape[0]} x {self.shape[1]}: {kind}"
            f"{size(self.input_shape)} -> {size(self.output_shape)}, "
            f"kernel {size([a.kernel for a in axes])}"
            f"{''.join(', ' + extra for extra in extras)}, {self.dtype}>"
        )

    def to(
        self, dtype: torch.dtype | None = None, device: str | torch.device | None = None
    ) -> ConvOperator:
        """The same operator in another dtype or on another device."""
        bias = None if self.bias is None else self.bias.to(device, dtype)
        weight = self.weight.to(device, dtype)
        return self._of(weight, self.geometry, self.transposed, bias)

    @property
    def T(self) -> ConvOperator:  # noqa: N802
        """A^T as an operator, with zero offset: the adjoint, for real weights."""
        return self._of(self.weight, self.geometry, not self.transposed)

    @property
    def H(self) -> ConvOperator:  # noqa: N802
        """The adjoint A^H as an operator, with zero offset; ``T`` for real weights."""
        return self._of(
            self.weight.conj().resolve_conj(), self.geometry, not self.transposed
        )

    # -- what it does ----------------------------------------------------------

    def apply(self, x: Tensor) -> Tensor:
        """A x on images, matrix-free and without the bias; differentiable.

        Args:
            x: (..., *input_shape); with the weight's dtype or one to promote to.

        Returns:
            (..., *output_shape).

        Raises:
            GeometryError: If x does not end in ``input_shape``.
        """
        x, weight = self._operands("x", x, self.input_shape)
        lead = x.shape[: x.ndim - len(self.input_shape)]
        images = x.reshape(math.prod(lead), *self.input_shape)
        kernel = convolve_transpose if self.transposed else convolve
        return kernel(images, weight, self.geometry).reshape(*lead, *self.output_shape)

    def adjoint(self, y: Tensor) -> Tensor:
        """A^T y on images (A^H y for complex weights), the exact adjoint; differentiable.

        ``<A x, y> = <x, A^T y>`` to rounding, strides with a remainder included.

        Args:
            y: (..., *output_shape).

        Returns:
            (..., *input_shape).

        Raises:
            GeometryError: If y does not end in ``output_shape``.
        """
        return self.H.apply(y)

    def __matmul__(self, v: Tensor) -> Tensor:
        """A v for a flattened vector (n,) or a block of columns (n, j)."""
        if not isinstance(v, Tensor):
            raise TypeError(
                f"op @ v takes a torch.Tensor; got {type(v).__name__}; "
                "for NumPy arrays use op.to_scipy() @ v"
            )
        if v.ndim not in (1, 2) or v.shape[0] != self.shape[1]:
            raise GeometryError(
                f"op @ v takes a vector ({self.shape[1]},) or a block "
                f"({self.shape[1]}, j); got shape {tuple(v.shape)}; "
                "for images use op.apply(x)"
            )
        rows = v.T if v.ndim == 2 else v  # (j, n)
        lead = rows.shape[:-1]
        result = self.apply(rows.reshape(*lead, *self.input_shape))
        return result.reshape(*lead, self.shape[0]).T if v.ndim == 2 else result.flatten()

    @property
    def offset(self) -> Tensor:
        """The bias as a vector (m,): ``layer(x).flatten() == op @ x.flatten() + offset``."""
        if self.bias is None:
            return self.weight.new_zeros(self.shape[0])
        return self.bias.repeat_interleave(math.prod(self.output_shape[1:]))

    def _operands(
        self, name: str, x: Tensor, shape: tuple[int, ...]
    ) -> tuple[Tensor, Tensor]:
        """The images and the weight in their common dtype."""
        if not isinstance(x, Tensor):
            raise TypeError(f"{name} must be a torch.Tensor; got {type(x).__name__}")
        if tuple(x.shape[max(0, x.ndim - len(shape)) :]) != shape:
            raise GeometryError(
                f"{name} must have shape (..., {', '.join(map(str, shape))}); "
                f"got {tuple(x.shape)}"
            )
        dtype = torch.promote_types(x.dtype, self.dtype)
        return x.to(dtype), self.weight.to(dtype)

    # -- what its matrix is ----------------------------------------------------

    @cached_property
    def _pattern(self) -> matrix.Pattern:
        axes = self.geometry.axes
        return matrix.Pattern.of([axis.source for axis in axes], self.geometry.sizes)

    def to_dense(self, *, max_bytes: int = DEFAULT_MAX_BYTES) -> Tensor:
        """The dense A, (m, n): the weight's entries, zeros elsewhere.

        Where two taps of an output read one pixel (reflect, replicate, kernels that
        wrap) the entry is their sum. Differentiable in the weight.

        Raises:
            TooLargeError: If it needs more than ``max_bytes``.
        """
        m, n = self.shape
        needed = m * n * self.weight.element_size()
        require_bytes(f"the dense {m} x {n} matrix", needed, max_bytes, _SMALLER)
        dense = matrix.dense_matrix(self.weight.flatten(2), self._pattern, self.groups)
        return dense.T if self.transposed else dense

    def to_sparse(self, *, max_bytes: int = DEFAULT_MAX_BYTES) -> sparse.csr_array:
        """A in CSR format, (m, n), one stored entry per nonzero position.

        The dtype is the weight's; half precision, which SciPy lacks, becomes float32.

        Raises:
            TooLargeError: If it needs more than ``max_bytes``.
        """
        weight = self.weight.detach().cpu()
        if weight.dtype in (torch.float16, torch.bfloat16):
            weight = weight.float()
        entries = self.geometry.reads
        index = 4 if max(entries, *self.shape) <= np.iinfo(np.int32).max else 8
        needed = entries * (weight.element_size() + index)
        m, n = self.shape
        require_bytes(
            f"the sparse {m} x {n} matrix ({entries:,} entries)",
            needed,
            max_bytes,
            "use to_scipy() or apply(), which need no matrix",
        )
        return matrix.sparse_matrix(
            weight.flatten(2), self._pattern, self.groups, self.transposed
        )

    def to_scipy(self) -> LinearOperator:
        """A as a SciPy ``LinearOperator`` in float64 (complex128 for complex weights)."""
        dtype = torch.complex128 if self.dtype.is_complex else torch.float64
        op = self.to(dtype)

        def product(factor: ConvOperator) -> Callable[[Any], npt.NDArray[Any]]:
            def multiply(v: Any) -> npt.NDArray[Any]:
                columns = torch.from_numpy(np.array(v, copy=True)).to(self.device)
                block = columns.reshape(columns.shape[0], -1)
                with torch.no_grad():
                    result: npt.NDArray[Any] = (factor @ block).cpu().numpy()
                return result.reshape(-1, *columns.shape[1:])

            return multiply

        forward, backward = product(op), product(op.H)
        return LinearOperator(
            self.shape,
            matvec=forward,
            rmatvec=backward,
            matmat=forward,
            rmatmat=backward,
            dtype=np.dtype(str(dtype).removeprefix("torch.")),
        )

    def frobenius_norm(self) -> float:
        """``||A||_F``, exact for every geometry, without the matrix.

        ``||A||_F^2 = <K, K x_1 M_1 ... x_d M_d>`` with ``M_j[t, u]`` the number of
        outputs whose taps t and u read one pixel of axis j. Evaluated in float64: the
        relative error is at most about ``(taps + log2(weights)) 2^-53``.
        """
        weight = self.weight.detach()
        weight = weight.to(torch.complex128 if self.dtype.is_complex else torch.float64)
        product = weight
        for axis in self.geometry.axes:
            overlap = torch.as_tensor(axis.overlap).to(product)
            product = torch.tensordot(product, overlap, dims=([2], [0]))
        return math.sqrt(max(0.0, float((weight.conj() * product).sum().real)))

    def symbol(self) -> Symbol:
        """The matrix-valued trigonometric polynomial F of the operator on an endless input.

        Stride is folded into channels; for a transposed operator it is the adjoint's.
        Its values on a grid are the exact spectrum only of circulant operators; for
        zero padding its supremum bounds every size.
        """
        axes = self.geometry.axes
        symbol = Symbol.of_taps(
            self.weight,
            self.groups,
            [axis.dilation * np.arange(axis.kernel) - axis.before for axis in axes],
            [axis.stride for axis in axes],
        )
        return symbol.transpose() if self.transposed else symbol

    def circular(self) -> ConvOperator:
        """The same kernel and stride on the torus of this input size: another operator.

        Its spectrum is exact by Fourier. It is what this operator would be with
        circular padding, n / stride outputs per axis.

        Raises:
            GeometryError: If the stride does not divide the size, or the kernel wraps
                more than once.
        """
        axes = self.geometry.axes
        for j, axis in enumerate(axes):
            if axis.size % axis.stride:
                raise GeometryError(
                    "a torus needs a size that the stride divides; "
                    f"axis {j} has size {axis.size} and stride {axis.stride}"
                )
        totals = [max(0, axis.extent - axis.stride) for axis in axes]
        geometry = ConvGeometry.of_convolution(
            self.weight.shape,
            self.geometry.sizes,
            stride=[axis.stride for axis in axes],
            padding=[
                (min(axis.before, total), total - min(axis.before, total))
                for axis, total in zip(axes, totals, strict=True)
            ],
            dilation=[axis.dilation for axis in axes],
            groups=self.groups,
            padding_mode="circular",
        )
        return self._of(self.weight, geometry, self.transposed, self.bias)


def to_matrix(
    layer: nn.Module,
    input_size: int | Sequence[int],
    homogeneous: bool = False,
    *,
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> Tensor:
    """The dense matrix A of a convolution layer, or ``[[A, b], [0, 1]]``.

    Args:
        layer: A ``torch.nn`` convolution layer.
        input_size: Spatial size, ``(32, 32)`` or ``32``.
        homogeneous: Whether to include the bias, acting on ``[x, 1]``.
        max_bytes: Byte limit of the dense matrix.

    Returns:
        (m, n), or (m + 1, n + 1) if homogeneous; differentiable in the weight.

    Raises:
        UnsupportedLayer: If the layer is not a torch convolution.
        TooLargeError: If the matrix needs more than ``max_bytes``.

    Example:
        >>> import torch, convspec as cs
        >>> layer = torch.nn.Conv2d(2, 3, 3)
        >>> x = torch.randn(2, 4, 5)
        >>> A = cs.to_matrix(layer, (4, 5), homogeneous=True)
        >>> y = A @ torch.cat([x.flatten(), torch.ones(1)])
        >>> torch.allclose(y[:-1].reshape(3, 2, 3), layer(x), atol=1e-6)
        True
    """
    op = ConvOperator.from_layer(layer, input_size)
    dense = op.to_dense(max_bytes=max_bytes)
    if not homogeneous:
        return dense
    m, n = op.shape
    top = torch.cat([dense, op.offset[:, None]], dim=1)
    bottom = dense.new_zeros(1, n + 1)
    bottom[0, n] = 1
    return torch.cat([top, bottom])


def _finite(name: str, values: Tensor | npt.NDArray[Any]) -> Tensor:
    tensor = torch.as_tensor(values)
    if not (tensor.is_floating_point() or tensor.is_complex()):
        tensor = tensor.to(torch.float64)
    bad = int((~torch.isfinite(tensor.detach())).sum())
    if bad:
        raise NotFiniteError(
            f"the {name} must be finite; {bad} of its {tensor.numel()} entries are NaN or "
            "infinite; repair or reload the weights"
        )
    return tensor

"""The linear operator of a convolution on one input size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor, nn

from convspec.arguments import Padding, per_axis, single
from convspec.errors import GeometryError, NotFiniteError, UnsupportedLayer
from convspec.isolation import isolated_class
from convspec.limits import DEFAULT_MAX_BYTES, Bytes, byte_limit, require_bytes
from convspec.operators import matrix
from convspec.operators.batch_norm import read_batch_norm
from convspec.operators.conv_arguments import ConvArguments
from convspec.operators.geometry import ConvGeometry
from convspec.operators.layers import read_layer
from convspec.operators.linear_map import LinearMap
from convspec.operators.matrix_free import MatrixFree
from convspec.operators.padding_mode import PaddingMode
from convspec.operators.scipy_bridge import linear_operator
from convspec.operators.scipy_modes import scipy_padding, scipy_weight
from convspec.operators.symbol import Symbol
from convspec.operators.weight import finite_tensor

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator

__all__ = ["ConvOperator", "require_operator"]

_SMALLER = "use to_sparse(), to_scipy() or spectrum(), which need no dense matrix"


@isolated_class
class ConvOperator(MatrixFree):
    """The matrix A of a convolution, without its bias: ``A = sum_t K_t (x) S[t]``.

    ``K_t`` is the (C_out, C_in) slice of the weight at tap t, block diagonal over
    groups; ``S[t]`` picks for each output the pixel that tap t reads. Images are
    flattened channel first, row major (``x.flatten()``). Arguments mean what they mean
    in ``torch.nn.Conv{1,2,3}d`` and ``ConvTranspose{1,2,3}d``.

    Args:
        weight: (C_out, C_in / groups, *kernel); for ``transposed=True``
            (C_in, C_out / groups, *kernel). One, two or three spatial dimensions;
            float16 to complex128, integers become float64. A NumPy array will do.
        input_size: Spatial size of the input, ``(32, 32)`` or ``32`` for all axes.
        bias: (C_out,) or None.
        stride: Per axis or for all.
        padding: ``"same"``, ``"valid"``, an integer, or per axis an integer or a
            (before, after) pair, the latter written ``((1, 0),)`` for one axis.
        dilation: Per axis or for all.
        groups: Number of groups.
        padding_mode: ``"zeros"``, ``"circular"``, ``"reflect"``, ``"replicate"`` or
            ``"symmetric"``, which mirrors the border's pixels too; or one for each axis,
            ``("zeros", "circular")``.
        transposed: Whether this is a transposed convolution.
        output_padding: As in ``torch.nn.ConvTranspose{1,2,3}d``.

    Raises:
        GeometryError: Where torch's own layer would fail, with what was given.
        NotFiniteError: If weight or bias holds NaN or infinity.
        TypeError: If weight or bias is no tensor or array of numbers.
        UnsupportedLayer: If the weight has no values (meta device), is sparse or
            quantized, or has an exotic dtype.

    Example:
        >>> import torch, convspec as cs
        >>> op = cs.ConvOperator(torch.tensor([[[1.0, -2.0, 1.0]]]), 4, padding=1)
        >>> op.to_dense()
        tensor([[-2.,  1.,  0.,  0.],
                [ 1., -2.,  1.,  0.],
                [ 0.,  1., -2.,  1.],
                [ 0.,  0.,  1., -2.]])
    """

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
        padding_mode: PaddingMode = "zeros",
        transposed: bool = False,
        output_padding: int | Sequence[int] = 0,
    ) -> None:
        self.weight = finite_tensor("weight", weight)
        single("transposed", transposed, "truth value")
        given = ConvArguments(
            stride,
            padding,
            dilation,
            groups,
            padding_mode,
            bool(transposed),
            output_padding,
        )
        self.transposed = given.transposed
        self.geometry = ConvGeometry.of(self.weight.shape, input_size, given)
        self.bias = None if bias is None else finite_tensor("bias", bias)
        if self.bias is not None and self.bias.shape != self.output_shape[:1]:
            raise GeometryError(
                f"bias must have shape ({self.output_shape[0]},), one per output "
                f"channel; got {tuple(self.bias.shape)}"
            )

    @classmethod
    def from_layer(
        cls,
        layer: nn.Module,
        input_size: int | Sequence[int],
        output_size: int | Sequence[int] | None = None,
    ) -> ConvOperator:
        """The operator of a ``torch.nn`` convolution layer, its bias as ``offset``.

        The weight in force is read: parametrizations, ``weight_norm``,
        ``spectral_norm`` and pruning included, without changing their state.

        Args:
            layer: ``Conv1d``, ``Conv2d``, ``Conv3d`` or their transposes.
            input_size: Spatial size, ``(32, 32)`` or ``32``.
            output_size: For transposed layers, as in ``layer(x, output_size=...)``: it
                takes the place of the layer's ``output_padding``.

        Raises:
            UnsupportedLayer: For lazy, quantized, overridden and other layers.
            GeometryError: For sizes at which the layer itself would fail.
            NotFiniteError: If the weight or bias holds NaN or infinity.
        """
        found = read_layer(layer)
        try:
            op = cls(found.weight, input_size, bias=found.bias, **found.given.keywords)
            return op if output_size is None else op._with_output_size(output_size)
        except (GeometryError, NotFiniteError) as error:
            raise type(error)(f"{layer}: {error}") from None

    @classmethod
    def from_layers(
        cls, conv: nn.Module, bn: nn.Module, input_size: int | Sequence[int]
    ) -> ConvOperator:
        """The operator of a convolution and the batch norm behind it, in evaluation.

        ``bn(conv(x)).flatten() == op @ x.flatten() + op.offset``: the weights of output
        channel c are multiplied by ``gamma_c / sqrt(running_var_c + eps)``, and the
        offset follows. In float64 whatever the layers are, so that the factors are
        rounded once; differentiable in the parameters of both.

        Args:
            conv: ``Conv1d``, ``Conv2d``, ``Conv3d`` or their transposes.
            bn: ``BatchNorm1d``, ``BatchNorm2d`` or ``BatchNorm3d`` in ``eval()`` mode.
            input_size: Spatial size of what ``conv`` reads, ``(32, 32)`` or ``32``.

        Raises:
            UnsupportedLayer: For other layers, and batch norms that normalise by the
                statistics of each batch: in training, or with none of their own.
            GeometryError: If ``bn`` is for other channels or axes than ``conv`` gives,
                and for sizes at which ``conv`` would fail.
            NotFiniteError: If one of them holds NaN or infinity, or ``running_var + eps``
                is not positive.

        Example:
            >>> import torch, convspec as cs
            >>> conv = torch.nn.Conv1d(1, 1, 2, bias=False)
            >>> bn = torch.nn.BatchNorm1d(1, eps=0.0).eval()
            >>> conv.weight.data = torch.tensor([[[-2.0, 2.0]]])
            >>> bn.running_mean[:], bn.running_var[:] = 3.0, 4.0
            >>> op = cs.ConvOperator.from_layers(conv, bn, 3)
            >>> op.to_dense().detach()
            tensor([[-1.,  1.,  0.],
                    [ 0., -1.,  1.]], dtype=torch.float64)
            >>> op.offset.detach()
            tensor([-1.5000, -1.5000], dtype=torch.float64)
        """
        op = cls.from_layer(conv, input_size)
        if op.dtype.is_complex:
            raise UnsupportedLayer(
                f"a batch norm takes real numbers; those of {conv} are {op.dtype}; take "
                "the convolution alone, with from_layer"
            )
        norm = read_batch_norm(bn, op.output_shape)
        weight, bias = norm.folded(op.weight, op.bias, op.transposed, op.groups)
        return cls._of(
            finite_tensor("normalised weight", weight),
            op.geometry,
            op.transposed,
            finite_tensor("normalised bias", bias),
        )

    @classmethod
    def from_scipy(
        cls,
        kernel: Tensor | npt.NDArray[Any],
        input_size: int | Sequence[int],
        mode: str = "full",
        *,
        correlate: bool = False,
    ) -> ConvOperator:
        """The operator ``x -> scipy.signal.convolve(x, kernel, mode)``, of one channel.

        A true convolution: the kernel is flipped, which torch does not do. ``"full"``
        has ``n + k - 1`` outputs per axis; ``"same"`` its middle n, one pixel beside
        torch's ``padding="same"`` for even k; ``"valid"`` the ``n - k + 1`` that no
        border touches. Differentiable in the kernel.

        Args:
            kernel: (k,), (k_1, k_2) or (k_1, k_2, k_3), without channels; a tensor or an
                array, real or complex; integers become float64.
            input_size: Spatial size of x, ``(32, 32)`` or ``32`` for all axes.
            mode: ``"full"``, ``"same"`` or ``"valid"``.
            correlate: Whether it is ``scipy.signal.correlate(x, kernel, mode)`` instead,
                which conjugates the kernel and does not flip it.

        Raises:
            GeometryError: If the kernel has channels or no taps, there is no such mode,
                or in mode ``"valid"`` the kernel is longer than the input; where it is so
                on every axis, SciPy exchanges the two.
            NotFiniteError: If the kernel holds NaN or infinity.
            TypeError: If the kernel is no tensor or array of numbers.

        Example:
            >>> import numpy as np, convspec as cs
            >>> op = cs.ConvOperator.from_scipy(np.array([1.0, 2.0]), 3)
            >>> op.to_dense()
            tensor([[1., 0., 0.],
                    [2., 1., 0.],
                    [0., 2., 1.],
                    [0., 0., 2.]], dtype=torch.float64)
        """
        weight = scipy_weight(kernel, correlate)
        padding = scipy_padding(weight.shape[2:], input_size, mode)
        return cls(weight, input_size, padding=padding)

    def _with_output_size(self, output_size: int | Sequence[int]) -> ConvOperator:
        """The operator whose output padding gives this spatial output size."""
        sizes = self.output_shape[1:]
        wanted = per_axis("output_size", output_size, len(sizes), least=1)
        if wanted == sizes:
            return self
        if not self.transposed:
            raise GeometryError(
                f"the output size of a convolution is given: {sizes}; got {wanted}; "
                "leave output_size out"
            )
        geometry = self.geometry.with_sizes(wanted)
        return self._of(self.weight, geometry, True, self.bias)

    @property
    def offset(self) -> Tensor:
        """The bias, (m,): ``layer(x).flatten() == op @ x.flatten() + op.offset``."""
        if self.bias is None:
            return self.weight.new_zeros(self.shape[0])
        return self.bias.repeat_interleave(math.prod(self.output_shape[1:]))

    @property
    def _pattern_bytes(self) -> int:
        """What finding the nonzero positions takes, at most."""
        return matrix.pattern_bytes([axis.source for axis in self.geometry.axes])

    @cached_property
    def _pattern(self) -> matrix.Pattern:
        """The nonzero positions between an input and an output channel."""
        axes = self.geometry.axes
        return matrix.Pattern.of([axis.source for axis in axes], self.geometry.sizes)

    def to_dense(self, *, max_bytes: Bytes = DEFAULT_MAX_BYTES) -> Tensor:
        """The dense A, (m, n): the weight's entries, zeros elsewhere.

        Where two taps of an output read one pixel (reflect, replicate, kernels that
        wrap) the entry is their sum. Differentiable in the weight.

        Raises:
            TooLargeError: If it needs more than ``max_bytes``.
        """
        max_bytes = byte_limit(max_bytes)
        m, n = self.shape
        size = self.weight.element_size()
        needed = m * n * size + max(self._pattern_bytes, 2 * self.geometry.reads * size)
        require_bytes(f"the dense {m} x {n} matrix", needed, max_bytes, _SMALLER)
        dense = matrix.dense_matrix(self.weight.flatten(2), self._pattern, self.groups)
        return dense.T if self.transposed else dense

    def to_sparse(self, *, max_bytes: Bytes = DEFAULT_MAX_BYTES) -> sparse.csr_array:
        """A in CSR format, (m, n), one stored entry per nonzero position.

        The dtype is the weight's; half precision, which SciPy lacks, becomes float32.

        Raises:
            TooLargeError: If it needs more than ``max_bytes``.
        """
        max_bytes = byte_limit(max_bytes)
        weight = self.weight.detach().cpu()
        if weight.dtype in (torch.float16, torch.bfloat16):
            weight = weight.float()
        entries = self.geometry.reads
        index = 4 if max(entries, *self.shape) <= np.iinfo(np.int32).max else 8
        needed = entries * (weight.element_size() + index) + self._pattern_bytes
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
        op = self.to(torch.complex128 if self.dtype.is_complex else torch.float64)
        return linear_operator(op.shape, op.__matmul__, op.H.__matmul__, op.weight)

    def frobenius_norm(self) -> float:
        """``||A||_F``, exact for every geometry, without the matrix.

        ``||A||_F^2 = <K, K x_1 M_1 ... x_d M_d>`` with ``M_j[t, u]`` the number of
        outputs whose taps t and u read one pixel of axis j. Evaluated in float64: the
        relative error is at most about ``(taps + log2(weights)) 2^-53``.
        """
        return matrix.frobenius_norm(
            self.weight.detach(), [axis.overlap for axis in self.geometry.axes]
        )

    def symbol(self) -> Symbol:
        """F(w), the trigonometric polynomial of the operator on an endless input.

        Stride is folded into channels; for a transposed operator it is the adjoint's.
        Its values on a grid are the exact spectrum only of circulant operators; for
        zero padding its supremum bounds every size.
        """
        axes = self.geometry.axes
        symbol = Symbol.of_taps(
            self.weight,
            self.groups,
            [axis.lags for axis in axes],
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
        geometry = self.geometry.on_torus()
        return self._of(self.weight, geometry, self.transposed, self.bias)


def require_operator(op: object, caller: str) -> None:
    """Refuses composed maps, and layers, which are operators on one input size only.

    Raises:
        TypeError: If op is no :class:`ConvOperator`.
    """
    if isinstance(op, ConvOperator):
        return
    if isinstance(op, LinearMap):
        raise TypeError(
            f"{caller} takes a ConvOperator; got a composed map, {op!r}; of it there are "
            "spectrum, spectral_norm, plot.operator and its matrices; or take its parts"
        )
    raise TypeError(
        f"{caller} takes a ConvOperator; got {type(op).__name__}; make one of a "
        "layer with ConvOperator.from_layer(layer, input_size)"
    )

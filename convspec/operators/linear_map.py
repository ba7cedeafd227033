"""Linear maps of images, whatever they are made of: products, sums, multiples, matrices.

A convolution is one kind, the others are in :mod:`convspec.operators.composed`. Here is
what they have in common, and how ``@``, ``+`` and ``*`` make one of another.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from convspec.arguments import shown
from convspec.errors import GeometryError
from convspec.isolation import isolated_class
from convspec.limits import DEFAULT_MAX_BYTES, Bytes, byte_limit, require_bytes
from convspec.operators.invertible import Invertible
from convspec.operators.scipy_bridge import linear_operator
from convspec.operators.torch_sparse import require_layout, sparse_tensor

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator

__all__ = ["LinearMap", "Number", "require_map"]

# a factor; a tensor has no axes, and gradients reach it
Number = int | float | complex | Tensor

# numbers that products with unit vectors may hold at a time
CHUNK_ENTRIES = 2**22
_SMALLER = "use to_sparse(), to_scipy() or apply(), which need no dense matrix"


@isolated_class
class LinearMap(Invertible, ABC):
    """A linear map A of images, flattened row major where it is a matrix (m, n).

    ``a @ b`` is "first b, then a", ``a + b`` and ``a - b`` act on one input, ``c * a`` is
    a multiple; ``a.H`` is the adjoint. None of them forms a matrix. ``a / c`` is ``a``
    times ``1 / c`` as float64 has it.

    >>> import torch, convspec as cs
    >>> second = cs.ConvOperator(torch.tensor([[[1.0, -2.0, 1.0]]]), 3, padding=1)
    >>> (second @ second).to_dense()
    tensor([[ 5., -4.,  1.],
            [-4.,  6., -4.],
            [ 1., -4.,  5.]])
    """

    # NumPy leaves products with arrays and with its numbers to the map
    __array_ufunc__ = None

    @property
    @abstractmethod
    def input_shape(self) -> tuple[int, ...]:
        """Of an image that it takes, the channels first."""

    @property
    @abstractmethod
    def output_shape(self) -> tuple[int, ...]:
        """Of an image that it gives."""

    @property
    @abstractmethod
    def dtype(self) -> torch.dtype:
        """Of its numbers: those of its parts promote to it."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where its numbers are."""

    @property
    @abstractmethod
    def T(self) -> LinearMap:  # noqa: N802
        """The transpose: the adjoint, for real numbers."""

    @property
    @abstractmethod
    def H(self) -> LinearMap:  # noqa: N802
        """The adjoint."""

    @abstractmethod
    def to(
        self,
        dtype: torch.dtype | None = None,
        device: str | torch.device | None = None,
    ) -> LinearMap:
        """The same map in another dtype or on another device."""

    @abstractmethod
    def to_sparse(self, *, max_bytes: Bytes = DEFAULT_MAX_BYTES) -> sparse.csr_array:
        """A in CSR format, (m, n); half precision, which SciPy lacks, becomes float32.

        Raises:
            TooLargeError: If it may need more than ``max_bytes``.
        """

    @abstractmethod
    def _images(self, x: Tensor) -> Tensor:
        """A x for images (b, *input_shape) of a dtype that A's promotes to."""

    @property
    def shape(self) -> tuple[int, int]:
        """(m, n): the lengths of a flattened output and input."""
        return math.prod(self.output_shape), math.prod(self.input_shape)

    @property
    def _held(self) -> int:
        """Numbers held while one image passes, about."""
        return 2 * sum(self.shape)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._sizes}, {self.dtype}>"

    @property
    def _sizes(self) -> str:
        """``6 x 12: 3x4 -> 3x2``."""
        into, out = ("x".join(map(str, s)) for s in (self.input_shape, self.output_shape))
        return f"{self.shape[0]} x {self.shape[1]}: {into} -> {out}"

    def apply(self, x: Tensor) -> Tensor:
        """A x on images, without a matrix; differentiable.

        Args:
            x: (..., *input_shape); with the map's dtype or one to promote to.

        Returns:
            (..., *output_shape).

        Raises:
            GeometryError: If x does not end in ``input_shape``.
        """
        return self._product("x", x)

    def __call__(self, x: Tensor) -> Tensor:
        """The same as :meth:`apply`, linear: a layer's bias is its ``offset``."""
        return self.apply(x)

    def adjoint(self, y: Tensor) -> Tensor:
        """A^H y on images: ``<A x, y> = <x, A^H y>`` to rounding; differentiable.

        Args:
            y: (..., *output_shape).

        Returns:
            (..., *input_shape).

        Raises:
            GeometryError: If y does not end in ``output_shape``.
        """
        return self.H._product("y", y)

    def _product(self, name: str, x: Tensor) -> Tensor:
        """A x on images; ``name`` is what messages call x."""
        x = self._checked(name, x)
        lead = x.shape[: x.ndim - len(self.input_shape)]
        images = x.reshape(math.prod(lead), *self.input_shape)
        return self._images(images).reshape(*lead, *self.output_shape)

    def _checked(self, name: str, x: Tensor) -> Tensor:
        """Images in the dtype that theirs and the map's promote to."""
        shape = self.input_shape
        if not isinstance(x, Tensor):
            raise TypeError(
                f"{name} must be a torch.Tensor; got {type(x).__name__}; for NumPy "
                "arrays use op.to_scipy() @ v"
            )
        if tuple(x.shape[max(0, x.ndim - len(shape)) :]) != shape:
            raise GeometryError(
                f"{name} must have shape (..., {', '.join(map(str, shape))}); "
                f"got {tuple(x.shape)}"
            )
        return x.to(torch.promote_types(x.dtype, self.dtype))

    @overload
    def __matmul__(self, v: Tensor) -> Tensor: ...

    @overload
    def __matmul__(self, v: LinearMap) -> LinearMap: ...

    def __matmul__(self, v: Tensor | LinearMap) -> Tensor | LinearMap:
        """A v for a flattened vector (n,) or a block of columns (n, j); A B for a map."""
        if isinstance(v, LinearMap):
            from convspec.operators.composed.product import product

            return product(self, v)
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

    def __add__(self, other: LinearMap) -> LinearMap:
        from convspec.operators.composed.sum import summed

        return summed(self, other, 1)

    def __sub__(self, other: LinearMap) -> LinearMap:
        from convspec.operators.composed.sum import summed

        return summed(self, other, -1)

    def __neg__(self) -> LinearMap:
        from convspec.operators.composed.sum import multiple

        return multiple(-1, self)

    def __mul__(self, c: Number) -> LinearMap:
        from convspec.operators.composed.sum import multiple

        return multiple(c, self)

    __rmul__ = __mul__

    def __truediv__(self, c: Number) -> LinearMap:
        from convspec.operators.composed.sum import multiple, number

        divisor = number(c)
        if not bool(divisor != 0):
            raise ValueError(
                f"a / c takes a number c other than 0; got {shown(c)}; a multiple by "
                "zero is 0 * a"
            )
        return multiple(1 / divisor, self)

    def to_dense(self, *, max_bytes: Bytes = DEFAULT_MAX_BYTES) -> Tensor:
        """The dense A, (m, n), from its products with unit vectors; differentiable.

        Raises:
            TooLargeError: If it needs more than ``max_bytes``.
        """
        max_bytes = byte_limit(max_bytes)
        m, n = self.shape
        side = min(m, n)
        at_once = max(1, min(side, CHUNK_ENTRIES // self._held))
        needed = (2 * m * n + at_once * self._held) * self.dtype.itemsize
        require_bytes(f"the dense {m} x {n} matrix", needed, max_bytes, _SMALLER)
        wide = m < n  # then rows of A are columns of its transpose
        turned = self.T if wide else self
        found = []
        for first in range(0, side, at_once):
            count = min(at_once, side - first)
            units = torch.zeros(count, side, dtype=self.dtype, device=self.device)
            units[torch.arange(count), first + torch.arange(count)] = 1
            images = turned._images(units.reshape(count, *turned.input_shape))
            found.append(images.reshape(count, -1))
        dense = torch.cat(found)
        return dense if wide else dense.T

    def to_torch_sparse(
        self,
        layout: torch.layout = torch.sparse_csr,
        *,
        max_bytes: Bytes = DEFAULT_MAX_BYTES,
    ) -> Tensor:
        """A as a sparse tensor of torch, (m, n), on the map's device.

        It is :meth:`to_sparse` in torch's terms, of the same dtype: half precision
        becomes float32. Not differentiable; :meth:`to_dense` and :meth:`apply` are.

        Args:
            layout: ``torch.sparse_csr``, or ``torch.sparse_coo``, coalesced.
            max_bytes: Byte limit of the matrix.

        Raises:
            TooLargeError: If it may need more than ``max_bytes``.
            ValueError: For other layouts.

        Example:
            >>> import torch, convspec as cs
            >>> op = cs.ConvOperator(torch.tensor([[[-1.0, 2.0]]]), 3)
            >>> op.to_torch_sparse(torch.sparse_coo)
            tensor(indices=tensor([[0, 0, 1, 1],
                                   [0, 1, 1, 2]]),
                   values=tensor([-1.,  2., -1.,  2.]),
                   size=(2, 3), nnz=4, layout=torch.sparse_coo)
        """
        max_bytes = byte_limit(max_bytes)
        require_layout(layout)
        matrix = self.to_sparse(max_bytes=max_bytes)
        matrix = matrix.astype(numpy_dtype(self.dtype), copy=False)
        return sparse_tensor(matrix, layout, max_bytes).to(self.device)

    def to_scipy(self) -> LinearOperator:
        """A as a SciPy ``LinearOperator`` in float64 (complex128 for complex numbers)."""
        op = self.to(torch.complex128 if self.dtype.is_complex else torch.float64)
        like = torch.empty(0, dtype=op.dtype, device=op.device)
        adjoint = op.H

        def forward(v: Tensor) -> Tensor:
            return op @ v

        def backward(v: Tensor) -> Tensor:
            return adjoint @ v

        return linear_operator(op.shape, forward, backward, like)


def require_map(op: object, caller: str) -> None:
    """Refuses layers, which are maps on one input size only, and arrays.

    Raises:
        TypeError: If op is no :class:`LinearMap`.
    """
    if not isinstance(op, LinearMap):
        raise TypeError(
            f"{caller} takes a ConvOperator; got {type(op).__name__}; make one of a "
            "layer with ConvOperator.from_layer(layer, input_size), or a map of any "
            "linear module with to_operator(module, input_shape)"
        )


def numpy_dtype(dtype: torch.dtype) -> Any:
    """SciPy's counterpart of a dtype."""
    if dtype in (torch.float16, torch.bfloat16):
        dtype = torch.float32
    return np.dtype(str(dtype).removeprefix("torch."))

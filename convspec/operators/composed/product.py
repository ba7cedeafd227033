"""Maps one behind the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from torch import Tensor

from convspec.errors import GeometryError
from convspec.isolation import isolated_class
from convspec.limits import DEFAULT_MAX_BYTES, Bytes, byte_limit, require_bytes
from convspec.operators.composed.of_parts import OfParts
from convspec.operators.composed.part_of import require_one_device
from convspec.operators.linear_map import LinearMap

__all__ = ["Product", "product", "sparse_product"]

# products of entries that are added up at a time
CHUNK_PRODUCTS = 2**24


@isolated_class
@dataclass(frozen=True, eq=False, repr=False)
class Product(OfParts):
    """``A_1 A_2 ... A_p``: the last one acts first."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of the last part."""
        return self.parts[-1].input_shape

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Of the first part."""
        return self.parts[0].output_shape

    @property
    def T(self) -> Product:  # noqa: N802
        """``A_p^T ... A_1^T``."""
        return Product(tuple(part.T for part in self.parts[::-1]))

    @property
    def H(self) -> Product:  # noqa: N802
        """``A_p^H ... A_1^H``."""
        return Product(tuple(part.H for part in self.parts[::-1]))

    @property
    def _held(self) -> int:
        return max(part._held for part in self.parts) + sum(self.shape)

    def _images(self, x: Tensor) -> Tensor:
        for part in self.parts[::-1]:
            x = part._images(x)
        return x

    def to_sparse(self, *, max_bytes: Bytes = DEFAULT_MAX_BYTES) -> sparse.csr_array:
        """The product of the sparse matrices, the last two first.

        Raises:
            TooLargeError: If it may need more than ``max_bytes``.
        """
        max_bytes = byte_limit(max_bytes)
        found = self.parts[-1].to_sparse(max_bytes=max_bytes)
        for part in self.parts[-2::-1]:
            found = sparse_product(part.to_sparse(max_bytes=max_bytes), found, max_bytes)
        return found

    def __repr__(self) -> str:
        kinds = " @ ".join(type(part).__name__ for part in self.parts)
        return f"<Product {self._sizes}: {kinds}, {self.dtype}>"


def product(a: LinearMap, b: LinearMap) -> Product:
    """``A B``.

    Raises:
        GeometryError: If b does not give what a takes.
        ValueError: If they are on two devices.
    """
    if a.input_shape != b.output_shape:
        raise GeometryError(
            f"a @ b takes maps of which b gives images of the shape that a takes, "
            f"{a.input_shape}; b gives {b.output_shape}; a is {a!r}, b is {b!r}; for "
            "other orders take transposes, a.T, or change a stride or padding"
        )
    require_one_device(a, b)
    parts = (each.parts if isinstance(each, Product) else (each,) for each in (a, b))
    return Product(tuple(part for some in parts for part in some))


def sparse_product(
    a: sparse.csr_array, b: sparse.csr_array, max_bytes: int
) -> sparse.csr_array:
    """``A B``, some rows at a time, as long as what they hold fits.

    Raises:
        TooLargeError: If it does not.
    """
    a, b = sparse.csr_array(a), sparse.csr_array(b)
    each = max(a.dtype.itemsize, b.dtype.itemsize) + 8
    reads = np.append(0, np.cumsum(np.diff(b.indptr)[a.indices]))
    ends = reads[a.indptr]  # products of the rows before each
    parts: list[sparse.csr_array] = []
    row, entries = 0, 0
    while row < a.shape[0]:
        last = int(np.searchsorted(ends, ends[row] + CHUNK_PRODUCTS, side="right")) - 1
        last = min(max(last, row + 1), a.shape[0])
        parts.append(a[row:last] @ b)
        entries, row = entries + parts[-1].nnz, last
        require_bytes(
            f"the sparse product {a.shape[0]} x {b.shape[1]}",
            2 * entries * each,
            max_bytes,
            "use to_scipy() or apply(), which need no matrix",
        )
    return sparse.csr_array(sparse.vstack(parts, format="csr"))

"""The sparse matrix of a convolution in CSR format, built four ways."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from torch.nn import functional

from benchmarks.convolution import Convolution
from benchmarks.problem import Method, Problem, Target
from convspec import ConvOperator

__all__ = ["problem"]

IndexArray = npt.NDArray[np.int32]


def problem(
    channels: int = 64,
    size: int = 56,
    kernel: int = 3,
    padding: int = 1,
    columns: int = 1024,
    batch: int = 256,
) -> Problem:
    """Build the CSR matrix; one-hot images build the first columns only."""
    conv = Convolution.random(channels, size, kernel, padding)
    rows, whole = conv.shape
    return Problem(
        name="sparse_matrix",
        title=f"CSR {rows} x {whole} matrix of {conv}, "
        f"{conv.entries(rows, whole):,} entries",
        methods=(
            Method(
                "convspec",
                "ConvOperator(...).to_sparse(), the operator made in the timed body",
                lambda: ours(conv),
            ),
            Method(
                "one-hot",
                f"conv2d of {batch} one-hot images at a time, each batch to CSR",
                lambda: one_hot(conv, columns, batch),
                scale=whole / columns,
                part=f"{columns} of {whole} columns",
            ),
            Method(
                "triplets",
                "(row, column, value) of all entries by index arithmetic, "
                "coo_array(...).tocsr()",
                lambda: triplets(conv),
            ),
            Method(
                "kron",
                "sum over taps of scipy.sparse.kron(K_t, kron(S_1, S_2))",
                lambda: kron_sum(conv),
            ),
        ),
        error=lambda matrix: matrix_error(conv, matrix),
        target=Target(seconds=0.6, peak_bytes=3 * 2**30),
        memory=True,
    )


def matrix_error(conv: Convolution, matrix: Any) -> float:
    """The error of matrix times image; infinite unless each entry is stored once."""
    if matrix.format != "csr" or matrix.nnz != conv.entries(*matrix.shape):
        return float("inf")
    return conv.product_error(matrix)


def ours(conv: Convolution) -> sparse.csr_array:
    """The matrix by convspec, from nothing."""
    op = ConvOperator(conv.weight, (conv.size, conv.size), padding=conv.padding)
    return op.to_sparse()


def one_hot(conv: Convolution, columns: int, batch: int) -> sparse.csr_array:
    """The first columns: conv2d of one-hot images, batch by batch."""
    blocks = []
    for start in range(0, columns, batch):
        images = conv.images(range(start, min(start + batch, columns)))
        outputs = functional.conv2d(images, conv.weight, padding=conv.padding)
        blocks.append(sparse.csr_array(outputs.flatten(1).numpy()))
    return sparse.vstack(blocks).T.tocsr()


def triplets(conv: Convolution) -> sparse.csr_array:
    """All entries tap by tap as triplets, sorted into rows by SciPy."""
    parts = [_tap(conv, a, b) for a in range(conv.kernel) for b in range(conv.kernel)]
    row, column, value = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return sparse.coo_array((value, (row, column)), shape=conv.shape).tocsr()


def _tap(conv: Convolution, a: int, b: int) -> tuple[IndexArray, IndexArray, Any]:
    """Rows, columns and values of the entries of tap (a, b)."""
    c_out, c_in = conv.channels
    o = np.arange(c_out, dtype=np.int32)[:, None, None, None]
    i = np.arange(c_in, dtype=np.int32)[:, None, None]
    y, x = _outputs(conv, a)[:, None], _outputs(conv, b)
    u, v = y + (a - conv.padding), x + (b - conv.padding)
    row = (o * conv.output + y) * conv.output + x
    column = (i * conv.size + u) * conv.size + v
    value = conv.weight[:, :, a, b].numpy()[:, :, None, None]
    row, column, value = np.broadcast_arrays(row, column, value)
    return row.ravel(), column.ravel(), value.ravel()


def _outputs(conv: Convolution, tap: int) -> IndexArray:
    """The outputs of one axis whose tap reads a pixel and no padding."""
    output = np.arange(conv.output, dtype=np.int32)
    pixel = output + (tap - conv.padding)
    return output[(pixel >= 0) & (pixel < conv.size)]


def kron_sum(conv: Convolution) -> sparse.csr_array:
    """The sum over taps of channel matrix (x) row shift (x) column shift."""
    shape = conv.output, conv.size
    shifts = [
        sparse.eye_array(*shape, k=tap - conv.padding, dtype=np.float32, format="csr")
        for tap in range(conv.kernel)
    ]
    total = sparse.csr_array(conv.shape, dtype=np.float32)
    for a, down in enumerate(shifts):
        for b, right in enumerate(shifts):
            channels = sparse.csr_array(conv.weight[:, :, a, b].numpy())
            pixels = sparse.kron(down, right, format="csr")
            total = total + sparse.kron(channels, pixels, format="csr")
    return total

"""The dense matrix of a convolution, built four ways."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.linalg import toeplitz
from torch import Tensor
from torch.nn import functional

from benchmarks.convolution import Convolution, as_float64
from benchmarks.problem import Method, Problem, Target
from convspec import ConvOperator

__all__ = ["problem"]

FloatArray = npt.NDArray[np.float64]


def problem(
    channels: int = 16, size: int = 16, kernel: int = 3, padding: int = 1
) -> Problem:
    """Build the dense matrix; every entry must equal that of the one-hot matrix."""
    conv = Convolution.random(channels, size, kernel, padding)
    rows, columns = conv.shape
    return Problem(
        name="dense_matrix",
        title=f"dense {rows} x {columns} matrix of {conv}",
        methods=(
            Method(
                "convspec",
                "ConvOperator(...).to_dense(), the operator made in the timed body",
                lambda: ours(conv),
            ),
            Method(
                "one-hot",
                "conv2d of the identity as a batch of images; a transposed view",
                lambda: one_hot(conv),
            ),
            Method(
                "nested Toeplitz",
                "NumPy loops over channel pairs, Toeplitz blocks of the padded image; "
                "float64",
                lambda: nested_toeplitz(conv),
            ),
            Method(
                "einsum",
                "torch.einsum of the weight and a 0/1 index pattern per axis",
                lambda: pattern_einsum(conv),
            ),
        ),
        error=lambda matrix: matrix_error(conv, matrix),
        target=Target(seconds=0.06),
    )


def matrix_error(conv: Convolution, matrix: Any) -> float:
    """The error of matrix times image; infinite if an entry is not the one-hot one."""
    entries, expected = as_float64(matrix), as_float64(one_hot(conv))
    if not np.array_equal(entries, expected):
        return float("inf")
    return conv.product_error(matrix)


def ours(conv: Convolution) -> Tensor:
    """The matrix by convspec, from nothing."""
    return ConvOperator(
        conv.weight, (conv.size, conv.size), padding=conv.padding
    ).to_dense()


def one_hot(conv: Convolution) -> Tensor:
    """The matrix column by column: conv2d of every one-hot image."""
    images = conv.images(range(conv.shape[1]))
    return functional.conv2d(images, conv.weight, padding=conv.padding).flatten(1).T


def pattern_einsum(conv: Convolution) -> Tensor:
    """The matrix as one contraction: weight, row pattern, column pattern."""
    pixel = torch.arange(conv.size)
    tap = torch.arange(conv.kernel)[:, None, None]
    reads = torch.arange(conv.output)[:, None] + tap - conv.padding  # (kernel, output, 1)
    pattern = (reads == pixel).to(conv.weight)  # (kernel, output, size)
    matrix = torch.einsum("oiab,ayu,bxv->oyxiuv", conv.weight, pattern, pattern)
    return matrix.reshape(conv.shape)


def nested_toeplitz(conv: Convolution) -> FloatArray:
    """The matrix of the padded image, block by block, its padding's columns dropped."""
    c_out, c_in = conv.channels
    width = conv.size + 2 * conv.padding
    weight = conv.weight.numpy().astype(np.float64)
    padded = np.zeros((c_out, conv.output**2, c_in, width**2))
    for o in range(c_out):
        for i in range(c_in):
            padded[o, :, i] = toeplitz_of_toeplitz(weight[o, i], width)
    inside = slice(conv.padding, conv.padding + conv.size)
    pixels = padded.reshape(conv.shape[0], c_in, width, width)[:, :, inside, inside]
    return pixels.reshape(conv.shape)


def toeplitz_of_toeplitz(kernel: FloatArray, width: int) -> FloatArray:
    """The matrix of one channel pair without padding: Toeplitz with Toeplitz blocks."""
    taps = len(kernel)
    output = width - taps + 1
    matrix = np.zeros((output, output, width, width))
    for a, line in enumerate(kernel):
        first_column, first_row = np.zeros(output), np.zeros(width)
        first_column[0], first_row[:taps] = line[0], line
        block = toeplitz(first_column, first_row)  # (output, width)
        for y in range(output):
            matrix[y, :, y + a] = block
    return matrix.reshape(output**2, width**2)

"""Independent ground truth: plain loops, one-hot images, spectra known by construction.

Nothing here uses convspec. Matrices are NumPy arrays (m, n) for images flattened
channel first, row major.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

Array = npt.NDArray[Any]
Pairs = Sequence[tuple[int, int]]


# -- matrices ---------------------------------------------------------------------


def shown_pixel(position: int, size: int, mode: str) -> int | None:
    """The pixel that a padded line shows at ``position``; 0 is the first real pixel.

    None stands for a zero. One turn for circular, one mirror image for the others.
    """
    if 0 <= position < size:
        return position
    if mode == "zeros":
        return None
    if mode == "circular":
        return position + size if position < 0 else position - size
    if mode == "replicate":
        return 0 if position < 0 else size - 1
    if mode == "symmetric":
        return -1 - position if position < 0 else 2 * size - 1 - position
    if mode == "reflect":
        return -position if position < 0 else 2 * (size - 1) - position
    raise ValueError(mode)


def flat(index: Sequence[int], shape: Sequence[int]) -> int:
    """The row-major position of a multi-index."""
    position = 0
    for i, length in zip(index, shape, strict=True):
        position = position * length + i
    return position


def loop_matrix(
    weight: Array,
    size: Sequence[int],
    stride: Sequence[int],
    padding: Pairs,
    dilation: Sequence[int],
    groups: int = 1,
    padding_mode: str | Sequence[str] = "zeros",
) -> Array:
    """The matrix of a convolution, gathered output by output and tap by tap."""
    c_out, c, *kernel = weight.shape
    modes = (
        [padding_mode] * len(kernel) if isinstance(padding_mode, str) else padding_mode
    )
    outputs = [
        (before + n + after - d * (k - 1) - 1) // s + 1
        for n, k, s, d, (before, after) in zip(
            size, kernel, stride, dilation, padding, strict=True
        )
    ]
    pixels_out, pixels_in = int(np.prod(outputs)), int(np.prod(size))
    matrix = np.zeros((c_out, pixels_out, groups * c, pixels_in), weight.dtype)
    for output in product(*map(range, outputs)):
        row = flat(output, outputs)
        for tap in product(*map(range, kernel)):
            read = [
                shown_pixel(s * o + d * t - before, n, mode)
                for o, t, n, s, d, (before, _), mode in zip(
                    output, tap, size, stride, dilation, padding, modes, strict=True
                )
            ]
            if None in read:
                continue
            column = flat(read, size)
            for out, channel in product(range(c_out), range(c)):
                first = out // (c_out // groups) * c  # first channel of the group
                matrix[out, row, first + channel, column] += weight[(out, channel, *tap)]
    return matrix.reshape(c_out * pixels_out, -1)


def scatter_matrix(
    weight: Array,
    size: Sequence[int],
    stride: Sequence[int],
    padding: Pairs,
    output_padding: Sequence[int],
    dilation: Sequence[int],
    groups: int = 1,
) -> Array:
    """The matrix of a transposed convolution, scattered input pixel by input pixel."""
    c_in, c, *kernel = weight.shape
    outputs = [
        (n - 1) * s - before - after + d * (k - 1) + extra + 1
        for n, k, s, d, (before, after), extra in zip(
            size, kernel, stride, dilation, padding, output_padding, strict=True
        )
    ]
    pixels_out, pixels_in = int(np.prod(outputs)), int(np.prod(size))
    matrix = np.zeros((groups * c, pixels_out, c_in, pixels_in), weight.dtype)
    for pixel in product(*map(range, size)):
        column = flat(pixel, size)
        for tap in product(*map(range, kernel)):
            target = [
                s * i + d * t - before
                for i, t, s, d, (before, _) in zip(
                    pixel, tap, stride, dilation, padding, strict=True
                )
            ]
            if not all(0 <= o < m for o, m in zip(target, outputs, strict=True)):
                continue
            row = flat(target, outputs)
            for channel, out in product(range(c_in), range(c)):
                first = channel // (c_in // groups) * c
                matrix[first + out, row, channel, column] += weight[(channel, out, *tap)]
    return matrix.reshape(groups * c * pixels_out, -1)


def onehot_matrix(layer: nn.Module, input_size: Sequence[int]) -> Array:
    """The matrix of an affine layer: its value at every one-hot image, less that at 0."""
    weight = layer.weight
    n = layer.in_channels * int(np.prod(input_size))
    images = torch.eye(n, dtype=weight.dtype).reshape(n, layer.in_channels, *input_size)
    with torch.no_grad():
        columns = layer(images) - layer(torch.zeros_like(images[:1]))
    return columns.reshape(n, -1).T.numpy()


# -- singular values ----------------------------------------------------------------


def singular_values(matrix: Array) -> Array:
    """All min(m, n) of them, descending, by LAPACK in NumPy."""
    return np.linalg.svd(np.asarray(matrix), compute_uv=False)


def descending(values: Array, count: int | None = None) -> Array:
    """Sorted, descending, filled up with zeros to ``count``."""
    values = np.sort(np.abs(np.ravel(values)))[::-1]
    return values if count is None else np.pad(values, (0, count - len(values)))


def svd_tolerance(matrix: Array) -> float:
    """What two backward stable ways to the singular values may differ by."""
    return 64 * np.finfo(np.float64).eps * max(matrix.shape) ** 0.5 * frobenius(matrix)


def frobenius(matrix: Array) -> float:
    """The Frobenius norm."""
    return float(np.sqrt(np.sum(np.abs(np.asarray(matrix)) ** 2)))


def separable_kernel(
    seed: int, channels: tuple[int, int], kernel: Sequence[int]
) -> tuple[Array, Array, list[Array]]:
    """(K, C, [a, b, ...]) with ``K[o, i, t, u, ...] = C[o, i] a[t] b[u] ...``."""
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal(channels)
    factors = [rng.standard_normal(k) for k in kernel]
    weight = mixing
    for factor in factors:
        weight = np.multiply.outer(weight, factor)
    return weight, mixing, factors


def separable_singular_values(
    mixing: Array,
    factors: Sequence[Array],
    size: Sequence[int],
    stride: Sequence[int],
    padding: Pairs,
    dilation: Sequence[int],
    padding_mode: str = "zeros",
) -> Array:
    """All products of the factors' singular values: A = C (x) A_a (x) A_b ..."""
    values, shape = singular_values(mixing), np.array(mixing.shape)
    for factor, n, s, pad, d in zip(
        factors, size, stride, padding, dilation, strict=True
    ):
        line = loop_matrix(
            factor[None, None], [n], [s], [pad], [d], padding_mode=padding_mode
        )
        values = np.multiply.outer(values, singular_values(line))
        shape = shape * line.shape
    return descending(values, int(shape.min()))


def mixed_kernel(seed: int, kernels: Array) -> Array:
    """``K_t = Q diag(kernels[:, t]) P^T`` with random orthogonal Q and P.

    Its singular values are the union of those of the one-channel ``kernels`` (c, *k),
    on any geometry; its channels are dense.
    """
    rng = np.random.default_rng(seed)
    c = len(kernels)
    left, right = (np.linalg.qr(rng.standard_normal((c, c)))[0] for _ in range(2))
    return np.einsum("ol,l...,il->oi...", left, kernels, right)

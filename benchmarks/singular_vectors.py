"""All singular vectors of a circular convolution, as images."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from benchmarks.problem import Method, Problem, Target
from benchmarks.torus_layer import FloatArray, TorusLayer
from convspec import spectrum

__all__ = ["ALLOWED", "problem", "residual"]

# of residuals relative to sigma_1, and of inner products
ALLOWED = 1e-12

AnyArray = npt.NDArray[np.float64] | npt.NDArray[np.complex128]
# left vectors as rows, values, right vectors as rows
Triples = tuple[AnyArray, FloatArray, AnyArray]


def problem(channels: int = 8, size: int = 16, kernel: int = 3) -> Problem:
    """All singular triples of a layer small enough for a dense SVD."""
    layer = TorusLayer.random(channels, channels, kernel, size)
    rows = channels * size**2
    return Problem(
        name="singular_vectors",
        title=f"all {rows} singular triples of {layer}",
        methods=(
            Method(
                "convspec",
                "spectrum(op, vectors=True): real images",
                lambda: ours(layer),
            ),
            Method(
                "NumPy fft2",
                "SVD of every frequency's block, times plane waves: complex images",
                lambda: plane_waves(layer),
            ),
            Method(
                "dense SVD",
                "numpy.linalg.svd(op.to_dense())",
                lambda: dense(layer),
            ),
        ),
        error=lambda triples: residual(layer, triples),
        target=Target(),
        family="all singular vectors, circular, float64",
        label=f"{channels} -> {channels}, {size} x {size}, {kernel} x {kernel}",
    )


def ours(layer: TorusLayer) -> Triples:
    """By convspec, from nothing."""
    found = spectrum(layer.operator(), vectors=True)
    assert found.left is not None
    assert found.right is not None
    return found.left.flatten(1).numpy(), found.values, found.right.flatten(1).numpy()


def plane_waves(layer: TorusLayer) -> Triples:
    """From the blocks ``F(w)``, ``w = -2 pi j / n``, which NumPy's transform gives.

    ``exp(i <p, w>) v`` goes to ``exp(i <p - padding, w>) F(w) v``.
    """
    n, padding = layer.size, layer.kernel // 2
    transforms = np.fft.fft2(layer.array, (n, n), axes=(2, 3)).transpose(2, 3, 0, 1)
    u, values, vh = np.linalg.svd(transforms, full_matrices=False)

    def images(vectors: AnyArray, shift: int) -> AnyArray:
        """(n, n, vector, channel) -> (n * n * vectors, channels * n * n)."""
        turns = np.outer(np.arange(n), np.arange(n) - shift) % n
        wave = np.exp(-2j * math.pi * turns / n) / math.sqrt(n)
        rows: AnyArray = np.einsum(
            "jlvc,jp,lq->jlvcpq", vectors, wave, wave, optimize=True
        ).reshape(n * n * vectors.shape[2], -1)
        return rows

    left = images(u.swapaxes(-1, -2), padding)
    return left, values.reshape(-1), images(vh.conj(), 0)


def dense(layer: TorusLayer) -> Triples:
    """From the matrix."""
    u, values, vh = np.linalg.svd(layer.operator().to_dense().numpy())
    return u.T, values, vh


def residual(layer: TorusLayer, triples: Triples) -> float:
    """Worst ``||A v - sigma u||`` and ``||A^T u - sigma v||`` over 1e-12 sigma_1.

    As much is allowed of ``<v_i, v_j> - [i = j]``, the same of u, and of the norm of the
    values against that of the weight: so there are no others.
    """
    left, values, right = triples
    matrix = layer.operator().to_dense().numpy()
    top = values.max()
    count = min(matrix.shape)
    if not len(left) == len(values) == len(right) == count:
        return math.inf
    forth = right @ matrix.T - values[:, None] * left
    back = left @ matrix - values[:, None] * right
    gaps = [np.linalg.norm(gap, axis=1).max() / top for gap in (forth, back)]
    gaps += [np.abs(rows @ rows.conj().T - np.eye(count)).max() for rows in (left, right)]
    gaps.append(abs(np.linalg.norm(values) / np.linalg.norm(matrix) - 1))
    return float(max(gaps) / ALLOWED)

"""Least squares by products alone: LSMR, with waves that precondition it where they may.

LSMR (Fong and Saunders, SIAM J. Sci. Comput. 33, 2011) from zero tends to the solution
of least norm whatever the rank. A preconditioner R changes which norm that is, so that it
serves only where the solution is unique: with damping, or of a map that is invertible.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy
import torch
from torch import Tensor

from convspec.errors import GeometryError
from convspec.inverse.decomposition import Decomposition
from convspec.inverse.form import Form
from convspec.operators.linear_map import LinearMap
from convspec.operators.operator import ConvOperator

__all__ = [
    "Iterated",
    "Precondition",
    "least_squares_by_products",
    "wave_preconditioner",
]

Precondition = Callable[[Tensor], Tensor]

# values of the preconditioner below this part of the largest are held there
LEAST = 1e-3


@dataclass(frozen=True)
class Iterated:
    """Images that LSMR found.

    Attributes:
        images: (b, *input_shape).
        products: With the map and with its adjoint, most of an image.
        converged: Whether every image met the tolerance.
    """

    images: Tensor
    products: int
    converged: bool


def wave_preconditioner(
    op: LinearMap, damp: float, max_bytes: int, most_flops: float
) -> Precondition | None:
    """``x -> (C^H C + damp^2)^(-1/2) x`` with C the map on a torus; None without one.

    Args:
        op: The scaled map.
        damp: Of the scaled map.
        max_bytes: Of C's blocks.
        most_flops: Operations that decomposing these may take.
    """
    if not isinstance(op, ConvOperator) or op.transposed:
        return None
    try:
        form = Form.of(op.circular(), max_bytes)
    except GeometryError:  # no torus of this size and stride
        return None
    if form.memory > max_bytes or form.flops > most_flops:
        return None
    scale = 2.0**form.exponent
    found = Decomposition.of(form)
    floor = max(damp, LEAST * scale * found.norm)

    def by_root(values: Tensor) -> Tensor:
        return 1 / torch.hypot(scale * values, torch.full_like(values, floor))

    return lambda x: found.on_inputs(x, by_root, 1 / floor)


def least_squares_by_products(
    op: LinearMap,
    y: Tensor,
    damp: float,
    rtol: float,
    max_products: int,
    precondition: Precondition | None = None,
) -> Iterated:
    """The images x of least ``||A x - y||^2 + damp^2 ||x||^2``, one by one.

    Args:
        op: In double precision.
        y: (b, *output_shape).
        damp: At least 0.
        rtol: Of LSMR: residual relative to ``||A|| ||x|| + ||y||``, and of that of the
            normal equations relative to ``||A|| ||r||``.
        max_products: Most products for an image.
        precondition: A Hermitian R, in whose unknowns z = R^-1 x the problem is solved.
    """
    m, n = op.shape
    inner = precondition or (lambda x: x)

    def forward(v: np.ndarray) -> np.ndarray:
        x = inner(_image(v[:n], y, op.input_shape))
        found = op._images(x).reshape(-1)
        if damp:
            found = torch.cat([found, damp * x.reshape(-1)])
        return found.numpy(force=True)

    def backward(v: np.ndarray) -> np.ndarray:
        x = op.H._images(_image(v[:m], y, op.output_shape))
        if damp:
            x = x + damp * _image(v[m:], y, op.input_shape)
        return inner(x).reshape(-1).numpy(force=True)

    stacked = scipy.sparse.linalg.LinearOperator(
        (m + n if damp else m, n),
        matvec=forward,
        rmatvec=backward,
        dtype=y[:0].numpy(force=True).dtype,
    )
    found, products, converged = [], 0, True
    for image in y:
        right = np.zeros(stacked.shape[0], dtype=stacked.dtype)
        right[:m] = image.reshape(-1).numpy(force=True)
        solved, stop, steps, *_ = scipy.sparse.linalg.lsmr(
            stacked,
            right,
            atol=rtol,
            btol=rtol,
            conlim=0,
            maxiter=max(1, max_products // 2),
        )
        found.append(inner(_image(solved, y, op.input_shape)))
        products = max(products, 2 * steps)
        converged = converged and stop != 7  # the limit of steps
    return Iterated(torch.cat(found), products, converged)


def _image(v: np.ndarray, like: Tensor, shape: tuple[int, ...]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(v)).to(like).reshape(1, *shape)

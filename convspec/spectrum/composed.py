"""Singular values of composed maps: all from the matrix, or the largest by products."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from convspec.arrays import FloatArray
from convspec.errors import NotApplicable, TooLargeError
from convspec.limits import readable_bytes
from convspec.operators.composed.formed import formed
from convspec.operators.composed.normal import normal_form
from convspec.operators.composed.rounding import sized
from convspec.operators.linear_map import LinearMap
from convspec.operators.normal import scaled_back
from convspec.rounding import svd_error
from convspec.spectrum.krylov.largest import largest_of_map, map_basis_within
from convspec.spectrum.krylov.result import KrylovResult
from convspec.spectrum.plan import SMALL_FLOPS, Plan
from convspec.spectrum.result import Spectrum

__all__ = ["composed_plan", "composed_spectrum", "composed_triples"]


def composed_plan(
    op: LinearMap, k: int | None, which: str, method: str, vectors: bool, max_bytes: int
) -> Plan:
    """The plan for arguments already checked.

    Raises:
        NotApplicable: If the method is not fit for the map, or not for k.
    """
    if method == "fourier":
        raise NotApplicable(
            "method='fourier' needs one block-circulant operator; got a composed map; "
            "use method='dense' or 'krylov'",
            "fourier",
        )
    if method == "krylov" and (k is None or which == "smallest"):
        raise NotApplicable(
            "method='krylov' computes a given number k of the largest singular values of "
            f"a composed map; got k={k}, which={which!r}; give k, or use 'dense'",
            "krylov",
        )
    small, large = sorted(op.shape)
    number = 16 if op.dtype.is_complex else 8
    flops = (4 if vectors else 1) * (4 * large * small**2 - 4 * small**3 / 3)
    memory = (8 if vectors else 6) * small * large * number
    few = k is not None and 4 * k <= small and which == "largest"
    if method == "krylov" or (
        method == "auto" and few and (flops > SMALL_FLOPS or memory > max_bytes)
    ):
        needed = number * (100 * small + 4 * (k or 1) * sum(op.shape)) + 2 * op._held
        why = "it was asked for" if method == "krylov" else f"{k} of {small} are wanted"
        words = f"{why}; Krylov subspaces give the {k} largest with residual errors"
        return Plan("krylov", words, 400.0 * op._held, needed)
    words = "a composed map is formed part by part and its matrix decomposed"
    return Plan("dense" if memory <= max_bytes else None, words, flops, memory)


def composed_spectrum(
    op: LinearMap,
    k: int | None,
    which: str,
    method: str,
    vectors: bool,
    *,
    dtype: torch.dtype,
    max_bytes: int,
) -> Spectrum:
    """The spectrum from the matrix, for arguments already checked.

    Raises:
        TooLargeError: If it does not fit ``max_bytes``.
    """
    plan = composed_plan(op, k, which, method, vectors, max_bytes)
    if plan.method is None:
        raise TooLargeError(
            f"the spectrum of {op} must fit max_bytes = {readable_bytes(max_bytes)}; "
            f"{plan.reason} and needs {readable_bytes(plan.memory)}; take a number k of "
            "largest values, spectral_norm(op), or raise max_bytes"
        )
    work, exponent = normal_form(op)
    near = formed(work, max_bytes)
    wide = torch.from_numpy(near.matrix.toarray()).to(op.device)
    matrix = wide.to(dtype.to_complex() if wide.is_complex() else dtype)
    eps = float(torch.finfo(dtype).eps)
    left = right = None
    if vectors:
        u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
        left, right = u.mT.resolve_conj(), vh.conj().resolve_conj()
    else:
        s = torch.linalg.svdvals(matrix)
    length, count = min(op.shape), min(op.shape) if k is None else k
    first = 0 if which == "largest" else length - count
    top = float(s[0])
    error = svd_error(*op.shape, top, eps) + near.error
    if matrix.dtype != wide.dtype:  # rounded entry by entry
        error += eps * float(torch.linalg.vector_norm(wide))
    values: FloatArray = s[first : first + count].double().cpu().numpy()
    scaled, bound = scaled_back(values, error, _within(exponent))
    return Spectrum(
        values=scaled,
        error=bound,
        shape=op.shape,
        method="dense",
        complete=count == length,
        which=which,
        left=_images(left, first, count, op.output_shape),
        right=_images(right, first, count, op.input_shape),
        eps=eps,
    )


def composed_triples(
    op: LinearMap, k: int, rtol: float, max_products: int, seed: int, max_bytes: int
) -> tuple[KrylovResult, int]:
    """The k largest triples of ``2^-e A``, and e.

    Raises:
        TooLargeError: If not even the fewest Krylov vectors fit.
    """
    work, exponent = normal_form(op)
    most = map_basis_within(work, k, max_bytes)
    # both of a product and of one with the adjoint
    error = math.sqrt(2) * sized(work).error
    return largest_of_map(work, error, k, rtol, max_products, seed, most), _within(
        exponent
    )


def _within(exponent: int) -> int:
    """An exponent that NumPy takes; what is beyond is zero or infinite all the same."""
    return int(np.clip(exponent, -10_000, 10_000))


def _images(
    vectors: Tensor | None, first: int, count: int, shape: tuple[int, ...]
) -> Tensor | None:
    if vectors is None:
        return None
    return vectors[first : first + count].reshape(count, *shape)

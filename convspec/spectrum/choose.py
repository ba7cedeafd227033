"""Which method computes a spectrum, and why; the one call that does it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from convspec.errors import NotApplicable, TooLargeError
from convspec.limits import DEFAULT_MAX_BYTES, readable_bytes
from convspec.operator import ConvOperator
from convspec.spectrum.dense import dense_bytes, dense_flops, dense_values
from convspec.spectrum.fourier import (
    fourier_bytes,
    fourier_flops,
    fourier_obstacle,
    fourier_values,
)
from convspec.spectrum.reduce import Reduction
from convspec.spectrum.result import Spectrum
from convspec.spectrum.scale import normalised, scaled_back
from convspec.spectrum.vectors import dense_vectors

__all__ = ["Plan", "explain", "spectrum"]

METHODS = ("auto", "dense", "fourier", "krylov")


@dataclass(frozen=True)
class Plan:
    """The method a spectrum takes.

    Attributes:
        method: ``"fourier"`` or ``"dense"``; None where neither is possible.
        reason: Why, in a sentence.
        flops: Estimated operations of its decompositions.
        memory: Bytes it holds at a time, its result included.
    """

    method: str | None
    reason: str
    flops: float
    memory: int

    def __str__(self) -> str:
        cost = f"{self.flops:.1e} operations, {readable_bytes(self.memory)}"
        return f"{self.method or 'no method'} ({cost}): {self.reason}"


def explain(
    op: ConvOperator,
    k: int | None = None,
    which: str = "largest",
    method: str = "auto",
    vectors: bool = False,
    *,
    dtype: torch.dtype = torch.float64,
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> Plan:
    """The method that :func:`spectrum` takes for these arguments, and why.

    ``"fourier"`` where it is exact, else ``"dense"`` where it fits ``max_bytes``.

    Raises:
        NotApplicable: If a method asked for by name is not exact for the operator.

    Example:
        >>> import torch, convspec as cs
        >>> op = cs.ConvOperator(torch.ones(1, 1, 3), 8, padding=1)
        >>> cs.explain(op).method, cs.explain(op.circular()).method
        ('dense', 'fourier')
    """
    _check(op, k, which, method, dtype)
    work, _ = normalised(op, dtype)
    return _plan(op, _reduce(work), method, vectors, max_bytes)


def spectrum(
    op: ConvOperator,
    k: int | None = None,
    which: str = "largest",
    method: str = "auto",
    vectors: bool = False,
    *,
    dtype: torch.dtype = torch.float64,
    device: str | torch.device | None = None,
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> Spectrum:
    """Singular values of A: all min(m, n) of them, or the k largest or smallest.

    ``"dense"`` is exact for every operator: groups are decomposed apart, axes that only
    one tap reads (1x1 kernels) factor out. ``"fourier"`` is exact where every other
    axis is cyclic: circular padding that keeps the size, a stride that divides it,
    and whatever reads no border, such as patch embeddings; it decomposes one small
    block per pair of frequencies. ``"auto"`` takes the latter where it is exact.

    Args:
        op: The operator.
        k: How many values; None for all.
        which: ``"largest"`` or ``"smallest"``, for a given k.
        method: ``"auto"``, ``"dense"``, ``"fourier"``; see :func:`explain`.
        vectors: Whether to compute singular vectors, as images (``"dense"`` only).
        dtype: ``torch.float64`` or ``torch.float32``, the arithmetic; weights are cast.
        device: Where to compute; by default where the weight is.
        max_bytes: Byte limit of what is held at a time.

    Returns:
        A :class:`Spectrum`, its values float64 and descending.

    Raises:
        NotApplicable: If the method asked for is not exact for this operator.
        TooLargeError: If no exact method fits ``max_bytes``.
        ValueError: For an unknown method, which, k or dtype.
    """
    _check(op, k, which, method, dtype)
    work, exponent = normalised(op.to(device=device), dtype)
    reduced = _reduce(work)
    plan = _plan(op, reduced, method, vectors, max_bytes)
    if plan.method is None:
        raise TooLargeError(
            f"the spectrum of {op} must fit max_bytes = {readable_bytes(max_bytes)}; "
            f"{plan.reason} and needs {readable_bytes(plan.memory)}; {_way_on(op)}"
        )
    length = min(op.shape)
    count = length if k is None else k
    part = slice(0, count) if which == "largest" else slice(length - count, length)
    left = right = None
    if vectors:
        values, error, left, right = dense_vectors(work, count, which)
    else:
        compute = fourier_values if plan.method == "fourier" else dense_values
        values, error = compute(reduced)
        values = values[part]
    values, error = scaled_back(values, error, exponent)
    return Spectrum(
        values=values,
        error=error,
        shape=op.shape,
        method=plan.method,
        complete=count == length,
        which=which,
        left=left,
        right=right,
        eps=torch.finfo(dtype).eps,
    )


def _way_on(op: ConvOperator) -> str:
    if fourier_obstacle(op.geometry) is None:
        return "raise max_bytes"
    return (
        "take a smaller input_size, op.circular() for the same kernel on the torus of "
        "this size (another operator), or raise max_bytes"
    )


def _reduce(op: ConvOperator) -> Reduction:
    return Reduction.of(op.weight.detach(), op.geometry, op.transposed)


def _plan(
    op: ConvOperator, reduced: Reduction, method: str, vectors: bool, max_bytes: int
) -> Plan:
    obstacle = fourier_obstacle(op.geometry)
    _require_exact(method, obstacle, vectors)
    result = 8 * min(op.shape)
    if method == "fourier" or (method == "auto" and not obstacle and not vectors):
        reason = "every axis is cyclic or read by one tap, so Fourier is exact"
        memory = 3 * result + fourier_bytes(reduced)
        fits = memory <= max_bytes
        return Plan("fourier" if fits else None, reason, fourier_flops(reduced), memory)
    if vectors:
        m, n = op.shape
        memory = 3 * reduced.weight.element_size() * (m // op.groups) * n
        reason = "singular vectors take a dense SVD of the diagonal blocks"
    else:
        memory = 3 * (result + dense_bytes(reduced))
        why = f"{obstacle}, so not Fourier" if obstacle else "it was asked for"
        rows, columns = reduced.block_shape
        count = f"{reduced.groups} blocks" if reduced.groups > 1 else "one block"
        reason = (
            f"{why}; a dense SVD is exact and decomposes {count} of {rows} x {columns}"
        )
    fits = memory <= max_bytes
    return Plan("dense" if fits else None, reason, dense_flops(reduced), memory)


def _require_exact(method: str, obstacle: str | None, vectors: bool) -> None:
    """Refuse what is not exact, or not there yet, when it is asked for by name."""
    if method == "krylov":
        raise NotApplicable(
            "method must be 'auto', 'dense' or 'fourier' in this version; got 'krylov'; "
            "use 'dense' on a smaller input_size",
            "krylov",
        )
    if method == "fourier" and obstacle:
        raise NotApplicable(
            f"method='fourier' needs a block-circulant operator; {obstacle}; use "
            "method='dense', or op.circular() for the torus, which is another operator",
            "fourier",
        )
    if method == "fourier" and vectors:
        raise NotApplicable(
            "vectors=True needs method='dense' in this version; got 'fourier'; "
            "use method='dense' or leave the vectors out",
            "fourier",
        )


def _check(
    op: ConvOperator, k: int | None, which: str, method: str, dtype: torch.dtype
) -> None:
    if dtype not in (torch.float32, torch.float64):
        raise ValueError(f"dtype must be torch.float32 or torch.float64; got {dtype}")
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}; got {method!r}")
    if which not in ("largest", "smallest"):
        raise ValueError(f"which must be 'largest' or 'smallest'; got {which!r}")
    length = min(op.shape)
    integer = isinstance(k, int | np.integer) and not isinstance(k, bool)
    if k is not None and not (integer and 1 <= k <= length):
        raise ValueError(
            f"k must be None or an integer from 1 to min(m, n) = {length}; got {k!r}"
        )

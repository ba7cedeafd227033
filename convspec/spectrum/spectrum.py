"""Singular values of an operator by the method that is exact for it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from convspec.arguments import integer, is_integer, shown, single
from convspec.arrays import FloatArray
from convspec.errors import NotConverged, TooLargeError
from convspec.isolation import isolated
from convspec.limits import DEFAULT_MAX_BYTES, Bytes, byte_limit, readable_bytes
from convspec.operators.linear_map import LinearMap, require_map
from convspec.operators.normal import normalised, scaled_back
from convspec.operators.operator import ConvOperator
from convspec.operators.shape_rank import shape_rank
from convspec.rounding.directed import UNIT
from convspec.spectrum.composed import composed_plan, composed_spectrum, composed_triples
from convspec.spectrum.fourier.frequencies import fourier_obstacle
from convspec.spectrum.fourier.shares import FourierShares
from convspec.spectrum.fourier.values import ACCURACIES, fourier_values
from convspec.spectrum.fourier.vectors import fourier_vectors
from convspec.spectrum.krylov.largest import basis_within, largest_triples
from convspec.spectrum.krylov.result import KrylovResult
from convspec.spectrum.krylov.smallest import smallest_triples
from convspec.spectrum.plan import Plan, make_plan
from convspec.spectrum.result import Spectrum
from convspec.spectrum.structure import Structure
from convspec.spectrum.vectors import dense_vectors

__all__ = ["explain", "spectrum", "spectrum_of_shares"]

# residuals that values, the largest alone, and vectors are found to unless told: beside
# several values a near pair shows, of one it may be taken for a single value
VALUES_RTOL, SINGLE_RTOL, VECTORS_RTOL = 1e-4, 1e-5, 1e-6
METHODS = ("auto", "dense", "fourier", "krylov")


@isolated
def explain(
    op: LinearMap,
    k: int | None = None,
    which: str = "largest",
    method: str = "auto",
    vectors: bool = False,
    *,
    dtype: torch.dtype = torch.float64,
    max_bytes: Bytes = DEFAULT_MAX_BYTES,
) -> Plan:
    """The method that :func:`spectrum` takes for these arguments, and why.

    ``"fourier"`` where it is exact, else ``"dense"`` where it fits ``max_bytes``. The
    plan's ``seconds`` say how long that takes here, about; :func:`convspec.estimate`
    compares all methods.

    Raises:
        NotApplicable: If a method asked for by name is not exact for the operator.

    Example:
        >>> import torch, convspec as cs
        >>> op = cs.ConvOperator(torch.tensor([[[1.0, 2.0, 3.0]]]), 8, padding=1)
        >>> cs.explain(op).method, cs.explain(op.circular()).method
        ('dense', 'fourier')
    """
    max_bytes = byte_limit(max_bytes)
    _check(op, k, which, method, vectors, dtype)
    if not isinstance(op, ConvOperator):
        return composed_plan(op, k, which, method, vectors, max_bytes)
    work, _ = normalised(op, dtype)
    return make_plan(op, Structure(work, max_bytes), k, which, method, vectors, max_bytes)


@isolated
def spectrum(
    op: LinearMap,
    k: int | None = None,
    which: str = "largest",
    method: str = "auto",
    vectors: bool = False,
    *,
    accuracy: str = "full",
    rtol: float | None = None,
    max_products: int = 20_000,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
    device: str | torch.device | None = None,
    max_bytes: Bytes = DEFAULT_MAX_BYTES,
) -> Spectrum:
    """Singular values of A: all min(m, n) of them, or the k largest or smallest.

    ``"dense"`` is exact for every operator: groups, residue classes of dilated axes and
    blocks of channels that no weight joins are decomposed apart, equal ones once; axes
    that only one tap reads (1x1 kernels), or along which the kernel is a product with a
    vector, factor out, and how nearly it is one is in the error. Vectors take the SVDs of
    whole groups. ``"fourier"`` is exact where every other axis is cyclic: circular
    padding that keeps the size, a stride that divides it, and whatever reads no border,
    such as patch embeddings; it decomposes one small block per pair of frequencies. So it
    is for values where padding mirrors as a kernel that is even or odd does: symmetric
    padding, replicate padding of one pixel, one zero on each side.
    ``"krylov"`` gives the k largest values of any operator of any size, or the k smallest
    of those whose sparse factors fit, each with the residual that bounds its error: a
    singular value is that near, but none larger, or smaller, is excluded. ``"auto"``
    takes Fourier where it is exact, else dense, or Krylov where few values of a large
    operator are wanted. Products, sums and stacks of operators are formed part by part,
    with what that rounds in the error, and decomposed whole; ``"krylov"`` gives the
    largest values of those too large for it.

    Args:
        op: The operator, or a map composed of some.
        k: How many values; None for all.
        which: ``"largest"`` or ``"smallest"``, for a given k.
        method: ``"auto"``, ``"dense"``, ``"fourier"``, ``"krylov"``; see :func:`explain`.
        vectors: Whether to compute singular vectors, as images.
        accuracy: ``"full"``, or for ``"fourier"`` values ``"fast"``: eigenvalues of the
            smaller Gram matrices, whose error is about ``sqrt(eps) sigma_1``. With
            ``vectors=True``, and by ``"dense"`` and ``"krylov"``, ``"fast"`` makes no
            difference.
        rtol: For ``"krylov"``: residuals to reach, relative to sigma_1. By default 1e-6
            with vectors and for the smallest; for the largest values without vectors
            1e-4, or 1e-5 for a single one. They err by about its square over their
            distance to the values that are not wanted: 3e-8 of sigma_1 for 20 values of
            trained layers, 1e-8 for one of twelve layers, as measured; by as much as the
            residual where that is more than the distance. What is certified is the
            residual.
        max_products: For ``"krylov"``: most images multiplied by A or its adjoint, or by
            its inverse for the smallest values, about. It is looked at between blocks of
            vectors, of which each search takes at least one, and the polishing at the
            end, some products for each value, is done in any case. Small spaces are taken
            whole, whatever it is, and groups that are searched apart count apart.
        seed: For ``"krylov"``: of the noise in its starting block.
        dtype: ``torch.float64`` or ``torch.float32``, the arithmetic; weights are cast.
            ``"krylov"`` works in both, from single to double precision, whatever is told.
        device: Where to compute; by default where the weight is.
        max_bytes: Byte limit of what is held at a time, a number or ``"2 GiB"``.

    Returns:
        A :class:`Spectrum`, its values float64 and descending.

    Raises:
        NotApplicable: If the method asked for is not exact for this operator.
        TooLargeError: If no exact method fits ``max_bytes``.
        NotConverged: If Krylov stops at ``max_products``; it carries the best so far.
        ValueError: For an unknown method, which, k, dtype or accuracy, or an rtol not in
            (0, 1).
    """
    max_bytes = byte_limit(max_bytes)
    _check(op, k, which, method, vectors, dtype)
    if rtol is None:
        alone = SINGLE_RTOL if k == 1 else VALUES_RTOL
        rtol = alone if which == "largest" and not vectors else VECTORS_RTOL
    _check_accuracy(accuracy, rtol)
    seed = integer("seed", seed, 0, "any other fixes the start as well")
    if not isinstance(op, ConvOperator):
        op = op.to(device=device)
        plan = composed_plan(op, k, which, method, vectors, max_bytes)
        if plan.method == "krylov":
            assert k is not None
            triples = composed_triples(op, k, rtol, max_products, seed, max_bytes)
            return _of_krylov(*triples, op.shape, which, vectors, rtol)
        return composed_spectrum(
            op, k, which, method, vectors, dtype=dtype, max_bytes=max_bytes
        )
    work, exponent = normalised(op.to(device=device), dtype)
    structure = Structure(work, max_bytes)
    plan = make_plan(op, structure, k, which, method, vectors, max_bytes)
    if plan.method is None:
        raise TooLargeError(
            f"the spectrum of {op} must fit max_bytes = {readable_bytes(max_bytes)}; "
            f"{plan.reason} and needs {readable_bytes(plan.memory)}; "
            f"{_way_on(op, structure, k, which)}"
        )
    length = min(op.shape)
    count = length if k is None else int(k)
    if plan.method == "krylov":
        assert k is not None
        if dtype != torch.float64:
            work, exponent = normalised(op.to(device=device), torch.float64)
        if which == "largest":
            most = basis_within(work, k, max_bytes)
            found = largest_triples(work, k, rtol, max_products, seed, most)
        else:
            found = smallest_triples(work, k, rtol, max_products, seed)
        return _of_krylov(found, exponent, op.shape, which, vectors, rtol)
    fourier = plan.method == "fourier"
    left = right = None
    eps = float(torch.finfo(dtype).eps)
    error: float | FloatArray
    if vectors:
        decompose = fourier_vectors if fourier else dense_vectors
        values, error, left, right = decompose(work, count, which)
    else:
        first = 0 if which == "largest" else length - count
        if fourier:
            every, error = fourier_values(structure.reduced, accuracy)
        else:
            every, error = structure.dense_values()
            eps = structure.eps(float(every[0]))
        values = every[first : first + count]
    return _assembled(
        op,
        plan.method,
        values,
        error,
        exponent,
        which=which,
        eps=eps,
        left=left,
        right=right,
    )


def spectrum_of_shares(
    op: ConvOperator, shares: FourierShares, found: Sequence[FloatArray]
) -> Spectrum:
    """All singular values by Fourier, from what was decomposed.

    Args:
        op: The operator.
        shares: Of its frequencies.
        found: The values of each share.
    """
    values, error = shares.joined(found)
    return _assembled(op, "fourier", values, error, shares.exponent)


def _assembled(
    op: ConvOperator,
    method: str,
    values: FloatArray,
    error: float | FloatArray,
    exponent: int,
    *,
    which: str = "largest",
    eps: float = 2 * UNIT,
    left: torch.Tensor | None = None,
    right: torch.Tensor | None = None,
) -> Spectrum:
    """The spectrum from values of the normal form, the largest ones or the smallest."""
    values, error = scaled_back(values, error, exponent)
    length, count = min(op.shape), len(values)
    last = length if which == "smallest" else count
    zeros = min(count, max(0, last - shape_rank(op)))
    values[count - zeros :] = 0.0  # exactly, whatever was rounded
    return Spectrum(
        values=values,
        error=error,
        shape=op.shape,
        method=method,
        complete=count == length,
        which=which,
        left=left,
        right=right,
        eps=eps,
        zeros=zeros,
    )


def _of_krylov(
    found: KrylovResult,
    exponent: int,
    shape: tuple[int, int],
    which: str,
    vectors: bool,
    rtol: float,
) -> Spectrum:
    values, error = scaled_back(found.values, found.errors, exponent)
    result = Spectrum(
        values=values,
        error=error,
        shape=shape,
        method="krylov",
        complete=len(values) == min(shape),
        which=which,
        converged=found.converged,
        left=found.left if vectors else None,
        right=found.right if vectors else None,
    )
    if found.converged:
        return result
    raise NotConverged(
        f"residuals must fall below rtol = {rtol:g} of sigma_1; after {found.products} "
        f"products the largest is {float(np.max(error)):.1e}; raise max_products or "
        "rtol, or take the best so far from this error's .best",
        result,
    )


def _way_on(op: ConvOperator, structure: Structure, k: int | None, which: str) -> str:
    """What there is instead of all values, of the largest, or of the smallest."""
    if fourier_obstacle(op.geometry, structure.reduced.half_rings) is None:
        return "raise max_bytes"
    norm = "spectral_norm(op) for certified ends of the largest"
    if k is None:
        instead = (
            f"a number k of largest values, {norm}, spectral_envelope(op) for a band "
            "around every value, spectral_density(op) for their distribution"
        )
    elif which == "largest":
        instead = f"fewer than {k} values, {norm}" if k > 1 else norm
    else:
        instead = "spectral_envelope(op).smallest for certified ends of the smallest"
    return (
        "take a smaller input_size, op.circular() for the same kernel on the torus of "
        f"this size (another operator), {instead}, or raise max_bytes"
    )


def _check_accuracy(accuracy: str, rtol: float) -> None:
    if accuracy not in ACCURACIES:
        names = " or ".join(map(repr, ACCURACIES))
        raise ValueError(f"accuracy must be {names}; got {shown(accuracy)}")
    single("rtol", rtol)
    if not 0 < rtol < 1:
        raise ValueError(f"rtol must be between 0 and 1; got {rtol}")


def _check(
    op: LinearMap,
    k: int | None,
    which: str,
    method: str,
    vectors: bool,
    dtype: torch.dtype,
) -> None:
    require_map(op, "spectrum")
    single("vectors", vectors, "truth value")
    if dtype not in (torch.float32, torch.float64):
        raise ValueError(f"dtype must be torch.float32 or torch.float64; got {dtype}")
    if method not in METHODS:
        raise ValueError(
            f"method must be one of {', '.join(METHODS)}; got {shown(method)}"
        )
    if which not in ("largest", "smallest"):
        raise ValueError(f"which must be 'largest' or 'smallest'; got {shown(which)}")
    length = min(op.shape)
    if k is not None and not (is_integer(k) and 1 <= k <= length):
        raise ValueError(
            f"k must be None or an integer from 1 to min(m, n) = {length}; got {shown(k)}"
        )

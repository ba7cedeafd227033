"""How an inverse is computed: from decomposed blocks, sparse factors, or products."""

from __future__ import annotations

from convspec.arguments import integer, shown, single
from convspec.errors import NotApplicable, TooLargeError
from convspec.inverse.factored import (
    BlockFactors,
    Inverse,
    SparseFactors,
    lu_flops,
    square_blocks,
)
from convspec.inverse.form import Form
from convspec.operators.linear_map import LinearMap
from convspec.operators.operator import ConvOperator
from convspec.spectrum.krylov.inverse import factor_bytes

__all__ = [
    "FACTORED",
    "METHODS",
    "check_method",
    "direct_inverse",
    "factor_flops",
    "form_or_none",
    "may_decompose",
    "singular",
    "zero_part",
]

EPS = 2.0**-52
METHODS = ("auto", "direct", "krylov")
# operations of decomposing blocks beyond which products are taken; half a minute, about
DECOMPOSED = 1e11
# and of factors
FACTORED = 1e12


def check_method(method: str, rtol: float, max_products: int) -> None:
    """Refuse what no method takes."""
    if method not in METHODS:
        raise ValueError(
            f"method must be one of {', '.join(METHODS)}; got {shown(method)}"
        )
    single("rtol", rtol)
    if not 0 < rtol < 1:
        raise ValueError(f"rtol must be between 0 and 1; got {shown(rtol)}")
    integer("max_products", max_products, 2)


def zero_part(rank_rtol: float | None, op: LinearMap) -> float:
    """Up to which part of the largest singular values count as zero."""
    if rank_rtol is None:
        return max(op.shape) * EPS
    single("rank_rtol", rank_rtol)
    if not 0 <= rank_rtol < 1:
        raise ValueError(
            "rank_rtol must be at least 0 and below 1, a part of the largest "
            f"singular value, or None; got {shown(rank_rtol)}"
        )
    return float(rank_rtol)


def form_or_none(
    op: LinearMap, method: str, max_bytes: int, mirrors: bool = True
) -> Form | None:
    """The map in blocks; None for products, or if a composed map's matrix is too large.

    A matrix that would not be decomposed is not formed either; ``mirrors`` is that of
    :meth:`Form.of`.
    """
    small, large = sorted(op.shape)
    much = not isinstance(op, ConvOperator) and 12.0 * large * small**2 > DECOMPOSED
    if method == "krylov" or (much and method == "auto"):
        return None
    try:
        return Form.of(op, max_bytes, mirrors=mirrors)
    except TooLargeError:
        return None


def may_decompose(form: Form | None, method: str, max_bytes: int) -> bool:
    """Whether blocks are to be decomposed, rather than products taken.

    Raises:
        TooLargeError: If it was asked for and does not fit.
    """
    fits = form is not None and form.memory <= max_bytes
    if method == "direct" and not fits:
        raise TooLargeError(
            "method='direct' must fit max_bytes with the blocks of the map and their "
            "singular vectors; they do not; use method='krylov', a smaller input_size, "
            "or raise max_bytes"
        )
    return fits and (
        method == "direct" or (form is not None and form.flops <= DECOMPOSED)
    )


def factor_flops(form: Form, max_bytes: int) -> dict[str, float]:
    """Estimated operations of the factors that fit: of ``"blocks"``, or ``"sparse"``."""
    found: dict[str, float] = {}
    if form.memory <= max_bytes:
        found["blocks"] = lu_flops(form)
    if isinstance(form.op, ConvOperator):
        held = factor_bytes(form.op)
        if held <= max_bytes:
            found["sparse"] = (held / 16) ** 2 / form.op.shape[0]
    return found


def direct_inverse(form: Form, method: str, max_bytes: int) -> Inverse | None:
    """Factors of the cheapest kind; None where products are to be taken.

    Raises:
        NotApplicable: If a pivot is exactly zero.
        TooLargeError: If factors were asked for and none fit.
    """
    if not square_blocks(form):
        raise singular()
    found = factor_flops(form, max_bytes)
    if not found and method == "direct":
        raise TooLargeError(
            "method='direct' must fit max_bytes with the factors of the map; they do "
            "not; use method='krylov', a smaller input_size, or raise max_bytes"
        )
    least = min(found, key=lambda kind: found[kind], default="")
    if not least or (method == "auto" and found[least] > FACTORED):
        return None
    if least == "blocks":
        inverse = BlockFactors.of(form)
        if inverse is not None:
            return inverse
        raise singular()
    try:
        return SparseFactors(form.op)
    except RuntimeError:
        raise singular() from None


def singular() -> NotApplicable:
    """That a map has no inverse."""
    return NotApplicable(
        "solve needs an invertible map; this one is singular; use lstsq(y), which takes "
        "the solution of least norm, or damp it: lstsq(y, damp=...)",
        "solve",
    )

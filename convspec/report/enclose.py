"""What is known of a layer whose spectrum is out of reach: certified bounds on it."""

from __future__ import annotations

from dataclasses import replace

from convspec.bounds import spectral_norm
from convspec.errors import GeometryError, NotConverged, TooLargeError
from convspec.limits import readable_bytes
from convspec.operators.operator import ConvOperator
from convspec.quantity.bound import Bound
from convspec.report.known import Enclosed
from convspec.report.limits import Limits
from convspec.spectrum import (
    Envelope,
    Plan,
    Spectrum,
    explain,
    spectral_envelope,
    spectrum,
)
from convspec.spectrum.envelope.ritz import norm_bounds

__all__ = ["circular", "enclosed", "too_costly"]

# residual of the leading singular value, relative; its own error is far smaller
NORM_RTOL = 1e-4


def too_costly(plan: Plan, limits: Limits) -> str | None:
    """Why a plan is beyond the limits, or None."""
    if plan.memory > limits.max_bytes:
        return f"{plan.reason}, {readable_bytes(plan.memory)}, beyond max_bytes"
    if plan.flops > limits.max_flops:
        return f"{plan.reason}, {plan.flops:.1e} operations, beyond max_flops"
    return None


def enclosed(op: ConvOperator, limits: Limits) -> tuple[Enclosed, tuple[str, ...]]:
    """Everything short of the spectrum that is within the limits, and what is not."""
    leading, no_leading = _leading(op, limits)
    envelope, no_envelope = _envelope(op, leading, limits)
    closed = _closed(op, leading, envelope, limits)
    if envelope is not None and closed is not None:
        envelope = envelope.tightened(lower=[closed.lower], upper=[closed.upper])
    found = Enclosed(
        norm=_norm(op, leading, envelope, closed),
        shape=op.shape,
        envelope=envelope,
        leading=None if leading is None else replace(leading, left=None, right=None),
    )
    return found, (*no_leading, *no_envelope)


def _leading(op: ConvOperator, limits: Limits) -> tuple[Spectrum | None, tuple[str, ...]]:
    """The largest singular value with its vectors, converged or as far as it came."""
    plan = explain(op, 1, method="krylov", max_bytes=limits.max_bytes)
    reason = too_costly(plan, limits)
    if reason is not None:
        return None, (f"no Krylov: {reason}",)
    try:
        return spectrum(
            op,
            1,
            method="krylov",
            vectors=True,
            rtol=NORM_RTOL,
            max_bytes=limits.max_bytes,
        ), ()
    except NotConverged as error:
        best = error.best if isinstance(error.best, Spectrum) else None
        return best, (f"Krylov did not converge: {error}",)


def _envelope(
    op: ConvOperator, leading: Spectrum | None, limits: Limits
) -> tuple[Envelope | None, tuple[str, ...]]:
    budget = min(limits.envelope_flops, limits.max_flops)
    try:
        found = spectral_envelope(
            op,
            phases=limits.phases,
            leading=leading,
            max_flops=budget,
            max_bytes=limits.max_bytes,
        )
    except TooLargeError as error:
        return None, (f"no envelope: {error}",)
    done, planned = found.tori
    if done == planned:
        return found, ()
    return found, (
        f"envelope by {done} of {planned} tori, those within {budget:.1e} operations, "
        "the least of envelope_flops and max_flops",
    )


def _closed(
    op: ConvOperator, leading: Spectrum | None, envelope: Envelope | None, limits: Limits
) -> Bound | None:
    """The norm by :func:`convspec.spectral_norm`, where the envelope leaves a gap.

    None where it does not, or where Krylov or tori are beyond the limits.
    """
    if leading is None or envelope is None or not envelope.tori[0]:
        return None
    lower, upper = envelope.norm
    if upper <= (1 + NORM_RTOL) * lower:
        return None
    budget = min(limits.envelope_flops, limits.max_flops)
    try:
        return spectral_norm(op, NORM_RTOL, max_flops=budget, max_bytes=limits.max_bytes)
    except TooLargeError:
        return None


def _norm(
    op: ConvOperator,
    leading: Spectrum | None,
    envelope: Envelope | None,
    closed: Bound | None,
) -> Bound:
    """Between what the Krylov vector attains and what the envelope allows.

    Without an envelope, the Frobenius norm is above.
    """
    if envelope is not None:
        lower, upper = envelope.norm
    else:
        lower, upper = norm_bounds(op, None if leading is None else leading.right)
    return Bound(
        lower,
        upper,
        "krylov and envelope" if closed is None else "spectral_norm and envelope",
        "any operator" if closed is None else closed.assumptions,
        "convspec.spectral_envelope" if closed is None else "convspec.spectral_norm",
    )


def circular(op: ConvOperator, limits: Limits) -> Spectrum | None:
    """The spectrum on the torus, where the stride divides the size."""
    try:
        torus = op.circular()
    except GeometryError:
        return None
    plan = explain(torus, max_bytes=limits.max_bytes)
    if too_costly(plan, limits) is not None:
        return None
    return spectrum(torus, max_bytes=limits.max_bytes)

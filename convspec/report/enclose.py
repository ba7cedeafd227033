"""What is known of a layer whose spectrum is out of reach: certified bounds on it."""

from __future__ import annotations

import math

from convspec.errors import GeometryError, TooLargeError
from convspec.limits import readable_bytes
from convspec.operators.operator import ConvOperator
from convspec.report.limits import Limits
from convspec.run.budget import Budget
from convspec.spectrum import (
    Envelope,
    Plan,
    Spectrum,
    explain,
    spectral_envelope,
    spectrum,
)

__all__ = ["circular", "enveloped", "too_costly"]


def too_costly(plan: Plan, limits: Limits) -> str | None:
    """Why a plan is beyond the limits, or None."""
    if plan.memory > limits.max_bytes:
        return f"{plan.reason}, {readable_bytes(plan.memory)}, beyond max_bytes"
    if plan.flops > limits.max_flops:
        return f"{plan.reason}, {plan.flops:.1e} operations, beyond max_flops"
    return None


def enveloped(
    op: ConvOperator, limits: Limits, budget: Budget
) -> tuple[Envelope | None, tuple[str, ...]]:
    """Bounds on all singular values within the limits, and what was left out of them.

    Args:
        op: The operator.
        limits: Of the analysis.
        budget: Of this row: seconds, and operations that are not limited otherwise.
    """
    most = flops = min(limits.envelope_flops, limits.max_flops, budget.left)
    named = "the least of envelope_flops and max_flops"
    if budget.seconds < math.inf and budget.seconds * budget.rate < flops:
        flops, named = budget.seconds * budget.rate, "what seconds leave"
    try:
        found = spectral_envelope(
            op,
            phases=limits.phases,
            max_flops=flops,
            max_bytes=limits.max_bytes,
        )
    except TooLargeError as error:
        budget.timed_out = budget.timed_out or flops < most
        return None, (f"no envelope: {error}",)
    done, planned = found.tori
    if done == planned:
        return found, ()
    budget.timed_out = budget.timed_out or flops < most
    return found, (
        f"envelope by {done} of {planned} tori, those within {flops:.1e} operations, "
        f"{named}",
    )


def circular(op: ConvOperator, limits: Limits, budget: Budget) -> Spectrum | None:
    """The spectrum on the torus, where the stride divides the size."""
    try:
        torus = op.circular()
    except GeometryError:
        return None
    plan = explain(torus, max_bytes=limits.max_bytes)
    # it stands beside, and is to cost no more than the bounds themselves
    if too_costly(plan, limits) is not None or plan.flops > limits.envelope_flops:
        return None
    if not budget.allows(seconds=budget.seconds_of(plan.flops)):
        return None
    return spectrum(torus, max_bytes=limits.max_bytes)

"""What is known of a layer whose spectrum is out of reach: certified bounds on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from convspec.arrays import FloatArray
from convspec.errors import GeometryError, TooLargeError
from convspec.limits import readable_bytes
from convspec.operators.operator import ConvOperator
from convspec.report.limits import Limits
from convspec.run.budget import Budget
from convspec.spectrum import Envelope, Plan, Spectrum, explain, spectrum
from convspec.spectrum.envelope.envelope import envelope_of
from convspec.spectrum.envelope.plan import EnvelopePlan
from convspec.spectrum.fourier import cost
from convspec.spectrum.fourier.shares import FourierShares
from convspec.spectrum.spectrum import spectrum_of_shares

__all__ = [
    "Enveloped",
    "Shared",
    "circular",
    "envelope_share",
    "enveloped",
    "joined_envelope",
    "joined_spectrum",
    "spectrum_share",
    "too_costly",
    "whole_spectrum",
]


# bounds on all singular values, if they are within the limits, and what was left out
Enveloped = tuple[Envelope | None, tuple[str, ...]]


def too_costly(plan: Plan, limits: Limits) -> str | None:
    """Why a plan is beyond the limits, or None."""
    if plan.memory > limits.max_bytes:
        return f"{plan.reason}, {readable_bytes(plan.memory)}, beyond max_bytes"
    if plan.flops > limits.max_flops:
        return f"{plan.reason}, {plan.flops:.1e} operations, beyond max_flops"
    return None


@dataclass(frozen=True)
class Shared:
    """Something that takes so long that it is decomposed in shares.

    Attributes:
        shares: How many there are.
    """

    shares: int


def enveloped(op: ConvOperator, budget: Budget, limits: Limits) -> Enveloped | Shared:
    """Bounds on all singular values within the limits, and what was left out of them.

    Args:
        op: The operator.
        budget: Of this row: seconds, and operations that are not limited otherwise.
        limits: Of the analysis.

    Returns:
        The bounds; or what :func:`envelope_share` and :func:`joined_envelope` are for.
    """
    try:
        plan = _plan(op, limits, budget)
    except TooLargeError as error:
        budget.timed_out = budget.timed_out or _flops(limits, budget)[2]
        return None, (f"no envelope: {error}",)
    if plan.flops > cost.SHARE_FLOPS:
        return Shared(len(plan.shares))
    values = [plan.values_of(share) for share in plan.shares]
    return _joined(plan, values, limits, budget)


def envelope_share(
    op: ConvOperator, budget: Budget, limits: Limits, number: int
) -> FloatArray:
    """Singular values of one share of an envelope."""
    plan = _plan(op, limits, budget)
    return plan.values_of(plan.shares[number])


def joined_envelope(
    op: ConvOperator, budget: Budget, limits: Limits, values: Sequence[FloatArray]
) -> Enveloped:
    """The envelope from all of its shares."""
    return _joined(_plan(op, limits, budget), values, limits, budget)


def _plan(op: ConvOperator, limits: Limits, budget: Budget) -> EnvelopePlan:
    flops = _flops(limits, budget)[0]
    return EnvelopePlan.of(op, limits.phases, flops, limits.max_bytes)


def _flops(limits: Limits, budget: Budget) -> tuple[float, str, bool]:
    """Operations on an envelope, what limits them, and whether that is seconds."""
    flops = min(limits.envelope_flops, limits.max_flops, budget.left)
    if budget.seconds < math.inf and budget.seconds * budget.rate < flops:
        return budget.seconds * budget.rate, "what seconds leave", True
    return flops, "the least of envelope_flops and max_flops", False


def _joined(
    plan: EnvelopePlan, values: Sequence[FloatArray], limits: Limits, budget: Budget
) -> Enveloped:
    found = envelope_of(plan, values, max_bytes=limits.max_bytes)
    done, planned = plan.tori
    if done == planned:
        return found, ()
    flops, named, timed = _flops(limits, budget)
    budget.timed_out = budget.timed_out or timed
    return found, (
        f"envelope by {done} of {planned} tori, those within {flops:.1e} operations, "
        f"{named}",
    )


def circular(
    op: ConvOperator, budget: Budget, limits: Limits
) -> Spectrum | Shared | None:
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
    return _spectrum(torus, plan, limits.max_bytes)


def whole_spectrum(op: ConvOperator, budget: Budget) -> Spectrum | Shared:
    """All singular values; or, of many blocks, what is there for their shares."""
    return _spectrum(op, explain(op, max_bytes=budget.bytes), budget.bytes)


def _spectrum(op: ConvOperator, plan: Plan, max_bytes: int) -> Spectrum | Shared:
    long = plan.method == "fourier" and plan.flops > cost.SHARE_FLOPS
    if long and op.device.type == "cpu":
        shares = len(FourierShares.of(op))
        if shares > 1:
            return Shared(shares)
    return spectrum(op, max_bytes=max_bytes)


def spectrum_share(op: ConvOperator, _: Budget, number: int) -> FloatArray:
    """Singular values of one share of a spectrum's frequencies."""
    return FourierShares.of(op).values_of(number)


def joined_spectrum(
    op: ConvOperator, _: Budget, values: Sequence[FloatArray]
) -> Spectrum:
    """All singular values from all shares."""
    return spectrum_of_shares(op, FourierShares.of(op), values)

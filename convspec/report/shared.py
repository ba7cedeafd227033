"""What takes so long that it is taken in shares, steps of their own, and joined."""

from __future__ import annotations

from collections.abc import Sequence

from convspec.arrays import FloatArray
from convspec.operators.operator import ConvOperator
from convspec.report.draft import Draft
from convspec.report.enclose import Shared
from convspec.report.job import Asking, Done
from convspec.report.limits import Limits
from convspec.report.others import Others
from convspec.report.steps import (
    envelope_shares,
    estimates_shares,
    joined_envelope_job,
    joined_estimates_job,
    joined_spectrum_job,
    spectrum_shares,
)
from convspec.run.budget import Budget
from convspec.spectrum import Spectrum
from convspec.spectrum.sums.estimates import Estimated

__all__ = ["shared_envelope", "shared_estimates", "shared_spectrum"]


def shared_envelope(
    draft: Draft, shared: Shared, limits: Limits, share: Budget
) -> Asking[Others | None]:
    """An envelope that is decomposed in shares; None if one of them failed."""
    op = draft.operator
    done = yield envelope_shares(op, shared.shares, limits, share)
    values = _all_of(draft, done)
    if values is None:
        return None
    return draft.took(*(yield [joined_envelope_job(op, values, limits, share)]))


def shared_spectrum(
    draft: Draft, op: ConvOperator, shared: Shared, share: Budget, step: str
) -> Asking[Spectrum | None]:
    """A spectrum that is decomposed in shares; None if one of them failed."""
    done = yield spectrum_shares(op, shared.shares, share, step)
    values = _all_of(draft, done)
    if values is None:
        return None
    return draft.took(*(yield [joined_spectrum_job(op, values, share, step)]))


def shared_estimates(
    draft: Draft, shared: Shared, limits: Limits
) -> Asking[dict[str, Estimated] | None]:
    """Estimates from lattices that are taken one by one; None if one of them failed."""
    values = _all_of(draft, (yield estimates_shares(draft, shared.shares, limits)))
    if values is None:
        return None
    return draft.took(*(yield [joined_estimates_job(draft, values, limits)]))


def _all_of(draft: Draft, done: Sequence[Done[FloatArray]]) -> list[FloatArray] | None:
    """What came of several steps; None if one of them failed."""
    found = [draft.took(each) for each in done]
    values = [each for each in found if each is not None]
    return values if len(values) == len(found) else None

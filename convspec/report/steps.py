"""The steps of a row as jobs: functions of an operator, a share, and what is known."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from convspec.arrays import FloatArray
from convspec.bounds.spectral_norm.norm import norm_within
from convspec.errors import TooLargeError
from convspec.isolation import isolated
from convspec.operators.operator import ConvOperator
from convspec.quantity.bound import Bound
from convspec.report.agreement import WORST, met
from convspec.report.draft import ESTIMATES, NORM, QUANTITIES, Draft
from convspec.report.enclose import (
    Shared,
    envelope_share,
    joined_spectrum,
    spectrum_share,
    whole_spectrum,
)
from convspec.report.estimating import (
    ESTIMATED,
    Estimating,
    estimates_of,
    estimates_share,
    joined_estimates,
)
from convspec.report.job import Job
from convspec.report.kernel_norms import KernelNorms
from convspec.report.limits import Limits
from convspec.report.others import Others, by_envelope, by_shares, by_sums, by_torus
from convspec.run.budget import Budget
from convspec.spectrum import Spectrum
from convspec.spectrum.envelope.frobenius import certified_frobenius
from convspec.spectrum.sums.estimates import Estimated

__all__ = [
    "FROBENIUS",
    "envelope_shares",
    "estimates_job",
    "estimates_shares",
    "joined_envelope_job",
    "joined_estimates_job",
    "joined_spectrum_job",
    "known_norm",
    "limit_words",
    "norm_job",
    "quantities_jobs",
    "spectrum_job",
    "spectrum_shares",
]

Norm = tuple[Bound, tuple[str, ...]]
Part = Callable[[ConvOperator, Budget, float, Limits], Others | Shared]
Inputs = tuple[object, ...]
Found = TypeVar("Found")

# of the operations on an envelope: as many more on estimates, which are decompositions
# of small blocks
ESTIMATES_SHARE = 1.25
FROBENIUS = "||A||_F"


def spectrum_job(draft: Draft, share: Budget) -> Job[Spectrum | Shared]:
    """All singular values."""
    inputs = (share.bytes,)
    return Job("spectrum", draft.operator, inputs, share, _spectrum, step=NORM)


def _spectrum(op: ConvOperator, share: Budget) -> Spectrum | Shared:
    return whole_spectrum(op, share.bytes)


def spectrum_shares(
    op: ConvOperator, count: int, share: Budget, step: str
) -> tuple[Job[FloatArray], ...]:
    """The shares of a spectrum's frequencies, each by itself."""

    def job(number: int) -> Job[FloatArray]:
        name = f"spectrum, share {number}"
        return Job(name, op, (), share, _spectrum_share, (number,), step)

    return tuple(job(number) for number in range(count))


def joined_spectrum_job(
    op: ConvOperator, values: Sequence[FloatArray], share: Budget, step: str
) -> Job[Spectrum]:
    """The spectrum from all of its shares."""
    return Job("spectrum, joined", op, (), share, _joined_spectrum, (values,), step)


def _spectrum_share(op: ConvOperator, share: Budget, number: int) -> FloatArray:
    return spectrum_share(op, number)


def _joined_spectrum(
    op: ConvOperator, share: Budget, values: Sequence[FloatArray]
) -> Spectrum:
    return joined_spectrum(op, values)


def norm_job(draft: Draft, limits: Limits, share: Budget) -> Job[Norm]:
    """Ends of the norm, and what was left out of the search for them."""
    worst = _worst(draft.kernel)
    return Job(
        NORM,
        draft.operator,
        (limits.rtol, share.bytes, worst, share.flops > 0),
        share,
        _norm,
        (limits, worst),
        enough=partial(_is_close, limits.rtol),
    )


def _norm(op: ConvOperator, share: Budget, limits: Limits, worst: float) -> Norm:
    known = _at_most(op, worst)
    if not share.flops or not share.seconds:
        share.timed_out = bool(share.flops)
        share.short_of = "seconds" if share.flops else "operations"
        return known, (f"no norm: {limit_words(limits, share.short_of)}",)
    try:
        found = norm_within(op, limits.rtol, share, known)
    except TooLargeError as error:
        return known, (f"no norm: {error}",)
    return met(found, known, known.assumptions), ()


def _is_close(rtol: float, found: Norm) -> bool:
    return found[0].gap <= rtol


def limit_words(limits: Limits, short_of: str) -> str:
    """The limit that it was, as it is given."""
    names = {
        "operations": f"norm_flops={limits.norm_flops:g}",
        "seconds": f"seconds={limits.time:g}",
        "memory": f"max_bytes={limits.max_bytes:g}",
    }
    return names[short_of]


@isolated
def known_norm(draft: Draft) -> Bound:
    """At most ``||A||_F``, and at most the worst case over input sizes."""
    return _at_most(draft.operator, _worst(draft.kernel))


def _worst(kernel: KernelNorms | None) -> float:
    """At least the worst case over input sizes; inf if nothing is known."""
    worst = None if kernel is None else kernel.worst_case
    return math.inf if worst is None else worst.upper


def _at_most(op: ConvOperator, worst: float) -> Bound:
    ends = {FROBENIUS: certified_frobenius(op).upper, WORST: worst}
    name = min(ends, key=ends.__getitem__)
    return Bound(0.0, ends[name], name, f"upper end: {name}", "convspec.analyze")


def quantities_jobs(
    op: ConvOperator, upper: float, limits: Limits, share: Budget
) -> tuple[Job[Others | Shared], ...]:
    """What sums say, an envelope, and the torus of the same size: each by itself."""
    most, flops, held = limits.max_flops, limits.envelope_flops, limits.max_bytes

    def job(name: str, inputs: Inputs, function: Part) -> Job[Others | Shared]:
        return Job(name, op, inputs, share, function, (upper, limits), QUANTITIES)

    return (
        job("sums", (upper, flops, held), _by_sums),
        job("envelope", _of_envelope(limits), _by_envelope),
        job("torus", (most, flops, held), _by_torus),
    )


def envelope_shares(
    op: ConvOperator, count: int, limits: Limits, share: Budget
) -> tuple[Job[FloatArray], ...]:
    """The shares of an envelope, each by itself."""
    inputs = _of_envelope(limits)

    def job(number: int) -> Job[FloatArray]:
        name, given = f"envelope, share {number}", (limits, number)
        return Job(name, op, inputs, share, _envelope_share, given, QUANTITIES)

    return tuple(job(number) for number in range(count))


def joined_envelope_job(
    op: ConvOperator, values: Sequence[FloatArray], limits: Limits, share: Budget
) -> Job[Others]:
    """The envelope from all of its shares."""
    inputs, given = _of_envelope(limits), (limits, values)
    return Job("envelope, joined", op, inputs, share, _joined, given, QUANTITIES)


def _of_envelope(limits: Limits) -> Inputs:
    """The settings that an envelope depends on."""
    return limits.max_flops, limits.envelope_flops, limits.phases, limits.max_bytes


def _by_sums(op: ConvOperator, share: Budget, upper: float, limits: Limits) -> Others:
    return by_sums(op, upper, limits)


def _by_envelope(
    op: ConvOperator, share: Budget, upper: float, limits: Limits
) -> Others | Shared:
    return by_envelope(op, limits, share)


def _envelope_share(
    op: ConvOperator, share: Budget, limits: Limits, number: int
) -> FloatArray:
    return envelope_share(op, limits, share, number)


def _joined(
    op: ConvOperator, share: Budget, limits: Limits, values: Sequence[FloatArray]
) -> Others:
    return by_shares(op, limits, share, values)


def _by_torus(
    op: ConvOperator, share: Budget, upper: float, limits: Limits
) -> Others | Shared:
    return by_torus(op, limits, share)


@isolated
def estimates_job(draft: Draft, limits: Limits) -> Job[dict[str, Estimated] | Shared]:
    """What is not enclosed closely, estimated."""
    wanted = _estimating(draft, limits)
    return _estimates_job(ESTIMATES, draft, wanted, _estimates)


@isolated
def estimates_shares(
    draft: Draft, count: int, limits: Limits
) -> tuple[Job[FloatArray], ...]:
    """The lattices that estimates are from, each by itself."""
    wanted = _estimating(draft, limits)

    def job(number: int) -> Job[FloatArray]:
        name = f"estimates, lattice {number}"
        return _estimates_job(name, draft, wanted, _estimates_share, number)

    return tuple(job(number) for number in range(count))


@isolated
def joined_estimates_job(
    draft: Draft, values: Sequence[FloatArray], limits: Limits
) -> Job[dict[str, Estimated]]:
    """The estimates from all lattices."""
    wanted = _estimating(draft, limits)
    return _estimates_job("estimates, joined", draft, wanted, _joined_estimates, values)


def _estimating(draft: Draft, limits: Limits) -> Estimating:
    readings = draft.known.readings
    known = {name: readings[name] for name in ("norm", *ESTIMATED)}
    flops = ESTIMATES_SHARE * limits.envelope_flops
    return Estimating(known, flops, limits.max_bytes)


def _estimates_job(
    name: str,
    draft: Draft,
    wanted: Estimating,
    function: Callable[..., Found],
    *given: object,
) -> Job[Found]:
    flops, held = wanted.max_flops, wanted.max_bytes
    inputs = (*(reading.ends for reading in wanted.known.values()), flops, held)
    share, all_given = Budget(flops, held), (wanted, *given)
    return Job(name, draft.operator, inputs, share, function, all_given, ESTIMATES)


def _estimates(
    op: ConvOperator, share: Budget, wanted: Estimating
) -> dict[str, Estimated] | Shared:
    return estimates_of(op, wanted)


def _estimates_share(
    op: ConvOperator, share: Budget, wanted: Estimating, number: int
) -> FloatArray:
    return estimates_share(op, wanted, number)


def _joined_estimates(
    op: ConvOperator, share: Budget, wanted: Estimating, values: Sequence[FloatArray]
) -> dict[str, Estimated]:
    return joined_estimates(op, wanted, values)

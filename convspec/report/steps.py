"""The steps of a row as jobs: functions of an operator, a share, and what is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from convspec.arrays import FloatArray
from convspec.bounds.spectral_norm.norm import norm_within
from convspec.errors import TooLargeError
from convspec.isolation import isolated
from convspec.operators.operator import ConvOperator
from convspec.quantity.bound import Bound
from convspec.quantity.enclosure import Enclosure
from convspec.report.agreement import WORST, met
from convspec.report.draft import ESTIMATES, NORM, QUANTITIES, Draft
from convspec.report.enclose import (
    Enveloped,
    Shared,
    circular,
    envelope_share,
    enveloped,
    joined_envelope,
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
from convspec.report.sums import other_sums
from convspec.run.budget import Budget
from convspec.spectrum import Spectrum
from convspec.spectrum.envelope.frobenius import certified_frobenius
from convspec.spectrum.sums.estimates import Estimated

__all__ = [
    "FROBENIUS",
    "Join",
    "envelope_in_shares",
    "estimates_in_shares",
    "estimates_job",
    "known_norm",
    "limit_words",
    "norm_job",
    "quantities_jobs",
    "spectrum_in_shares",
    "spectrum_job",
]

Found = TypeVar("Found")
Norm = tuple[Bound, tuple[str, ...]]
Inputs = tuple[object, ...]
# makes a step of what came of shares
Join = Callable[[list[FloatArray]], Job[Found]]

# of the operations on an envelope: as many more on estimates, which are decompositions
# of small blocks
ESTIMATES_SHARE = 1.25
FROBENIUS = "||A||_F"


def spectrum_job(draft: Draft, share: Budget) -> Job[Spectrum | Shared]:
    """All singular values."""
    inputs = (share.bytes,)
    return Job("spectrum", draft.operator, inputs, share, whole_spectrum, step=NORM)


def spectrum_in_shares(
    op: ConvOperator, count: int, share: Budget, step: str
) -> tuple[list[Job[FloatArray]], Join[Spectrum]]:
    """The shares of a spectrum's frequencies, each by itself, and what joins them."""

    def job(name: str, function: Callable[..., Found], given: object) -> Job[Found]:
        return Job(f"spectrum, {name}", op, (), share, function, (given,), step)

    parts = [job(f"share {number}", spectrum_share, number) for number in range(count)]
    return parts, lambda values: job("joined", joined_spectrum, values)


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
) -> tuple[
    Job[dict[str, Enclosure]], Job[Enveloped | Shared], Job[Spectrum | Shared | None]
]:
    """What sums say, an envelope, and the torus of the same size: each by itself."""
    most, flops, held = limits.max_flops, limits.envelope_flops, limits.max_bytes

    def job(
        name: str, inputs: Inputs, function: Callable[..., Found], *given: object
    ) -> Job[Found]:
        return Job(name, op, inputs, share, function, given, QUANTITIES)

    return (
        job("sums", (upper, flops, held), other_sums, upper, limits),
        job("envelope", _of_envelope(limits), enveloped, limits),
        job("torus", (most, flops, held), circular, limits),
    )


def envelope_in_shares(
    op: ConvOperator, count: int, limits: Limits, share: Budget
) -> tuple[list[Job[FloatArray]], Join[Enveloped]]:
    """The shares of an envelope, each by itself, and what joins them."""
    inputs = _of_envelope(limits)

    def job(name: str, function: Callable[..., Found], given: object) -> Job[Found]:
        name, both = f"envelope, {name}", (limits, given)
        return Job(name, op, inputs, share, function, both, QUANTITIES)

    parts = [job(f"share {number}", envelope_share, number) for number in range(count)]
    return parts, lambda values: job("joined", joined_envelope, values)


def _of_envelope(limits: Limits) -> Inputs:
    """The settings that an envelope depends on."""
    return limits.max_flops, limits.envelope_flops, limits.phases, limits.max_bytes


@isolated
def estimates_job(draft: Draft, limits: Limits) -> Job[dict[str, Estimated] | Shared]:
    """What is not enclosed closely, estimated."""
    return _estimates_job(ESTIMATES, draft, _estimating(draft, limits), estimates_of)


@isolated
def estimates_in_shares(
    draft: Draft, count: int, limits: Limits
) -> tuple[list[Job[FloatArray]], Join[dict[str, Estimated]]]:
    """The lattices that estimates are from, each by itself, and what joins them."""
    wanted = _estimating(draft, limits)

    def job(name: str, function: Callable[..., Found], given: object) -> Job[Found]:
        return _estimates_job(f"estimates, {name}", draft, wanted, function, given)

    parts = [job(f"lattice {each}", estimates_share, each) for each in range(count)]
    return parts, lambda values: job("joined", joined_estimates, values)


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

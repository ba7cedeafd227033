"""The stages of an analysis: all norms first, then all other quantities.

So an analysis that ends early has every norm. Within a stage cheap layers come first,
and what they leave of the budget is for the dear ones.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence

from convspec.bounds.spectral_norm.norm import norm_within
from convspec.bounds.spectral_norm.steps import FLOPS_PER_SECOND
from convspec.errors import TooLargeError
from convspec.isolation import isolated
from convspec.operators.operator import ConvOperator
from convspec.progress import Progress
from convspec.quantity.bound import Bound
from convspec.report.agreement import WORST, agree, met
from convspec.report.draft import ESTIMATES, NORM, QUANTITIES, Draft
from convspec.report.kernel_norms import KernelNorms, kernel_step, reshaped_norm
from convspec.report.limits import Limits
from convspec.report.others import other_quantities
from convspec.report.steps import Steps
from convspec.report.sums import ESTIMATED, estimates_of, ranks
from convspec.run.budget import Budget
from convspec.spectrum import spectrum
from convspec.spectrum.envelope.frobenius import certified_frobenius

__all__ = ["take_stages"]

# of the operations on an envelope: as many more on estimates, which are decompositions
# of small blocks
ESTIMATES_SHARE = 1.25
FROBENIUS = "||A||_F"
KERNEL, RESHAPED = "worst case over input sizes", "norm of the reshaped kernel"
# of the seconds of an analysis, for the norms
NORMS_SHARE = 0.6


def take_stages(
    drafts: Sequence[Draft], limits: Limits, progress: Progress | None, steps: Steps
) -> None:
    """Fill in what the limits allow of all drafts."""
    open_ = [draft for draft in drafts if draft.beyond is not None]
    total, done = len(drafts) + len(open_), 0

    def shared(
        stage: str, some: Sequence[Draft], budget: Budget
    ) -> Iterator[tuple[Draft, Budget]]:
        """Each draft, cheapest first, and its share of what others left."""
        nonlocal done
        for place, draft in enumerate(sorted(some, key=lambda draft: draft.cost)):
            if progress is not None:
                progress(done, total, f"{draft.name}: {stage}")
            share = budget.divided(len(some) - place)
            yield draft, share
            draft.done(stage)
            budget.take(share)
            done += 1

    begun, left = time.perf_counter(), limits.time
    operations = limits.norm_flops * len(open_)
    budget = Budget(operations, limits.max_bytes, NORMS_SHARE * left)
    kernels: dict[int, Draft] = {}
    for draft, share in shared(NORM, drafts, budget):
        _kernel(draft, limits, share, kernels, steps)
        with draft.step(NORM, steps):
            _norm(draft, limits, share, steps)
        if draft.known.norm is None and not draft.contradicted:
            with draft.step("upper end of the norm", steps):
                draft.norm = _known(draft.operator, draft.kernel)
    open_ = [draft for draft in drafts if draft.spectrum is None]
    total = len(drafts) + len(open_)
    agree(drafts, steps)
    left = max(0.0, left - (time.perf_counter() - begun))
    budget = Budget(math.inf, limits.max_bytes, left)
    for draft, share in shared(QUANTITIES, open_, budget):
        with draft.step(QUANTITIES, steps):
            _quantities(draft, limits, share, steps)
    agree(drafts, steps)
    while sum(_followed(draft, steps) for draft in open_):
        agree(drafts, steps)
    for draft in open_:
        if budget.allows() and draft.known.norm is not None:
            with draft.step(ESTIMATES, steps):
                _estimate(draft, limits, steps)
        draft.done(ESTIMATES)
    if progress is not None:
        progress(total, total, "")


@isolated
def _kernel(
    draft: Draft, limits: Limits, budget: Budget, kernels: dict[int, Draft], steps: Steps
) -> None:
    """The norms of the kernel of a row, which rows share."""
    op = draft.operator
    first = kernels.setdefault(draft.call.kernel, draft)
    if first is not draft:
        draft.kernel = first.kernel
        draft.failures += [x for x in first.failures if x.step in (KERNEL, RESHAPED)]
        return
    with draft.step(KERNEL, steps):
        draft.kernel = kernel_step(op, limits, steps, budget.seconds / 2)
    if draft.failures:
        with draft.step(RESHAPED, steps):
            draft.kernel = KernelNorms(None, reshaped_norm(op))


@isolated
def _norm(draft: Draft, limits: Limits, budget: Budget, steps: Steps) -> None:
    """The norm of a row: exact with its spectrum, or enclosed."""
    op = draft.operator
    if draft.beyond is None and draft.plan.flops > FLOPS_PER_SECOND * budget.seconds:
        draft.beyond = f"{draft.plan}, beyond what seconds={limits.time:g} leave"
    if draft.beyond is None:
        held = limits.max_bytes
        draft.spectrum = steps.run(
            "spectrum", op, (held,), budget, lambda: spectrum(op, max_bytes=held)
        )
        return
    known = _known(op, draft.kernel)
    if not limits.norm_flops or not budget.seconds:
        draft.norm = known
        short_of = "seconds" if limits.norm_flops else "operations"
        draft.left_out.append(f"no norm: {_limit(limits, short_of)}")
        return
    draft.norm, left_out = steps.run(
        "norm",
        op,
        (limits.rtol, budget.bytes, known),
        budget,
        lambda: _enclosed(op, limits.rtol, budget, known),
        lambda found: found[0].gap <= limits.rtol,
    )
    draft.left_out.extend(left_out)
    if draft.norm.gap > limits.rtol and budget.short_of:
        draft.left_out.append(
            f"sigma_1 to a relative gap of {draft.norm.gap:.1e} only, the search was "
            f"ended by {_limit(limits, budget.short_of)}"
        )


def _enclosed(
    op: ConvOperator, rtol: float, budget: Budget, known: Bound
) -> tuple[Bound, tuple[str, ...]]:
    """The norm where it is enclosed, and what was left out of that."""
    try:
        found = norm_within(op, rtol, budget, known)
    except TooLargeError as error:
        return known, (f"no norm: {error}",)
    return met(found, known, known.assumptions), ()


def _limit(limits: Limits, short_of: str) -> str:
    """The limit that it was, as it is given."""
    names = {
        "operations": f"norm_flops={limits.norm_flops:g}",
        "seconds": f"seconds={limits.time:g}",
        "memory": f"max_bytes={limits.max_bytes:g}",
    }
    return names[short_of]


@isolated
def _known(op: ConvOperator, kernel: KernelNorms | None) -> Bound:
    """At most ``||A||_F``, and at most the worst case over input sizes."""
    ends = {FROBENIUS: certified_frobenius(op).upper}
    if kernel is not None and kernel.worst_case is not None:
        ends[WORST] = kernel.worst_case.upper
    name = min(ends, key=ends.__getitem__)
    return Bound(0.0, ends[name], name, f"upper end: {name}", "convspec.analyze")


@isolated
def _quantities(draft: Draft, limits: Limits, budget: Budget, steps: Steps) -> None:
    """What sums say, an envelope, and the torus of the same size."""
    if not budget.allows():
        draft.left_out.append(f"no envelope: seconds={limits.time:g} were over")
        return
    if draft.norm is None:
        return
    op, upper = draft.operator, draft.norm.upper
    flops = limits.max_flops, limits.envelope_flops
    found = steps.run(
        "other quantities",
        op,
        (upper, *flops, limits.phases, limits.max_bytes),
        budget,
        lambda: other_quantities(op, upper, limits, budget),
    )
    draft.sums, draft.envelope = {**draft.sums, **found.sums}, found.envelope
    draft.circular = found.circular
    draft.left_out.extend(found.left_out)
    if draft.envelope is not None:
        draft.norm = met(draft.norm, draft.envelope.norm, "upper end: tori of its size")


@isolated
def _estimate(draft: Draft, limits: Limits, steps: Steps) -> None:
    """What is not enclosed closely, estimated."""
    op, held = draft.operator, limits.max_bytes
    flops = ESTIMATES_SHARE * limits.envelope_flops
    readings = draft.known.readings
    ends = [readings[name].ends for name in ("norm", *ESTIMATED)]
    draft.estimates = steps.run(
        "estimates",
        op,
        (*ends, flops, held),
        Budget(flops, held),
        lambda: estimates_of(op, readings, flops, held),
    )


def _followed(draft: Draft, steps: Steps) -> bool:
    """Whether what follows from the norm says more of it."""
    norm = draft.norm
    with draft.step("what follows from the norm", steps):
        _follow(draft)
    return draft.norm is not norm


@isolated
def _follow(draft: Draft) -> None:
    """Let all quantities follow from the norm as it is known by now.

    The Frobenius norm and they may say more of the norm.
    """
    norm, band = draft.norm, draft.envelope
    if norm is not None:
        draft.sums |= ranks(draft.operator, norm, draft.sums)
    if band is None or norm is None or tuple(band.norm) == tuple(norm):
        return
    band = band.tightened(lower=[norm.lower], upper=[norm.upper])
    draft.envelope, draft.norm = band, met(norm, band.norm, f"upper end: {FROBENIUS}")

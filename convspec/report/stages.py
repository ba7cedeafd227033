"""The stages of an analysis: all norms first, then all other quantities.

So an analysis that ends early has every norm. Within a stage rows are taken side by side,
and what cheap ones are expected to leave of the operations is for the dear ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from convspec.forecast.machine import Machine
from convspec.isolation import isolated
from convspec.progress import Progress
from convspec.report.agreement import agree, met
from convspec.report.draft import ESTIMATES, NORM, QUANTITIES, Draft
from convspec.report.enclose import Shared
from convspec.report.job import Asked, Steps
from convspec.report.kernel_norms import KERNEL, KernelNorms, kernel_job, reshaped_norm
from convspec.report.limits import Limits
from convspec.report.shared import in_shares
from convspec.report.steps import (
    FROBENIUS,
    envelope_in_shares,
    estimates_in_shares,
    estimates_job,
    known_norm,
    limit_words,
    norm_job,
    quantities_jobs,
    spectrum_in_shares,
    spectrum_job,
)
from convspec.report.sums import ranks
from convspec.report.time_left import TimeLeft, stage_seconds
from convspec.run.budget import Budget
from convspec.run.courses import Course, take_courses
from convspec.run.shares import Shares
from convspec.run.workers import Workers

__all__ = ["Stages"]

RESHAPED = "norm of the reshaped kernel"
# of the seconds of an analysis, for the norms
NORMS_SHARE = 0.6
# seconds that are shared out by what rows are foreseen to take: that itself takes some
FORESEEN = 20.0
# operations on a row below which Python takes longer, and as many per singular value
LIGHT, VALUE = 1e9, 1e4
# of the operations that a norm is estimated to cost, those that it takes, as measured
SPENT = 2.0


@dataclass
class Stages:
    """Rows on their way.

    Attributes:
        limits: Of the analysis.
        steps: How steps are taken.
        workers: Who takes them.
        progress: Who is told.
        done: Norms and other quantities that are done.
        total: How many there will be.
        left: How long it takes yet, if anybody is told.
        ahead: Rows whose stage is not done, by number.
        foreseen: Seconds of the stages of rows, by number, where they are limited.
    """

    limits: Limits
    steps: Steps
    workers: Workers
    progress: Progress | None
    done: int = 0
    total: int = 0
    left: TimeLeft | None = None
    ahead: dict[int, Draft] = field(default_factory=dict)
    foreseen: dict[int, dict[str, float]] = field(default_factory=dict)

    def take(self, drafts: Sequence[Draft]) -> None:
        """Fill in what the limits allow of all drafts."""
        whole = self._whole()
        drafts = sorted(drafts, key=lambda draft: draft.cost)
        self.total = len(drafts) + sum(draft.beyond is not None for draft in drafts)
        if self.progress is not None:
            self.left = TimeLeft(drafts, self.limits.effort, self.workers.at_a_time)
        self._norms(drafts, whole)
        open_ = [draft for draft in drafts if draft.spectrum is None]
        self.total = len(drafts) + len(open_)
        agree(drafts)
        self._quantities(open_, whole)
        agree(drafts)
        while sum(map(_followed, open_)):
            agree(drafts)
        asked = [_estimates(draft, self.limits, whole) for draft in open_]
        self.run(asked, [_work(draft) for draft in open_])
        if self.progress is not None:
            self.progress(self.total, self.total, "")

    def _whole(self) -> Budget:
        """What all stages may spend; where seconds end them, at the rate of here."""
        whole = Budget(math.inf, self.limits.max_bytes, self.limits.time)
        if whole.seconds < math.inf:
            whole.rate = Machine.here().rate
        return whole

    def run(self, asked: Sequence[Asked], costs: Sequence[float]) -> None:
        """Take rows through their steps, each with its share of the cores."""
        cores, total = self.workers.at_a_time, sum(costs) or 1.0
        courses = [
            Course(steps, light=True)
            if cost < LIGHT
            else Course(steps, max(1, math.floor(cores * cost / total + 0.5)))
            for steps, cost in zip(asked, costs, strict=True)
        ]
        take_courses(courses, self.steps, self.workers)

    def _norms(self, drafts: Sequence[Draft], whole: Budget) -> None:
        """The norms of kernels and of rows: rows of one kernel one after the other."""
        limits = self.limits
        flops = limits.norm_flops * sum(draft.beyond is not None for draft in drafts)
        expected = [0.0 if d.beyond is None else SPENT * d.cost for d in drafts]
        times = self._times(drafts, NORM)
        shares = self._shares(expected, flops, whole, times, NORMS_SHARE)
        rows: dict[int, list[int]] = {}
        for place, draft in enumerate(drafts):
            rows.setdefault(draft.call.kernel, []).append(place)

        def course(places: Sequence[int]) -> Asked:
            for place in places:
                share, draft = shares.of(place), drafts[place]
                if place == places[0]:
                    yield from _kernel(draft, limits, share.seconds / 2)
                else:
                    _share_kernel(drafts[places[0]], draft)
                rest = replace(share, seconds=share.seconds_left)
                yield from _norm(draft, limits, rest)
                self._end(draft, NORM)

        self._begin(drafts, NORM)
        groups = sorted(rows.values(), key=lambda places: drafts[places[-1]].cost)
        costs = [sum(_work(drafts[place]) for place in places) for places in groups]
        self.run([course(places) for places in groups], costs)

    def _shares(
        self,
        expected: Sequence[float],
        flops: float,
        whole: Budget,
        times: Sequence[float],
        part: float = 1.0,
    ) -> Shares:
        """Shares of operations, and of a part of the seconds that are left."""
        seconds, workers = part * whole.seconds_left, self.workers.at_a_time
        return Shares(expected, flops, whole.bytes, seconds, workers, whole.rate, times)

    def _times(self, drafts: Sequence[Draft], stage: str) -> list[float]:
        """Seconds of a stage by the laws, where the limit is long enough for that."""
        if not FORESEEN <= self.limits.time < math.inf:
            return []
        for draft in drafts:
            if id(draft) not in self.foreseen:
                self.foreseen[id(draft)] = stage_seconds(draft, self.limits.effort)
        return [self.foreseen[id(draft)].get(stage, 0.0) for draft in drafts]

    def _quantities(self, drafts: Sequence[Draft], whole: Budget) -> None:
        """The other quantities of rows that are not exact."""
        limits, any_cost = self.limits, [0.0] * len(drafts)
        shares = self._shares(any_cost, math.inf, whole, self._times(drafts, QUANTITIES))

        def course(place: int) -> Asked:
            yield from _quantities(drafts[place], limits, shares.of(place))
            self._end(drafts[place], QUANTITIES)

        self._begin(drafts, QUANTITIES)
        costs = [min(_work(draft), limits.envelope_flops) for draft in drafts]
        self.run([course(place) for place in range(len(drafts))], costs)

    def _begin(self, drafts: Sequence[Draft], stage: str) -> None:
        self.ahead = {id(draft): draft for draft in drafts}
        self._tell(stage)

    def _end(self, draft: Draft, stage: str) -> None:
        draft.done(stage)
        if self.left is not None:
            self.left.done(draft, stage)
        self.done += 1
        del self.ahead[id(draft)]
        self._tell(stage)

    def _tell(self, stage: str) -> None:
        """Say what is done, and what is at work or comes."""
        if self.progress is not None and self.ahead:
            name = next(iter(self.ahead.values())).name
            left = "" if self.left is None else self.left.words
            self.progress(self.done, self.total, f"{name}: {stage}{left}")


def _work(draft: Draft) -> float:
    """Operations that a row takes beside Python, about."""
    return draft.cost + VALUE * min(draft.operator.shape)


def _kernel(draft: Draft, limits: Limits, seconds: float) -> Asked:
    """The norms of the kernel of a row."""
    draft.kernel = draft.took(*(yield [kernel_job(draft.operator, limits, seconds)]))
    if draft.kernel is None:
        with draft.step(RESHAPED):
            draft.kernel = KernelNorms(None, reshaped_norm(draft.operator))


def _share_kernel(first: Draft, draft: Draft) -> None:
    """The norms of a kernel that another row has."""
    draft.kernel = first.kernel
    draft.failures += [each for each in first.failures if each.step in (KERNEL, RESHAPED)]


def _norm(draft: Draft, limits: Limits, share: Budget) -> Asked:
    """The norm of a row: exact with its spectrum, or enclosed."""
    if draft.beyond is None and share.seconds_of(draft.plan.flops) > share.seconds:
        draft.beyond = f"{draft.plan}, beyond what seconds={limits.time:g} leave"
    if draft.beyond is None:
        found = draft.took(*(yield [spectrum_job(draft, share)]))
        if isinstance(found, Shared):
            parts = spectrum_in_shares(draft.operator, found.shares, share, NORM)
            found = yield from in_shares(draft, *parts)
        draft.spectrum = found
    else:
        (done,) = yield [norm_job(draft, limits, share)]
        found = draft.took(done)
        if found is not None:
            draft.norm, left_out = found
            draft.left_out.extend(left_out)
            _say_gap(draft, limits, "" if left_out else done.short_of)
    if draft.known.norm is None and not draft.contradicted:
        with draft.step("upper end of the norm"):
            draft.norm = known_norm(draft)


def _say_gap(draft: Draft, limits: Limits, short_of: str) -> None:
    """Say that a search for a norm was ended by a limit."""
    if draft.norm is not None and draft.norm.gap > limits.rtol and short_of:
        draft.left_out.append(
            f"sigma_1 to a relative gap of {draft.norm.gap:.1e} only, the search was "
            f"ended by {limit_words(limits, short_of)}"
        )


def _quantities(draft: Draft, limits: Limits, share: Budget) -> Asked:
    """What sums say, an envelope, and the torus of the same size."""
    if not share.seconds:
        draft.left_out.append(f"no envelope: seconds={limits.time:g} were over")
        return
    if draft.norm is None:
        return
    op = draft.operator
    done = yield quantities_jobs(op, draft.norm.upper, limits, share)
    sums, enveloped, torus = (draft.took(each) for each in done)
    if isinstance(enveloped, Shared):
        tori = envelope_in_shares(op, enveloped.shares, limits, share)
        enveloped = yield from in_shares(draft, *tori)
    if isinstance(torus, Shared):
        parts = spectrum_in_shares(op.circular(), torus.shares, share, QUANTITIES)
        torus = yield from in_shares(draft, *parts)
    if draft.contradicted:
        return
    draft.sums, draft.circular = {**draft.sums, **(sums or {})}, torus
    draft.envelope, left_out = enveloped or (None, ())
    draft.left_out.extend(left_out)
    if draft.envelope is not None:
        with draft.step(QUANTITIES):
            draft.norm = met(
                draft.norm, draft.envelope.norm, "upper end: tori of its size"
            )


def _estimates(draft: Draft, limits: Limits, whole: Budget) -> Asked:
    """What is not enclosed closely, estimated."""
    if whole.seconds_left and draft.known.norm is not None:
        job = None
        with draft.step(ESTIMATES):
            job = estimates_job(draft, limits)
        if job is not None:
            found = draft.took(*(yield [job]))
            if isinstance(found, Shared):
                parts = estimates_in_shares(draft, found.shares, limits)
                found = yield from in_shares(draft, *parts)
            draft.estimates = found or {}
    draft.done(ESTIMATES)


def _followed(draft: Draft) -> bool:
    """Whether what follows from the norm says more of it."""
    norm = draft.norm
    with draft.step("what follows from the norm"):
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

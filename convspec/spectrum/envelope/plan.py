"""What an envelope decomposes: tori, in shares of frequencies, each by itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from convspec.arrays import FloatArray
from convspec.limits import require_bytes
from convspec.operators.normal import normalised
from convspec.operators.operator import ConvOperator
from convspec.operators.reduce import Reduction
from convspec.spectrum.envelope.bands import Band
from convspec.spectrum.envelope.jobs import Job, affordable, torus_jobs, unfolding_job
from convspec.spectrum.envelope.torus import (
    block_count,
    block_values,
    torus_bytes,
    torus_values,
)
from convspec.spectrum.fourier.shares import ends_of_shares
from convspec.spectrum.spectrum import explain
from convspec.tori.relation import KINDS
from convspec.tori.relations import relations

__all__ = ["SOURCES", "EnvelopePlan", "TorusShare"]

SOURCES = ("trivial", *KINDS, "frobenius", "fourier", "krylov", "given")


@dataclass(frozen=True)
class TorusShare:
    """Some frequencies of one torus.

    Attributes:
        torus: Which one of the plan.
        first: The first frequency.
        last: The one behind the last.
    """

    torus: int
    first: int
    last: int


@dataclass(frozen=True)
class EnvelopePlan:
    """What is decomposed for the bounds on an operator, and what they follow from.

    Attributes:
        work: The operator in normal form,
        exponent: which is ``2^-exponent`` times the one that was given.
        reduced: Its axes but those that factor out.
        exact: Whether its spectrum by Fourier is within the limit: there are no tori.
        jobs: The tori, or the unfolded kernel.
        tori: How many of them are tori, and how many there would be without a limit.
        length: Singular values of a group.
    """

    work: ConvOperator
    exponent: int
    reduced: Reduction
    exact: bool
    jobs: tuple[Job, ...]
    tori: tuple[int, int]
    length: int

    @classmethod
    def of(
        cls, op: ConvOperator, phases: int, max_flops: float, max_bytes: int
    ) -> EnvelopePlan:
        """The plan within so many operations.

        Raises:
            TooLargeError: If the values of a torus need more than ``max_bytes``.
        """
        work, exponent = normalised(op, torch.float64)
        reduced = Reduction.of(work)
        outputs = math.prod(read.live.outputs for read in reduced.kept)
        pixels = math.prod(len(read.pixels) for read in reduced.kept)
        channels = reduced.block_channels
        length = min(channels[0] * outputs, channels[1] * pixels)
        exact = explain(work, max_bytes=max_bytes)
        if exact.method == "fourier" and exact.flops <= max_flops:
            return cls(work, exponent, reduced, True, (), (1, 1), length)
        jobs, tori = _tori(reduced, phases, max_flops)
        plan = cls(work, exponent, reduced, False, tuple(jobs), tori, length)
        needed = max((plan._torus_bytes(job) for job in jobs), default=0)
        needed += 120 * (reduced.groups * length + min(work.shape))
        what = f"the envelope of {work}"
        require_bytes(what, needed, max_bytes, "take a smaller input_size")
        return plan

    @property
    def flops(self) -> float:
        """Estimated operations of all tori."""
        return sum(job.flops for job in self.jobs)

    @property
    def shares(self) -> tuple[TorusShare, ...]:
        """All that is decomposed, in shares of about as many operations."""
        found = []
        for number, job in enumerate(self.jobs):
            count = block_count(self.reduced.weight, job.torus, job.turns)
            ends = ends_of_shares(count, job.flops)
            found += [TorusShare(number, *pair) for pair in pairwise(ends)]
        return tuple(found)

    def values_of(self, share: TorusShare) -> FloatArray:
        """Singular values at the frequencies of a share, (frequencies, values)."""
        job, reduced = self.jobs[share.torus], self.reduced
        some = slice(share.first, share.last)
        return block_values(reduced.weight, reduced.groups, job.torus, job.turns, some)

    def band(self, found: Sequence[FloatArray]) -> Band:
        """The bounds that follow from what was decomposed, an array for each share."""
        reduced, shares = self.reduced, self.shares
        band = Band(reduced.groups, self.length)
        for number, job in enumerate(self.jobs):
            own = [
                values
                for share, values in zip(shares, found, strict=True)
                if share.torus == number
            ]
            values, error = torus_values(
                reduced.weight, reduced.groups, job.torus, job.turns, own
            )
            for kind, shift in job.shifts:
                band.include(values, error, shift, SOURCES.index(kind))
        return band.spread(_counts(reduced), min(self.work.shape))

    def _torus_bytes(self, job: Job) -> int:
        return torus_bytes(self.reduced.weight, self.reduced.groups, job.torus)


def _tori(
    reduced: Reduction, phases: int, max_flops: float
) -> tuple[Sequence[Job], tuple[int, int]]:
    """The tori that are taken, or the unfolded kernel; how many, of how many."""
    weight, groups, channels = reduced.weight, reduced.groups, reduced.block_channels
    axes = [relations(read) for read in reduced.kept]
    planned: list[Job] = []
    if axes and phases:
        planned = torus_jobs(axes, phases, channels, weight, groups)
    jobs = affordable(planned, max_flops)
    tori = len(jobs), len(planned)
    if not jobs:
        jobs = affordable([unfolding_job(axes, channels, weight, groups)], max_flops)
    return jobs, tori


def _counts(reduced: Reduction) -> list[int]:
    """Squares of the singular values of the axes that factor out, all products."""
    counts = np.ones(1, dtype=np.int64)
    for axis in reduced.axes:
        if axis.single:
            counts = np.multiply.outer(counts, axis.counts).reshape(-1)
    return [int(count) for count in counts]

"""Which tori an envelope takes, what each says of the operator, and in which order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product

from torch import Tensor

from convspec.spectrum.envelope.bands import Shift
from convspec.spectrum.envelope.torus import Torus, Turns, torus_flops, turns_of
from convspec.tori.relation import KINDS, Relation

__all__ = ["Job", "affordable", "torus_jobs", "unfolding_job"]

Axes = Sequence[dict[str, list[Relation]]]


@dataclass
class Job:
    """A phase-shifted torus to decompose.

    Attributes:
        torus: The torus.
        turns: Its phases.
        flops: Estimated operations.
        shifts: What it says of A, by kind.
    """

    torus: Torus
    turns: Turns
    flops: float
    shifts: list[tuple[str, Shift]] = field(default_factory=list)


def torus_jobs(
    axes: Axes, phases: int, channels: tuple[int, int], weight: Tensor, groups: int
) -> list[Job]:
    """Every torus with ``phases`` phases of each kind, the most telling first.

    Args:
        axes: The relations of each axis.
        phases: How many phases of each torus.
        channels: Output and input channels of a group.
        weight: (c_out, c, *kernel).
        groups: Number of groups.
    """
    jobs: dict[tuple[Torus, Turns], Job] = {}
    worth: dict[tuple[Torus, Turns], tuple[bool, int]] = {}
    for kinds in _combinations(axes):
        chosen = [axis[kind] for axis, kind in zip(axes, kinds, strict=True)]
        torus = _torus(chosen)
        free = tuple(any(r.twisted for r in several) for several in chosen)
        for number, turns in enumerate(turns_of(free, phases, not weight.is_complex())):
            shifts = _shifts(chosen, turns, channels)
            if not shifts:
                continue
            key = torus, turns
            if key not in jobs:
                flops = torus_flops(weight, groups, torus, turns)
                jobs[key] = Job(torus, turns, flops)
            name = "unfolding" if "unfolding" in kinds else kinds[0]
            jobs[key].shifts += [(name, shift) for shift in shifts]
            rank = _is_spare(kinds, axes), number
            worth[key] = min(worth.get(key, rank), rank)
    return [jobs[key] for key in sorted(jobs, key=lambda key: worth[key])]


def unfolding_job(
    axes: Axes, channels: tuple[int, int], weight: Tensor, groups: int
) -> Job:
    """The unfolding of all axes: one small matrix instead of a torus."""
    chosen = [axis["unfolding"] for axis in axes]
    torus, turns = _torus(chosen), turns_of((False,) * len(axes), 1, True)[0]
    shifts = [("unfolding", shift) for shift in _shifts(chosen, turns, channels)]
    return Job(torus, turns, torus_flops(weight, groups, torus, turns), shifts)


def affordable(jobs: Sequence[Job], max_flops: float) -> list[Job]:
    """The jobs, in order, that together stay within ``max_flops``."""
    chosen, spent = [], 0.0
    for job in jobs:
        if spent + job.flops <= max_flops:
            chosen.append(job)
            spent += job.flops
    return chosen


def _combinations(axes: Axes) -> Iterator[tuple[str, ...]]:
    """A kind for each axis: the same for all, or unfolding where pixels are repeated."""
    for kind in KINDS:
        if kind != "unfolding" and all(kind in axis for axis in axes):
            yield (kind,) * len(axes)
    choices = [
        ("compression",) if _is_isometric(axis) else ("compression", "unfolding")
        for axis in axes
    ]
    for kinds in product(*choices):
        if "unfolding" in kinds:
            yield kinds


def _is_isometric(axis: dict[str, list[Relation]]) -> bool:
    """Whether the axis shows no pixel twice, so that unfolding it gains nothing."""
    return max(axis["compression"][0].columns.counts) == 1


def _is_spare(kinds: tuple[str, ...], axes: Axes) -> bool:
    """Whether this seldom says more than the compressions do."""
    isometric = all(_is_isometric(axis) for axis in axes)
    return kinds[0] == "larger" or (isometric and kinds[0] == "perturbation")


def _torus(chosen: Sequence[list[Relation]]) -> Torus:
    first = [several[0] for several in chosen]
    return Torus(
        tuple(relation.frequencies for relation in first),
        tuple(relation.stride for relation in first),
        tuple(relation.lags for relation in first),
    )


def _shifts(
    chosen: Sequence[list[Relation]], turns: Turns, channels: tuple[int, int]
) -> set[Shift]:
    valid = [
        [r for r in several if (r.twisted if turn else r.untwisted)]
        for several, turn in zip(chosen, turns, strict=True)
    ]
    return {
        shift
        for combined in product(*valid)
        for shift in Shift.all_of(combined, *channels)
    }

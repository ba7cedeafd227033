"""Shares of operations and seconds: which stored steps count, and what is stored."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

import convspec as cs
from convspec.report.job import Done, Job
from convspec.report.stored import StoredSteps
from convspec.run.budget import Budget


@pytest.fixture
def steps(tmp_path: Path) -> StoredSteps:
    return StoredSteps.at(tmp_path)


OP = cs.ConvOperator(torch.ones(1, 1, 3), 5)


def is_all(found: float) -> bool:
    return found >= 2.0


def compute(
    op: cs.ConvOperator, share: Budget, result: float, short_of: str, timed_out: bool
) -> float:
    share.short_of, share.timed_out = short_of, timed_out
    return result


def taken(
    steps: StoredSteps,
    flops: float,
    result: float = 1.0,
    short_of: str = "",
    timed_out: bool = False,
) -> tuple[Done[float], bool]:
    """What came of a step, and whether it was computed."""
    given = result, short_of, timed_out
    job = Job("step", OP, (), Budget(flops, 100), compute, given, enough=is_all)
    found = steps.find(job)
    if found is not None:
        return found, False
    done = steps.compute(job)
    steps.keep(job, done)
    return done, True


def test_steps_are_found_as_they_were(steps: StoredSteps) -> None:
    before, _ = taken(steps, 10.0, short_of="operations")
    found, computed = taken(steps, 10.0 * (1 + 1e-12), result=3.0)
    assert not computed
    assert found == before
    assert (found.result, found.short_of) == (1.0, "operations")


def test_a_larger_share_computes_what_more_could_better(steps: StoredSteps) -> None:
    taken(steps, 10.0)
    assert not taken(steps, 5.0)[1]
    assert taken(steps, 20.0, result=2.0)[1]  # all that was asked for
    assert not taken(steps, math.inf)[1]
    assert taken(steps, math.inf)[0].result == 2.0


def test_what_was_short_is_computed_with_more(steps: StoredSteps) -> None:
    taken(steps, 10.0, result=2.0, short_of="operations")
    assert taken(steps, 20.0)[1]


def test_what_seconds_cut_is_not_stored(steps: StoredSteps) -> None:
    assert taken(steps, 10.0, timed_out=True)[1]
    assert taken(steps, 10.0)[1]
    assert not taken(steps, 10.0)[1]

"""Shares of operations and seconds: which stored steps count, and what they leave."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

import convspec as cs
from convspec.report.stored import StoredSteps
from convspec.run.budget import Budget


@pytest.fixture
def steps(tmp_path: Path) -> StoredSteps:
    return StoredSteps.at(tmp_path)


OP = cs.ConvOperator(torch.ones(1, 1, 3), 5)


def taken(
    steps: StoredSteps,
    flops: float,
    spent: float = 5.0,
    result: float = 1.0,
    short_of: str = "",
    timed_out: bool = False,
) -> tuple[float, Budget, bool]:
    """The result of a step, its share behind it, and whether it was computed."""
    share, computed = Budget(flops, 100), steps.computed

    def compute() -> float:
        share.spend(spent)
        share.short_of, share.timed_out = short_of, timed_out
        return result

    found = steps.run("step", OP, (), share, compute, lambda found: found >= 2.0)
    return found, share, steps.computed > computed


def test_shares_are_left_as_the_step_left_them(steps: StoredSteps) -> None:
    taken(steps, 10.0, 7.0, short_of="operations")
    found, share, computed = taken(steps, 10.0 * (1 + 1e-12), spent=1.0)
    assert (found, computed) == (1.0, False)
    assert (share.spent, share.short_of) == (7.0, "operations")


def test_a_larger_share_that_was_spent_leaves_the_others_theirs(
    steps: StoredSteps,
) -> None:
    taken(steps, 100.0, spent=90.0)
    _, share, computed = taken(steps, 10.0)
    assert (share.spent, computed) == (10.0, False)


def test_a_larger_share_computes_what_more_could_better(steps: StoredSteps) -> None:
    taken(steps, 10.0)
    assert not taken(steps, 5.0)[2]
    assert taken(steps, 20.0, result=2.0)[2]  # all that was asked for
    assert not taken(steps, math.inf)[2]
    assert taken(steps, math.inf)[0] == 2.0


def test_what_was_short_is_computed_with_more(steps: StoredSteps) -> None:
    taken(steps, 10.0, result=2.0, short_of="operations")
    assert taken(steps, 20.0)[2]


def test_what_seconds_cut_is_not_stored(steps: StoredSteps) -> None:
    assert taken(steps, 10.0, timed_out=True)[2]
    assert taken(steps, 10.0)[2]
    assert not taken(steps, 10.0)[2]

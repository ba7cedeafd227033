"""What budgets tell of what they were short of."""

from __future__ import annotations

from convspec.run.budget import Budget


def test_seconds_are_told_whatever_was_short_at_first() -> None:
    budget = Budget(10.0, 100, seconds=1e-9)
    assert not budget.allows(11.0)
    assert (budget.short_of, budget.timed_out) == ("operations", False)
    share = budget.divided(2)
    assert not share.allows(1.0)
    assert share.short_of == "seconds"
    budget.take(share)
    assert (budget.short_of, budget.timed_out) == ("operations", True)


def test_seconds_of_operations_are_those_of_the_rate() -> None:
    budget = Budget(10.0, 100, seconds=2.0, rate=5.0)
    assert budget.seconds_of(20.0) == 4.0
    assert (budget.begun().rate, budget.divided(2).rate) == (5.0, 5.0)

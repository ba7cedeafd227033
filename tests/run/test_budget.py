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

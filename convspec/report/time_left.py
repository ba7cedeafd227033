"""How long an analysis will take yet: what steps cost by their laws, and took so far."""

from __future__ import annotations

from collections.abc import Sequence

from convspec.forecast.forecast import readable_seconds
from convspec.isolation import isolated
from convspec.report.draft import ESTIMATES, NORM, QUANTITIES, Draft
from convspec.report.row_cost import analysis_steps

__all__ = ["TimeLeft", "stage_seconds"]

# seconds of work by the laws that count as much as what was measured
PRIOR = 2.0
SHORT = 2.0  # is not worth saying


class TimeLeft:
    """The seconds that are left, as more and more stages of rows are done.

    The laws are of another machine: what is done says how fast this one is.

    Args:
        drafts: The rows.
        effort: How hard to try.
        at_a_time: How many rows are at work at a time.
    """

    def __init__(self, drafts: Sequence[Draft], effort: str, at_a_time: int) -> None:
        self._ahead = {id(draft): stage_seconds(draft, effort) for draft in drafts}
        self._spent = {id(draft): draft.seconds for draft in drafts}
        self._at_a_time = at_a_time
        self._expected = self._taken = PRIOR

    def done(self, draft: Draft, stage: str) -> None:
        """A stage of a row is behind."""
        stages = self._ahead[id(draft)]
        self._expected += stages.pop(stage, 0.0)
        self._taken += draft.seconds - self._spent[id(draft)]
        self._spent[id(draft)] = draft.seconds
        if draft.spectrum is not None:
            stages.clear()

    @property
    def seconds(self) -> float:
        """Wall time that is left, about."""
        rows = [sum(stages.values()) for stages in self._ahead.values()]
        together = max([sum(rows) / self._at_a_time, *rows])
        return together * self._taken / self._expected

    @property
    def words(self) -> str:
        """The same, to be said behind what is at work; empty where it is short."""
        left = self.seconds
        return f", about {readable_seconds(left)} left" if left >= SHORT else ""


@isolated
def stage_seconds(draft: Draft, effort: str) -> dict[str, float]:
    """Seconds of the stages of a row by their laws."""
    exact = draft.beyond is None
    found = analysis_steps(draft.operator, draft.plan, exact, effort)
    steps = {step.name: step.seconds for step in found}
    stages = {name: steps.pop(name) for name in (QUANTITIES, ESTIMATES) if name in steps}
    return {NORM: sum(steps.values()), **stages}

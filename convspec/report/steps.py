"""How the steps of an analysis are taken: computed, or found where they were stored."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from convspec.operators.operator import ConvOperator
from convspec.run.budget import Budget
from convspec.run.prompt import computed

__all__ = ["Steps", "never"]

Result = TypeVar("Result")


def never(result: object) -> bool:
    """False."""
    return False


class Steps:
    """Every step is computed."""

    def run(
        self,
        name: str,
        op: ConvOperator,
        inputs: tuple[object, ...],
        share: Budget,
        compute: Callable[[], Result],
        enough: Callable[[Result], bool] = never,
    ) -> Result:
        """The result of a step.

        Args:
            name: What the step is called.
            op: The operator that it is about.
            inputs: All else that the result depends on, but for operations and seconds:
                settings, and what is known before it.
            share: What the step may spend, and where it counts it.
            compute: The step.
            enough: Whether a result is all that was asked for, so that more operations
                would not better it.
        """
        return computed(compute)

    def clock(self) -> float:
        """Seconds, of which differences are how long steps took to compute."""
        return time.perf_counter()

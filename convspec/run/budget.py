"""What a computation may spend: operations, bytes, and if the user wishes seconds."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

__all__ = ["SLOW", "Budget"]

# operations a second of a core, as they are estimated all over
SLOW = 2e10


@dataclass
class Budget:
    """Operations, bytes and seconds of one call, passed down and counted where spent.

    Operations are estimated before they are spent, so that what a call computes is the
    same on every machine, busy or not. Seconds are for those who cannot wait: what they
    cut depends on the machine, and a result says so.

    Attributes:
        flops: Operations, about.
        bytes: Held at a time.
        seconds: Wall time, about; inf for none.
        rate: Operations a second, where seconds are limited; of a slow core unless told.
        spent: Operations so far.
        short_of: What was not enough at first: ``"operations"``, ``"seconds"``,
            ``"memory"``; empty as long as all was allowed.
        timed_out: Whether seconds were ever what was not enough, at first or later.

    >>> budget = Budget(1000.0, 2**20)
    >>> budget.spend(400)
    >>> budget.left, budget.allows(700), budget.short_of
    (600.0, False, 'operations')
    """

    flops: float
    bytes: int
    seconds: float = math.inf
    rate: float = SLOW
    spent: float = 0.0
    short_of: str = ""
    timed_out: bool = False
    _start: float = field(default_factory=time.perf_counter, repr=False)

    @property
    def left(self) -> float:
        """Operations not yet spent."""
        return self.flops - self.spent

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.perf_counter() - self._start

    @property
    def seconds_left(self) -> float:
        """Seconds until they are over; inf if they never are."""
        return max(0.0, self.seconds - self.elapsed)

    def seconds_of(self, flops: float) -> float:
        """What so many operations take, about."""
        return flops / self.rate

    def spend(self, flops: float) -> None:
        """Count operations."""
        self.spent += flops

    def begun(self) -> Budget:
        """The same, of which nothing is spent, and whose seconds begin now."""
        return Budget(self.flops, self.bytes, self.seconds, self.rate)

    def part(self, share: float) -> float:
        """A share of the operations that are left."""
        return share * self.left

    def divided(self, tasks: int) -> Budget:
        """The share of the next of so many tasks in what is left.

        Cheap tasks first take less than that, and dear ones get the rest.

        >>> budget = Budget(300.0, 2**20)
        >>> share = budget.divided(3)
        >>> share.spend(20.0)
        >>> budget.take(share)
        >>> share.flops, budget.divided(2).flops
        (100.0, 140.0)
        """
        seconds = self.seconds_left / tasks
        return Budget(max(0.0, self.left) / tasks, self.bytes, seconds, self.rate)

    def take(self, share: Budget) -> None:
        """Count what a share has spent, and what it ran out of."""
        self.spend(share.spent)
        self.short_of = self.short_of or share.short_of
        self.timed_out = self.timed_out or share.timed_out

    def allows(self, flops: float = 0.0, held: float = 0.0, seconds: float = 0.0) -> bool:
        """Whether so many operations more, bytes and seconds are within it."""
        short = ""
        if held > self.bytes:
            short = "memory"
        elif flops > self.left:
            short = "operations"
        elif self.seconds < math.inf and self.elapsed + seconds > self.seconds:
            short = "seconds"
        self.short_of = self.short_of or short
        self.timed_out = self.timed_out or short == "seconds"
        return not short

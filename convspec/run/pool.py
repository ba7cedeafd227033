"""What many tasks may spend together: each its share, and what others leave."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from convspec.run.budget import Budget

__all__ = ["Pool"]


@dataclass
class Pool:
    """Operations and seconds for a number of tasks, the cheapest taken first.

    Each task may take what is left, divided by how many tasks are left: cheap ones take
    less than their share, and dear ones get the rest.

    Attributes:
        flops: Operations that are left.
        bytes: Held at a time, by each.
        tasks: How many are left.
        seconds: Wall time of all of them together; inf for none.

    >>> pool = Pool(300.0, 2**20, tasks=3)
    >>> budget = pool.share()
    >>> budget.flops
    100.0
    >>> budget.spend(20.0)
    >>> pool.take_back(budget)
    >>> pool.share().flops
    140.0
    """

    flops: float
    bytes: int
    tasks: int
    seconds: float = math.inf
    _start: float = field(default_factory=time.perf_counter, repr=False)

    @property
    def time_left(self) -> float:
        """Seconds that are left, at least 0; inf where there is no limit."""
        return max(0.0, self.seconds - (time.perf_counter() - self._start))

    def share(self) -> Budget:
        """The budget of the next task."""
        tasks = max(1, self.tasks)
        return Budget(self.flops / tasks, self.bytes, self.time_left / tasks)

    def take_back(self, budget: Budget) -> None:
        """A task is done; what it did not spend is left for others."""
        self.flops = max(0.0, self.flops - budget.spent)
        self.tasks -= 1

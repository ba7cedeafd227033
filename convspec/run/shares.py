"""What each of several tasks may spend, operations fixed before any of them begins."""

from __future__ import annotations

import math
from collections.abc import Sequence

from convspec.run.budget import SLOW, Budget

__all__ = ["Shares"]


class Shares:
    """Operations for each task, and seconds until all of them are to be done.

    A task that is expected to take less than its part leaves the rest to those that are
    expected to take more; what it spends in fact changes nothing for the others, so that
    they may run at a time, in any order, and with the same results.

    Args:
        expected: Operations that each task takes, about, ascending.
        flops: For all tasks together.
        held: Bytes that each may hold.
        seconds: Until when, from now on; inf for no limit.
        workers: How many tasks run at a time.
        rate: Operations a second, where seconds are limited.
        times: Seconds that each task takes by what is known of others like it, where they
            are limited: one that takes a good part of all has as large a part of them.

    >>> shares = Shares([10.0, 100.0, 1000.0], 300.0, 2**20)
    >>> [shares.of(place).flops for place in range(3)]
    [100.0, 145.0, 190.0]
    """

    def __init__(
        self,
        expected: Sequence[float],
        flops: float,
        held: int,
        seconds: float = math.inf,
        workers: int = 1,
        rate: float = SLOW,
        times: Sequence[float] = (),
    ) -> None:
        self._flops: list[float] = []
        self._whole, self._workers = Budget(flops, held, seconds, rate), workers
        self._ahead, self._times = len(expected), list(times) or [0.0] * len(expected)
        for place, each in enumerate(expected):
            share = max(0.0, flops) / (len(expected) - place)
            self._flops.append(share)
            flops -= min(each, share)

    def of(self, place: int) -> Budget:
        """The share of a task that begins now, of seconds too."""
        ahead, time = sum(self._times), self._times[place]
        even = 1 / max(1, self._ahead)
        part = min(1.0, self._workers * max(even, time / ahead if ahead else 0.0))
        self._ahead, self._times[place] = self._ahead - 1, 0.0
        whole = self._whole
        seconds = part * whole.seconds_left
        return Budget(self._flops[place], whole.bytes, seconds, whole.rate)

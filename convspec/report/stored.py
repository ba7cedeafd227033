"""Steps of an analysis that are stored as they are done, and found again."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from convspec.bounds import WorstCase
from convspec.cache import Codec, Store, entry_key, operator_digest
from convspec.operators.operator import ConvOperator
from convspec.quantity.bound import Bound
from convspec.quantity.enclosure import Enclosure
from convspec.report.kernel_norms import KernelNorms
from convspec.report.others import Others
from convspec.report.steps import Steps, never
from convspec.run.budget import Budget
from convspec.run.prompt import computed
from convspec.spectrum import Envelope, Spectrum
from convspec.spectrum.sums.estimates import Estimated

__all__ = ["Entry", "StoredSteps"]

Result = TypeVar("Result")

# shares of operations that differ by less are the same
SAME = 1e-9


@dataclass(frozen=True)
class Entry:
    """What is stored of a step.

    Attributes:
        result: Its result.
        seconds: That it took.
        flops: That it could spend.
        spent: Operations that it spent.
        short_of: What its share was short of.
    """

    result: object
    seconds: float
    flops: float
    spent: float
    short_of: str


CLASSES = (
    Bound,
    Enclosure,
    Entry,
    Envelope,
    Estimated,
    KernelNorms,
    Others,
    Spectrum,
    WorstCase,
)


@dataclass
class StoredSteps(Steps):
    """Steps are looked up in a folder; those that are not there are computed and stored.

    An entry is of one operator, the settings and what was known before the step. The
    share of operations that a step has depends on what other layers left: an entry counts
    if it had as large a share, or if its result is all that was asked for. What seconds
    cut is not stored.

    Attributes:
        store: The entries.
        found: How many steps were found.
        computed: How many were not.
    """

    store: Store
    found: int = 0
    computed: int = 0
    _earlier: float = 0.0
    _digests: dict[int, tuple[ConvOperator, str]] = field(default_factory=dict)

    @classmethod
    def at(cls, folder: str | os.PathLike[str]) -> StoredSteps:
        """Those of a folder.

        Raises:
            OSError: If it is a file, cannot be made, or cannot be written to.
        """
        return cls(Store.at(folder, Codec(CLASSES)))

    def run(
        self,
        name: str,
        op: ConvOperator,
        inputs: tuple[object, ...],
        share: Budget,
        compute: Callable[[], Result],
        enough: Callable[[Result], bool] = never,
    ) -> Result:
        """The result of a step, see :meth:`Steps.run`."""
        key = entry_key(name, self._digest(op), inputs, self.store.codec)
        entry = self.store.read(key)
        if isinstance(entry, Entry):
            result: Result = entry.result  # type: ignore[assignment]
            large = entry.flops >= share.flops * (1 - SAME)
            if large or (not entry.short_of and enough(result)):
                self._restore(entry, share)
                return result
        return self._compute(key, share, compute)

    def clock(self) -> float:
        """Seconds, to which those count that steps took when they were computed."""
        return time.perf_counter() + self._earlier

    def _digest(self, op: ConvOperator) -> str:
        """The digest of an operator, which is kept so that its number stays its own."""
        if id(op) not in self._digests:
            self._digests[id(op)] = op, operator_digest(op)
        return self._digests[id(op)][1]

    def _restore(self, entry: Entry, share: Budget) -> None:
        """Leave a share as the step left it, of a smaller one no less than nothing."""
        larger = entry.flops * (1 - SAME) > share.flops
        share.spend(min(entry.spent, max(0.0, share.left)) if larger else entry.spent)
        share.short_of = share.short_of or entry.short_of
        self._earlier += entry.seconds
        self.found += 1

    def _compute(self, key: str, share: Budget, compute: Callable[[], Result]) -> Result:
        spent, start = share.spent, time.perf_counter()
        result = computed(compute)
        seconds = time.perf_counter() - start
        self.computed += 1
        if not share.timed_out:
            spent = share.spent - spent
            entry = Entry(result, seconds, share.flops, spent, share.short_of)
            self.store.write(key, entry)
        return result

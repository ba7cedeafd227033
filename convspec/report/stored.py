"""Steps of an analysis that are stored as they are done, and found again."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from convspec.bounds import WorstCase
from convspec.cache import Codec, Store, entry_key, operator_digest
from convspec.operators.operator import ConvOperator
from convspec.quantity.bound import Bound
from convspec.quantity.enclosure import Enclosure
from convspec.report.enclose import Shared
from convspec.report.job import Done, Job, Steps
from convspec.report.kernel_norms import KernelNorms
from convspec.spectrum import Envelope, Spectrum
from convspec.spectrum.sums.estimates import Estimated

__all__ = ["Entry", "StoredSteps"]

# shares of operations that differ by less are the same
SAME = 1e-9


@dataclass(frozen=True)
class Entry:
    """What is stored of a step.

    Attributes:
        result: Its result.
        seconds: That it took.
        flops: That it could spend.
        short_of: What its share was short of.
    """

    result: object
    seconds: float
    flops: float
    short_of: str


CLASSES = (
    Bound,
    Enclosure,
    Entry,
    Envelope,
    Estimated,
    KernelNorms,
    Shared,
    Spectrum,
    WorstCase,
)


@dataclass
class StoredSteps(Steps):
    """Steps are looked up in a folder; those that are not there are computed and stored.

    An entry is of one operator, the settings and what was known before the step. The
    share of operations that a step has depends on the other layers: an entry counts if it
    had as large a share, or if its result is all that was asked for. What seconds cut, or
    what failed, is not stored.

    Attributes:
        store: The entries.
        found: How many steps were found.
        computed: How many were not.
    """

    store: Store
    found: int = 0
    computed: int = 0
    _digests: dict[int, tuple[ConvOperator, str]] = field(default_factory=dict)

    @classmethod
    def at(cls, folder: str | os.PathLike[str]) -> StoredSteps:
        """Those of a folder.

        Raises:
            OSError: If it is a file, cannot be made, or cannot be written to.
        """
        return cls(Store.at(folder, Codec(CLASSES)))

    def find(self, job: Job[Any]) -> Done[Any] | None:
        """What came of a step before, if it counts; its seconds are those of then."""
        entry = self.store.read(self._key(job))
        if not isinstance(entry, Entry):
            return None
        large = entry.flops >= job.share.flops * (1 - SAME)
        if not large and (entry.short_of or not job.enough(entry.result)):
            return None
        self.found += 1
        return Done(entry.result, None, entry.seconds, entry.short_of)

    def keep(self, job: Job[Any], done: Done[Any]) -> None:
        """Store what came of a step."""
        self.computed += 1
        if done.failure is None and not done.timed_out:
            entry = Entry(done.result, done.seconds, job.share.flops, done.short_of)
            self.store.write(self._key(job), entry)

    def _key(self, job: Job[Any]) -> str:
        """The key of a step; the operator is kept so that its number stays its own."""
        op = job.operator
        if id(op) not in self._digests:
            self._digests[id(op)] = op, operator_digest(op)
        digest = self._digests[id(op)][1]
        return entry_key(job.name, digest, job.inputs, self.store.codec)

"""What ended a step of a row, where it was neither a limit nor the user: in one line."""

from __future__ import annotations

import pickle
import traceback
from dataclasses import dataclass

import torch

from convspec.errors import ConvSpecError

__all__ = ["Failure"]

LONGEST = 160  # of what an exception says
# how torch says on a CPU that memory was short: in a RuntimeError
SHORT_OF_MEMORY = ("allocate memory", "out of memory")


@dataclass(frozen=True)
class Failure:
    """A step that raised.

    Attributes:
        step: What it was to find.
        error: What it raised, with its traceback; what the frames held is let go.
    """

    step: str
    error: Exception

    @classmethod
    def of(cls, step: str, error: Exception) -> Failure:
        """The failure of a step: without the arrays that it was at work on."""
        seen: set[int] = set()
        links: list[BaseException | None] = [error]
        while links:
            link = links.pop()
            if link is not None and id(link) not in seen:
                seen.add(id(link))
                traceback.clear_frames(link.__traceback__)
                links += [link.__cause__, link.__context__]
        return cls(step, error)

    def __reduce__(self) -> tuple[type[Failure], tuple[str, Exception]]:
        """Pickled without its traceback, and as words where the error cannot be."""
        try:
            pickle.loads(pickle.dumps(self.error))
        except Exception:
            name = type(self.error).__qualname__
            return Failure, (self.step, RuntimeError(f"{name}: {self.error}"))
        return Failure, (self.step, self.error)

    @property
    def words(self) -> str:
        """The step and the exception; of a mistake in here a plea to report it."""
        lines = traceback.format_exception_only(self.error)
        what = " ".join(" ".join(lines).split())
        if len(what) > LONGEST:
            what = f"{what[: LONGEST - 3]}..."
        plea = "" if self._is_expected else "; please report it"
        return f"{self.step} failed: {what}{plea}"

    @property
    def _is_expected(self) -> bool:
        """Whether memory was short, or the error is one that is raised on purpose."""
        expected = ConvSpecError, MemoryError, torch.OutOfMemoryError
        if isinstance(self.error, expected):
            return True
        said = str(self.error).lower() if isinstance(self.error, RuntimeError) else ""
        return any(words in said for words in SHORT_OF_MEMORY)

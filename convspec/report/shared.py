"""What takes so long that it is taken in shares, steps of their own, and joined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from convspec.arrays import FloatArray
from convspec.report.draft import Draft
from convspec.report.job import Asking, Job
from convspec.report.steps import Join

__all__ = ["in_shares"]

Found = TypeVar("Found")


def in_shares(
    draft: Draft, parts: Sequence[Job[FloatArray]], join: Join[Found]
) -> Asking[Found | None]:
    """What follows from all shares of something; None if one of them failed.

    Args:
        draft: The row.
        parts: The shares.
        join: Makes the step that joins what came of them.
    """
    found = [draft.took(each) for each in (yield parts)]
    values = [each for each in found if each is not None]
    if len(values) < len(parts):
        return None
    return draft.took(*(yield [join(values)]))

"""The least of several upper bounds on one norm.

An operator may be read in several ways, on an endless line and on circles, with a symbol
and a factor each (:mod:`convspec.tori.places`); every way bounds the norm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from torch import Tensor

__all__ = ["Candidate", "least"]


@dataclass(frozen=True)
class Candidate:
    """A bound on the norm by one setting, of which the least is taken.

    Attributes:
        upper: The bound, rounded up.
        words: What it assumes.
        value: The bound as computed, differentiable; worked out for the least alone.
    """

    upper: float
    words: str
    value: Callable[[], Tensor]


def least(candidates: Iterable[Candidate]) -> Candidate:
    """The candidate of the least upper end; of equal ones the first.

    >>> import torch
    >>> one, two = (Candidate(x, str(x), lambda: torch.zeros(())) for x in (2.0, 1.0))
    >>> least([one, two]).words
    '1.0'
    """
    return min(candidates, key=lambda candidate: candidate.upper)

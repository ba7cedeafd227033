"""What a report says of a layer's spectrum: each quantity, exact or enclosed.

To report another one, add it here: dictionaries, JSON, CSV and data frames follow. The
columns of the printed table are chosen in :mod:`convspec.report.text`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from convspec.spectrum import Envelope, Spectrum

__all__ = ["NORM", "QUANTITIES", "Quantity"]

NORM = "norm"


@dataclass(frozen=True)
class Quantity:
    """A number that a spectrum has, and bounds on it that an envelope has.

    Attributes:
        name: Its key.
        exact: The number, from all singular values.
        enclosed: Lower and upper bound, from bounds on all of them.
    """

    name: str
    exact: Callable[[Spectrum], float]
    enclosed: Callable[[Envelope], tuple[float, float]]


QUANTITIES = (
    Quantity(NORM, lambda s: s.norm, lambda e: e.norm),
    Quantity("smallest", lambda s: float(s.values[-1]), lambda e: e.smallest),
    Quantity("rank", lambda s: s.rank(), lambda e: e.rank()),
    Quantity("nullity", lambda s: s.nullity(), lambda e: e.nullity()),
    Quantity(
        "condition_number", lambda s: s.condition_number, lambda e: e.condition_number
    ),
    Quantity("stable_rank", lambda s: s.stable_rank, lambda e: e.stable_rank),
    Quantity("effective_rank", lambda s: s.effective_rank, lambda e: e.effective_rank),
    Quantity(
        "participation_ratio",
        lambda s: s.participation_ratio,
        lambda e: e.participation_ratio,
    ),
    Quantity("nuclear_norm", lambda s: s.nuclear_norm, lambda e: e.nuclear_norm),
    Quantity("schatten_4", lambda s: s.schatten(4), lambda e: e.schatten(4)),
    Quantity("log_volume", lambda s: s.log_volume, lambda e: e.log_volume),
)

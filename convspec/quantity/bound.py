"""What every bound returns: an enclosure of sigma_1, with its name and its reasons."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from torch import Tensor

from convspec.isolation import isolated_class
from convspec.quantity.decimals import rounded_down, rounded_up
from convspec.quantity.enclosure import Enclosure

__all__ = ["GUARANTEES", "Bound"]

DIGITS = 7
GUARANTEES = ("certified", "probabilistic", "estimate")


@isolated_class
@dataclass(frozen=True, repr=False)
class Bound(Enclosure):
    """``lower <= sigma_1 <= upper``; one-sided bounds leave the other end at 0 or inf.

    Attributes:
        lower: Lower end, float64.
        upper: Upper end, float64.
        name: Of the inequality or its authors.
        assumptions: What must hold of the operator for this to be true, in words.
        reference: Author, year, theorem.
        guarantee: ``"certified"`` if both ends hold whatever rounding did;
            ``"probabilistic"`` if an end holds with the probability stated in
            ``assumptions``; ``"estimate"`` if nothing is promised.
        value: The bound before it was rounded to the safe side, as a 0-dim tensor that
            is differentiable in the weight; None where there is no such form.

    >>> bound = Bound(1.0, 3.0, "example", "any operator", "no one, 2020")
    >>> bound.width, bound.gap, 2.0 in bound, 4.0 in bound
    (2.0, 2.0, True, False)
    """

    lower: float
    upper: float
    name: str
    assumptions: str
    reference: str
    guarantee: str = "certified"
    value: Tensor | None = field(default=None, repr=False, compare=False)

    def __repr__(self) -> str:
        lower = rounded_down(self.lower, DIGITS)
        ends = f"{lower} ... {rounded_up(self.upper, DIGITS)}"
        if self.upper == math.inf:
            ends = f">= {lower}"
        elif self.lower == 0:
            ends = f"<= {rounded_up(self.upper, DIGITS)}"
        return f"<{self.name}: {ends}, {self.guarantee}>"

    def __post_init__(self) -> None:
        if not 0 <= self.lower <= self.upper:
            raise ValueError(
                f"a bound must have 0 <= lower <= upper; {self.name} got "
                f"[{self.lower}, {self.upper}]"
            )
        if self.guarantee not in GUARANTEES:
            raise ValueError(
                f"guarantee must be one of {', '.join(GUARANTEES)}; "
                f"got {self.guarantee!r}"
            )

"""Frame bounds, and what they say of a filter bank."""

from __future__ import annotations

import math
from dataclasses import dataclass

from convspec.isolation import isolated_class
from convspec.quantity.decimals import rounded_down, rounded_up
from convspec.quantity.enclosure import Enclosure

__all__ = ["FrameBounds"]


@isolated_class
@dataclass(frozen=True, repr=False)
class FrameBounds:
    """``a ||x||^2 <= ||A x||^2 <= b ||x||^2`` for all x, with the best a and b.

    Attributes:
        lower: Encloses a, the square of the n-th singular value of A, n the length of x:
            0 where the atoms do not span all signals.
        upper: Encloses b, the square of the largest singular value.
        redundancy: m / n, coefficients for each sample of the signal.
        assumptions: For which signals, and how they were found.
        rtol: Relative difference up to which two numbers count as the same: two thirds of
            the digits of the filters' dtype, or what the ends were found to, if coarser.

    Example:
        >>> import torch, convspec as cs
        >>> haar = torch.tensor([[[1.0, 1.0]], [[1.0, -1.0]]], dtype=torch.float64)
        >>> found = cs.frame_bounds(cs.ConvOperator(haar, 8, stride=2))
        >>> 2.0 in found.lower, 2.0 in found.upper, found.tight, found.parseval
        (True, True, True, False)
    """

    lower: Enclosure
    upper: Enclosure
    redundancy: float
    assumptions: str
    rtol: float

    @property
    def ratio(self) -> Enclosure:
        """``b / a``, the square of the condition number; up to inf."""
        lower, upper = self.upper / self.lower
        return Enclosure(max(1.0, lower), max(1.0, upper))

    @property
    def tight(self) -> bool:
        """Whether a = b up to ``rtol``: ``||A x||`` is a constant times ``||x||``."""
        return self.ratio.upper <= 1 + self.rtol

    @property
    def parseval(self) -> bool:
        """Whether a = b = 1 up to ``rtol``: ``||A x|| = ||x||``."""
        least, most = 1 - self.rtol, 1 + self.rtol
        return self.lower.lower >= least and self.upper.upper <= most

    @property
    def frame(self) -> bool | None:
        """Whether a > 0, so that every x can be had back; None where it is not known."""
        if self.lower.lower > 0:
            return True
        return False if self.lower.upper == 0 else None

    def __repr__(self) -> str:
        words = "Parseval, " if self.parseval else "tight, " if self.tight else ""
        ends = " ... ".join(map(_shown, (self.lower, self.upper)))
        return f"<FrameBounds: {ends}, {words}redundancy {self.redundancy:.4g}>"


def _shown(end: Enclosure) -> str:
    """A bound in a few digits; in brackets where these differ."""
    if end.upper == math.inf:
        return str(end)
    least, most = rounded_down(end.lower, 6), rounded_up(end.upper, 6)
    middle = f"{end.lower + end.width / 2:.6g}"
    return middle if end.width <= 1e-6 * end.upper else f"[{least}, {most}]"

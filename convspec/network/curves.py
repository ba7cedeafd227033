"""Functions of entries whose slopes are bounded on bounded intervals alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from convspec.network.ranges import Range

__all__ = ["CURVES", "Curve"]

Function = Callable[[Tensor, float], Tensor]


@dataclass(frozen=True)
class Curve:
    """A function and its derivative, both monotone on each side of 0.

    Attributes:
        value: Of x and the order, which powers have.
        slope: Likewise, the derivative.
        above: Where both are defined: ``x > above``; None for all x, ``"not 0"`` for all
            but 0.
    """

    value: Function
    slope: Function
    above: float | str | None = None

    def range(self, given: Range, order: float) -> Range:
        """Of the values on a range; infinite where one is not defined."""
        return self._hull(self.value, given, order)

    def slopes(self, given: Range, order: float) -> Range:
        """Of the derivatives."""
        return self._hull(self.slope, given, order)

    def _hull(self, function: Function, given: Range, order: float) -> Range:
        """Between the values at the ends, and at 0 if that is inside."""
        low, high = given.low, given.high
        ends = [function(low, order), function(high, order)]
        inside = (low < 0) & (high > 0)
        if self.above is None:
            zero = function(torch.zeros_like(low), order)
            ends.append(torch.where(inside, zero, ends[0]))
        stacked = torch.stack(ends)
        found = type(given)(stacked.amin(0), stacked.amax(0)).enlarged()
        if self.above is None:
            return found
        lost = inside | (low == 0) | (high == 0)
        if not isinstance(self.above, str):
            lost = low <= self.above
        none = torch.full_like(low, float("inf"))
        return type(given)(
            torch.where(lost, -none, found.low), torch.where(lost, none, found.high)
        )


def _power(x: Tensor, order: float) -> Tensor:
    return x**order


def _power_slope(x: Tensor, order: float) -> Tensor:
    return order * x ** (order - 1)


CURVES: dict[str, Curve] = {
    "exp": Curve(lambda x, _: x.exp(), lambda x, _: x.exp()),
    "expm1": Curve(lambda x, _: x.expm1(), lambda x, _: x.exp()),
    "log": Curve(lambda x, _: x.log(), lambda x, _: 1 / x, 0.0),
    "log1p": Curve(lambda x, _: x.log1p(), lambda x, _: 1 / (1 + x), -1.0),
    "sqrt": Curve(lambda x, _: x.sqrt(), lambda x, _: 0.5 / x.sqrt(), 0.0),
    "rsqrt": Curve(lambda x, _: x.rsqrt(), lambda x, _: -0.5 * x**-1.5, 0.0),
    "reciprocal": Curve(lambda x, _: 1 / x, lambda x, _: -1 / x**2, "not 0"),
    "square": Curve(lambda x, _: x**2, lambda x, _: 2 * x),
    # of whole orders from 2 on
    "pow": Curve(_power, _power_slope),
    "root": Curve(_power, _power_slope, 0.0),
    "inverse": Curve(_power, _power_slope, "not 0"),
}

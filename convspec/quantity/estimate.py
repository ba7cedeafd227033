"""A random estimate with its errors, and the control variate that lowers them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from convspec.arrays import FloatArray
from convspec.isolation import isolated_class

__all__ = ["Estimate", "less_control", "standard_error"]

Value = TypeVar("Value", float, FloatArray)


@isolated_class
@dataclass(frozen=True, eq=False)
class Estimate(Generic[Value]):
    """A number, or an array of them, with its standard error over the probes.

    Attributes:
        value: The estimate.
        standard_error: Of the estimate, like it; 0 where nothing is random.
        quadrature_error: Bound on the error of the probes' rules, which more probes do
            not lower but more steps do; None where no bound is known.

    Example:
        >>> from convspec import Estimate
        >>> Estimate(1193.62, 5.21, 0.0)
        1193.6 +- 5.2
    """

    value: Value
    standard_error: Value
    quadrature_error: Value | None = None

    def __repr__(self) -> str:
        values = np.ravel(self.value)
        errors = np.ravel(self.standard_error)
        pairs: list[str] = [
            _readable(float(value), float(error))
            for value, error in zip(values, errors, strict=True)
        ]
        if np.ndim(self.value) == 0:
            return pairs[0]
        shown = pairs if len(pairs) <= 4 else [*pairs[:2], "...", pairs[-1]]
        return f"<{len(pairs)} estimates: {', '.join(shown)}>"


def standard_error(values: FloatArray) -> FloatArray:
    """Of the mean over the first axis; 0 for a single row."""
    if len(values) == 1:
        return np.zeros(values.shape[1:])
    error: FloatArray = np.std(values, axis=0, ddof=1) / math.sqrt(len(values))
    return error


def less_control(values: FloatArray, excess: FloatArray) -> FloatArray:
    """Each probe's values less their regression on a number known to have mean 0.

    ``y_i - b_i x_i`` with b_i the slope of y on x over the other probes. As b_i and x_i
    are independent, the mean is that of y.

    Args:
        values: y, (probes, points).
        excess: x, (probes,).
    """
    count = len(excess)
    dx, dy = excess - excess.mean(), values - values.mean(axis=0)
    # leaving out a pair takes n / (n - 1) times its own product from the centred sums
    own = count / (count - 1)
    products = dx @ dy - own * dx[:, None] * dy
    squares = (dx @ dx - own * dx**2)[:, None]
    slopes = np.divide(products, squares, out=np.zeros_like(products), where=squares > 0)
    controlled: FloatArray = values - excess[:, None] * slopes
    return controlled


def _readable(value: float, error: float) -> str:
    """Value and error to the error's two leading digits."""
    if not (math.isfinite(value) and math.isfinite(error)) or error <= 0:
        return f"{value:.10g} +- {error:.2g}"
    digits = 1 - math.floor(math.log10(error))
    if -3 < digits < 10:
        shown = max(0, digits)
        return f"{round(value, digits):.{shown}f} +- {round(error, digits):.{shown}f}"
    significant = max(1, digits + 1 + math.floor(math.log10(abs(value) or error)))
    return f"{value:.{min(significant, 17)}g} +- {error:.2g}"

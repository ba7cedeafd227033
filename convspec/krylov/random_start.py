"""How likely a random start hides the largest eigenvalue: probabilities, not estimates.

B is Hermitian and positive semidefinite of order N with largest eigenvalue ``lambda_1``
and eigenvector ``u_1``, x is uniform on the unit sphere, and ``x_1 = <u_1, x>``. All
rests on

    P(|x_1| <= a)  <=  a sqrt(2 N / pi).

Several independent starts fail together with the product of their probabilities.
"""

from __future__ import annotations

import math
from collections.abc import Callable

__all__ = ["lanczos_excess", "power_excess"]


def power_excess(order: int, power: int, failure: float, rounding: float) -> float:
    """``theta`` with ``P(lambda_1 > theta (x^H B^q x)^(1/q)) <= failure``; inf for none.

    ``x^H B^q x >= lambda_1^q |x_1|^2``, so that the event needs ``|x_1|^2 < theta^-q``; a
    rounding of ``rounding lambda_1^q`` in ``x^H B^q x`` adds as much.

    Source: Dixon, "Estimating extremal eigenvalues and condition numbers of matrices",
    SIAM J. Numer. Anal. 20, 1983.
    """
    # less than exactly, also where the two nearly cancel
    square = failure**2 * math.pi / (2 * order) * (1 - 1e-12) - rounding * (1 + 1e-12)
    return square ** (-1 / power) * (1 + 1e-12) if square > 0 else math.inf


def lanczos_excess(order: int, steps: int, failure: float, rounding: float) -> float:
    """``1 + delta`` with ``P(lambda_1 > (1 + delta) theta) <= failure``; inf for none.

    theta is the largest Rayleigh quotient over the Krylov space ``x, B x, ..., B^(q-1)
    x``. With ``p(B) x = T_(q-1)(2 B / theta - 1) x`` in it, ``|p| <= 1`` below theta and
    ``T = T_(q-1)(1 + 2 delta)`` at ``lambda_1 = (1 + delta) theta``, the quotient of that
    vector is at most theta only if ``sqrt(delta) T |x_1| <= 1``. If the space holds that
    vector up to ``rounding T`` only, then only if ``|x_1| <= 1 / (T sqrt(delta)) +
    rounding (1 + 1 / sqrt(delta))``.

    Source: after Kuczynski and Wozniakowski, "Estimating the largest eigenvalue by the
    power and Lanczos algorithms with a random start", SIAM J. Matrix Anal. Appl. 13,
    1992, who bound the mean and the distribution of the relative error before it is
    computed.
    """
    scale = math.sqrt(2 * order / math.pi)

    def fails(delta: float) -> float:
        angle = 2 * (steps - 1) * math.asinh(math.sqrt(delta))
        wave = math.cosh(min(angle, 700.0))
        hidden = 1 / (wave * math.sqrt(delta)) + rounding * (1 + 1 / math.sqrt(delta))
        return scale * hidden

    return 1 + _least(lambda delta: fails(delta) <= failure)


def _least(holds: Callable[[float], bool]) -> float:
    """Nearly the least number for which a property that goes on holding holds; or inf."""
    low, high = 1e-16, 1e16
    if not holds(high):
        return math.inf
    while high > low * (1 + 1e-9):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high

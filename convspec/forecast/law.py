"""The law of a step: the logarithm of its cost as a quadratic in features, fitted.

``python -m benchmarks forecast --fit`` measures steps of drawn layers on one thread, and
writes what it finds to ``laws.json``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from functools import cache
from itertools import combinations_with_replacement

import numpy as np

from convspec.arrays import FloatArray
from convspec.forecast.features import Features
from convspec.forecast.measured import measured_laws

__all__ = ["ANY", "Law", "law_of", "terms"]

ANY = "any"  # effort, where it makes no difference
# of which products are terms, too, and about what value
MIDDLES = {
    "side": 3.0,
    "aspect": 1.0,
    "groups": 1.0,
    "frequencies": 6.0,
    "taps": 2.0,
    "phases": 0.5,
    "spike": 0.3,
    "direct": 0.3,
}
FLAGS = ("line", "space", "repeats")
# 2e10 operations, as an analysis spends on tori; large products; a long plan
TORUS, READS, PLANNED = 23.7, 20.0, 18.0
# laws bend where a step begins to cost more than a call, and where its budget ends
TORUS_BENDS, READS_BENDS, PLANNED_BENDS = (-4.0, 0.0, 2.0), (0.0,), (0.0, 3.0, 6.0)
LENGTH = 3.0  # of features, which are logarithms of up to 1e6


def terms(features: Features) -> FloatArray:
    """What a law weighs: features, their products, and how far they are beyond bends."""
    known = features.by_name
    lengths = [(known[name] - middle) / LENGTH for name, middle in MIDDLES.items()]
    products = [math.prod(pair) for pair in combinations_with_replacement(lengths, 2)]
    bent = [
        *_bent(features.torus - TORUS, TORUS_BENDS),
        *_bent(features.reads - READS, READS_BENDS),
        *_bent(features.planned - PLANNED, PLANNED_BENDS),
    ]
    flags = [known[name] for name in FLAGS]
    return np.array([1.0, *lengths, *bent, *flags, *products])


def _bent(value: float, bends: Sequence[float]) -> list[float]:
    """The value, and how far it is beyond each of the bends."""
    return [each / LENGTH for each in (value, *(max(0.0, value - b) for b in bends))]


@dataclass(frozen=True)
class Law:
    """What a step costs on the reference machine, by one thread.

    Attributes:
        seconds: Weights of the terms, for the logarithm of its seconds.
        held: The same for the bytes that it holds at a time.
        least: Of each feature, of the layers that it was fitted to.
        most: The same.
    """

    seconds: FloatArray
    held: FloatArray
    least: FloatArray
    most: FloatArray

    def of(self, features: Features) -> tuple[float, float]:
        """Seconds and bytes; of a layer beyond those that were measured, of the nearest.

        Beyond the longest plan that was measured the seconds grow with the operations.
        """
        near = Features(*np.clip(astuple(features), self.least, self.most).tolist())
        weighed = terms(near)
        beyond = math.exp(max(0.0, features.planned - near.planned))
        seconds = math.exp(float(weighed @ self.seconds)) * beyond
        return seconds, math.exp(float(weighed @ self.held))


def law_of(step: str, effort: str) -> Law:
    """The law of a step, as it was measured."""
    known = _laws()
    return known[ANY].get(step) or known[effort][step]


@cache
def _laws() -> dict[str, dict[str, Law]]:
    """The laws by effort and step."""
    return {
        effort: {step: _law(numbers) for step, numbers in steps.items()}
        for effort, steps in measured_laws()["laws"].items()
    }


def _law(numbers: dict[str, list[float]]) -> Law:
    return Law(**{name: np.array(values) for name, values in numbers.items()})

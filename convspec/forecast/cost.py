"""What steps cost on a machine: seconds and bytes, before they are taken."""

from __future__ import annotations

from dataclasses import dataclass

from convspec.forecast.features import Features
from convspec.forecast.law import law_of
from convspec.forecast.machine import REFERENCE, Machine
from convspec.isolation import isolated_class

__all__ = ["Cost", "step_cost"]

# of the seconds of a step on one core, those that several cores share, as measured
SHARED = 0.7


@isolated_class
@dataclass(frozen=True)
class Cost:
    """What a computation is expected to cost: estimates, mostly within a factor of 2.

    Attributes:
        name: Of a method, of a step, or of a layer.
        seconds: Wall time.
        memory: Bytes held at a time.
        note: What it gives, or why it is refused.
        steps: Of which it is made.
    """

    name: str
    seconds: float
    memory: int
    note: str = ""
    steps: tuple[Cost, ...] = ()


def step_cost(
    step: str,
    features: Features,
    machine: Machine = REFERENCE,
    cores: int = 1,
    effort: str = "default",
) -> Cost:
    """What a step costs on a machine.

    Args:
        step: A name of :func:`convspec.forecast.law.law_of`.
        features: Of the operator.
        machine: Where.
        cores: That the step has for itself.
        effort: How hard to try, as of :func:`convspec.analyze`, where that matters.
    """
    seconds, held = law_of(step, effort).of(features)
    part = 1 - SHARED + SHARED / cores
    return Cost(step, machine.seconds(seconds * part), round(held))

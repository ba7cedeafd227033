"""What the steps of a row cost, before they are taken."""

from __future__ import annotations

from collections.abc import Iterator

from convspec.forecast.cost import Cost, step_cost
from convspec.forecast.features import Features
from convspec.forecast.machine import REFERENCE, Machine
from convspec.operators.operator import ConvOperator
from convspec.report.draft import ESTIMATES, NORM, QUANTITIES
from convspec.spectrum import Plan

__all__ = ["WORST_CASE", "analysis_steps"]

WORST_CASE = "worst case"


def analysis_steps(
    op: ConvOperator,
    plan: Plan,
    exact: bool,
    effort: str,
    machine: Machine = REFERENCE,
    cores: int = 1,
) -> Iterator[Cost]:
    """The steps of a row of an analysis, those of its kernel first.

    Args:
        op: The operator.
        plan: How all its singular values would be computed.
        exact: Whether they are.
        effort: How hard to try.
        machine: Where.
        cores: That the row has for itself.
    """
    features = Features.of(op)
    names = [WORST_CASE] if exact else [WORST_CASE, NORM, QUANTITIES, ESTIMATES]
    for name in names:
        yield step_cost(name, features, machine, cores, effort)
    if exact:
        yield plan.cost(machine, cores)

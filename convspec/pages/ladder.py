"""The steps to a network's constant as rows of a table, and that table for notebooks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from convspec.network.result import PAIR, NetworkBound, Step
from convspec.quantity.decimals import nearest, rounded_down, rounded_up
from convspec.report.fragment import safe, table_fragment
from convspec.report.print import EMPTY

__all__ = ["Rung", "at_least", "at_most", "distance", "rungs", "small_table"]

DIGITS = 6
DISTANCE_DIGITS = 3
AT_MOST, AT_LEAST = "\N{LESS-THAN OR EQUAL TO}", "\N{GREATER-THAN OR EQUAL TO}"


@dataclass(frozen=True)
class Rung:
    """A row of the table of steps.

    Attributes:
        name: Of the method.
        end: The end that it gives, with its side, rounded outward; ``-`` for none.
        seconds: It took; empty where that is not known.
        words: What it did, or why it does not apply.
        kind: ``"best"`` of the least upper end, ``"upper"`` of others, ``"none"`` where
            there is none, ``"pair"`` of the lower end.
    """

    name: str
    end: str
    seconds: str
    words: str
    kind: str


def rungs(bound: NetworkBound) -> list[Rung]:
    """All steps in the order of trying, then the pair of inputs."""
    found = [_rung(step, step is bound.best) for step in bound.steps]
    if bound.pair is not None:
        words = f"two inputs {distance(bound)} apart"
        found.append(Rung(PAIR, at_least(bound.lower), "", words, "pair"))
    return found


def at_most(value: float, digits: int = DIGITS) -> str:
    """An upper end, rounded up; ``-`` if it is infinite."""
    if not math.isfinite(value):
        return EMPTY
    return f"{AT_MOST} {rounded_up(value, digits, zeros=True)}"


def at_least(value: float, digits: int = DIGITS) -> str:
    """A lower end, rounded down."""
    return f"{AT_LEAST} {rounded_down(value, digits, zeros=True)}"


def distance(bound: NetworkBound) -> str:
    """How far the two inputs are apart, in the units of the model's input."""
    assert bound.pair is not None
    x, y = bound.pair
    return nearest(float(torch.linalg.vector_norm(x - y)), DISTANCE_DIGITS)


def small_table(bound: NetworkBound) -> str:
    """Ends, steps and warnings as a fragment of HTML, whatever is in names escaped."""
    head, *_ = repr(bound).splitlines()
    notes = [f"note: {warning}" for warning in bound.warnings]
    header = ("method", "L", "time", "how")
    steps = table_fragment(header, [_cells(rung) for rung in rungs(bound)], notes)
    return f"<div>\n<p>{safe(head)}</p>\n{steps}\n</div>"


def _rung(step: Step, best: bool) -> Rung:
    known = math.isfinite(step.upper)
    kind = ("best" if best else "upper") if known else "none"
    seconds = f"{step.seconds:.1f} s"
    return Rung(step.name, at_most(step.upper), seconds, step.words, kind)


def _cells(rung: Rung) -> list[str]:
    cells = [safe(each) for each in (rung.name, rung.end, rung.seconds, rung.words)]
    if rung.kind == "best":
        cells[1] = f"<b>{cells[1]}</b>"
    return cells

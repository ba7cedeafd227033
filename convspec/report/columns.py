"""The columns of a report's table: one description, whatever renders it.

Plain text (:mod:`convspec.report.text`), a terminal (:mod:`convspec.report.terminal`)
and HTML (:mod:`convspec.pages.html`) all read :data:`COLUMNS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from convspec.report.layer import Known, LayerReport
from convspec.report.print import EMPTY, number, printable, quantity, rounded_up, shape

__all__ = ["COLUMNS", "Column", "Key"]

Key = float | str | None


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        name: Its heading, without the unit.
        meaning: What it says, in a sentence.
        cell: Its text for a layer, ``-`` where nothing is known.
        key: What rows are sorted by; None where nothing is known, which comes last.
        priority: 0 for what every table must have; where room is short, the columns of
            the highest go first. No two are equal, but for 0.
        unit: Of its numbers; empty if they have none.
        spectral: Whether it is of the spectrum: exact or enclosed, as the method says.
        kind: ``"text"``, ``"shape"`` or ``"number"``; numbers are aligned right.
    """

    name: str
    meaning: str
    cell: Callable[[LayerReport], str]
    key: Callable[[LayerReport], Key]
    priority: int
    unit: str = ""
    kind: str = "number"
    spectral: bool = False

    @property
    def heading(self) -> str:
        """The name, with the unit in brackets if there is one."""
        return f"{self.name} [{self.unit}]" if self.unit else self.name


def _name(layer: LayerReport) -> str:
    calls = f" (x{layer.calls})" if layer.calls > 1 else ""
    return printable(layer.name) + calls


def _kernel(layer: LayerReport) -> str:
    """The geometry; of a layer that is not supported, its type."""
    if layer.operator is None:
        return printable(layer.type)
    return layer.geometry


def _shape(layer: LayerReport, name: str) -> str:
    op = layer.operator
    return EMPTY if op is None else shape(getattr(op, name))


def _size(layer: LayerReport, name: str) -> Key:
    op = layer.operator
    return None if op is None else math.prod(getattr(op, name))


def _worst(layer: LayerReport) -> float | None:
    return None if layer.worst_case is None else layer.worst_case.upper


def _rank(layer: LayerReport) -> str:
    op = layer.operator
    return quantity(layer.quantities["rank"], None if op is None else min(op.shape))


def _of(known: Known) -> Key:
    """Bounds count as their lower end, or their upper one where that is all there is."""
    if not isinstance(known, tuple):
        return known
    lower, upper = known
    if lower > 0:
        return lower
    return upper if upper < math.inf else None


def _quantity(name: str, heading: str, meaning: str, priority: int) -> Column:
    """The column of one of :data:`convspec.report.quantities.QUANTITIES`."""
    return Column(
        heading,
        meaning,
        lambda layer: quantity(layer.quantities[name]),
        lambda layer: _of(layer.quantities[name]),
        priority,
        spectral=True,
    )


COLUMNS = (
    Column(
        "layer",
        "Qualified name in the model, and how often it is called if more than once.",
        _name,
        lambda layer: layer.name,
        0,
        kind="text",
    ),
    Column(
        "kernel",
        "Kernel size, then stride s, padding p, dilation d, groups g and padding mode "
        "where they are not the usual.",
        _kernel,
        _kernel,
        2,
        kind="text",
    ),
    Column(
        "input",
        "Channels x size of the input.",
        lambda layer: _shape(layer, "input_shape"),
        lambda layer: _size(layer, "input_shape"),
        8,
        kind="shape",
    ),
    Column(
        "output",
        "Channels x size of the output.",
        lambda layer: _shape(layer, "output_shape"),
        lambda layer: _size(layer, "output_shape"),
        9,
        kind="shape",
    ),
    _quantity("norm", "sigma_1", "The largest singular value: the operator norm.", 0),
    Column(
        "worst case",
        "Certified upper end of the supremum of sigma_1 over input sizes.",
        lambda layer: EMPTY if (w := _worst(layer)) is None else rounded_up(w),
        _worst,
        3,
    ),
    Column(
        "reshaped",
        "What torch.nn.utils.spectral_norm takes for sigma_1: the norm of the kernel as "
        "a matrix.",
        lambda layer: number(None if layer.reshaped is None else layer.reshaped[0]),
        lambda layer: None if layer.reshaped is None else layer.reshaped[0],
        10,
    ),
    Column(
        "circular",
        "sigma_1 of the same kernel on the torus of this size: another operator, neither "
        "exact for the layer nor a bound.",
        lambda layer: number(None if layer.circular is None else layer.circular.norm),
        lambda layer: None if layer.circular is None else layer.circular.norm,
        12,
    ),
    _quantity("smallest", "sigma_min", "The smallest of the min(m, n) values.", 6),
    Column(
        "rank",
        "Numerical rank: singular values above max(m, n) eps sigma_1.",
        _rank,
        lambda layer: _of(layer.quantities["rank"]),
        5,
        spectral=True,
    ),
    _quantity("condition_number", "cond", "sigma_1 / sigma_min.", 4),
    _quantity("stable_rank", "stable rank", "||A||_F^2 / sigma_1^2.", 7),
    Column(
        "method",
        "fourier or dense: exact; envelope or krylov: certified bounds.",
        lambda layer: layer.method,
        lambda layer: layer.method,
        1,
        kind="text",
    ),
    Column(
        "time",
        "Time spent on the layer.",
        lambda layer: f"{layer.seconds:.2f}",
        lambda layer: layer.seconds,
        11,
        unit="s",
    ),
)

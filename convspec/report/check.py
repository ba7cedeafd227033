"""Whether each layer is certified to be within limits, and what changed since a report.

A limit holds only if the upper end is within it: what is not proven is a finding as well
as what is certainly beyond.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from convspec.arguments import shown
from convspec.isolation import isolated, isolated_class
from convspec.quantity.enclosure import Enclosure
from convspec.report.model import ModelReport
from convspec.report.print import enclosed, number, printable
from convspec.report.saved import SavedLayer, SavedReport

__all__ = ["RTOL", "Finding", "check"]

RTOL = 1e-3
NORM = "norm"


@isolated_class
@dataclass(frozen=True)
class Finding:
    """What is wrong with one layer.

    Attributes:
        layer: Its name.
        quantity: ``"norm"``, ``"worst_case"``, ``"condition_number"``, ``"layer"`` of one
            that is new or gone, ``"input_shape"``, or ``"partial"`` of a report.
        words: What was found and what was asked.
        certain: Whether a limit is certainly exceeded, or a value certainly another;
            False where it is only not proven to hold.
    """

    layer: str
    quantity: str
    words: str
    certain: bool

    def __str__(self) -> str:
        return printable(f"{self.layer}: {self.words}")


@isolated
def check(
    report: ModelReport | SavedReport,
    *,
    max_norm: float | None = None,
    max_worst_case: float | None = None,
    max_condition: float | None = None,
    against: ModelReport | SavedReport | None = None,
    rtol: float = RTOL,
    layers: str | Sequence[str] | None = None,
) -> tuple[Finding, ...]:
    """What is not certified of a report; nothing if all that is asked holds.

    A report that is partial, after Ctrl-C, is a finding.

    Args:
        report: Of a model.
        max_norm: Largest sigma_1 that a layer may have.
        max_worst_case: Largest supremum of sigma_1 over input sizes.
        max_condition: Largest condition number.
        against: An earlier report: norms must be the same, layers too.
        rtol: Relative change of a norm that is none.
        layers: Names of those that are asked about, or patterns, ``"features.*"``; all
            unless told.

    Raises:
        ValueError: If nothing is asked, or a limit is no number that is not negative.

    >>> import torch, convspec as cs
    >>> report = cs.analyze(torch.nn.Conv1d(1, 1, 1, bias=False), (1, 4))
    >>> norm = report["Conv1d"].norm.upper
    >>> cs.check(report, max_norm=2 * norm), len(cs.check(report, max_norm=norm / 2))
    ((), 1)
    """
    limits = {
        NORM: max_norm,
        "worst_case": max_worst_case,
        "condition_number": max_condition,
    }
    limits = {name: limit for name, limit in limits.items() if limit is not None}
    _require(limits, rtol, against is not None)
    now = _saved(report, layers)
    found = [*_partial("the report", now)]
    found += [each for layer in now.layers for each in _beyond(layer, limits)]
    if against is not None:
        before = _saved(against, layers)
        found += [*_partial("the earlier report", before), *_changed(now, before, rtol)]
    return tuple(found)


def _saved(
    report: ModelReport | SavedReport, layers: str | Sequence[str] | None
) -> SavedReport:
    saved = SavedReport.of(report) if isinstance(report, ModelReport) else report
    return saved if layers is None else saved.among(layers)


def _partial(name: str, report: SavedReport) -> Iterator[Finding]:
    if report.partial:
        words = "is partial: its analysis was interrupted, and has to be done again"
        yield Finding(name, "partial", words, False)


def _require(limits: Mapping[str, float | None], rtol: float, compares: bool) -> None:
    if not limits and not compares:
        raise ValueError(
            "check needs something to hold; give a limit, such as max_norm=1.5, or an "
            "earlier report, against="
        )
    for name, limit in {**limits, "rtol": rtol}.items():
        if (
            isinstance(limit, bool)
            or not isinstance(limit, int | float)
            or not limit >= 0
        ):
            raise ValueError(f"{name} must be a number of at least 0; got {shown(limit)}")


def _beyond(layer: SavedLayer, limits: Mapping[str, float | None]) -> Iterator[Finding]:
    for name, limit in limits.items():
        ends, called = layer.ends.get(name), name.replace("_", " ")
        assert limit is not None
        if ends is None:
            words = f"{called} is not known; at most {number(limit)} is asked"
            yield Finding(layer.name, name, words, False)
        elif ends.lower > limit:
            words = f"{called} {enclosed(ends)} is above {number(limit)}"
            yield Finding(layer.name, name, words, True)
        elif ends.upper > limit:
            words = f"{called} {enclosed(ends)} is not proven to be at most "
            yield Finding(layer.name, name, f"{words}{number(limit)}", False)


def _changed(now: SavedReport, before: SavedReport, rtol: float) -> Iterator[Finding]:
    if now.input_shape != before.input_shape:
        words = f"was {before.input_shape}, and is {now.input_shape}"
        yield Finding("the input's shape", "input_shape", words, True)
    old = {layer.name: layer for layer in before.layers}
    for layer in now.layers:
        earlier = old.pop(layer.name, None)
        if earlier is None:
            yield Finding(layer.name, "layer", "is new", True)
            continue
        ends = [each.ends.get(NORM) for each in (earlier, layer)]
        was, is_ = ends
        if was is None or is_ is None:
            words = f"norm was {_known(was)}, and is {_known(is_)}"
            yield Finding(layer.name, NORM, words, False)
        elif is_.lower > was.upper * (1 + rtol) or is_.upper < was.lower * (1 - rtol):
            words = f"norm was {enclosed(was)}, and is {enclosed(is_)}"
            yield Finding(layer.name, NORM, words, True)
    for name in old:
        yield Finding(name, "layer", "is gone", True)


def _known(ends: Enclosure | None) -> str:
    return "not known" if ends is None else enclosed(ends)

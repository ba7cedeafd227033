"""A report as it was written: between which ends each number of each layer lies.

JSON does not hold operators and singular values, so that what is read back is no
:class:`ModelReport`; it is what comparisons and thresholds need.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from convspec.files.reading import require_file, unreadable
from convspec.isolation import isolated, isolated_class
from convspec.quantity.enclosure import Enclosure
from convspec.report.model import ModelReport

__all__ = ["SavedLayer", "SavedReport", "read_report"]

MOST_BYTES = 2**28
KIND = "_kind"
# of what is no such file, or of numbers beyond float64
FAILURES = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    OverflowError,
    RecursionError,
)


@dataclass(frozen=True)
class SavedLayer:
    """One row.

    Attributes:
        name: Of the layer.
        geometry: Its kernel, stride and padding in words.
        ends: Of each quantity that is known, ``"norm"``, ``"worst_case"``,
            ``"condition_number"`` and others; exact ones within what rounding leaves.
    """

    name: str
    geometry: str
    ends: Mapping[str, Enclosure]


@isolated_class
@dataclass(frozen=True)
class SavedReport:
    """The rows of a report.

    Attributes:
        layers: In the report's order.
        input_shape: What the model was run on.
        partial: Whether it was interrupted before all rows were complete.
    """

    layers: tuple[SavedLayer, ...]
    input_shape: Any
    partial: bool = False

    @classmethod
    def of(cls, report: ModelReport) -> SavedReport:
        """What a report would be read back as."""
        return _from_dict(json.loads(report.to_json()))

    def __getitem__(self, name: str) -> SavedLayer:
        """The row of this name.

        Raises:
            KeyError: If there is none.
        """
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise KeyError(f"no layer {name!r}; there are: {', '.join(self)}")

    def among(self, patterns: str | Sequence[str]) -> SavedReport:
        """The rows of layers whose names are among these, or match one of them."""
        wanted = [patterns] if isinstance(patterns, str) else list(patterns)

        def is_wanted(layer: SavedLayer) -> bool:
            name, *_ = layer.name.split(" [")  # of several sizes
            return any(p in (name, layer.name) or fnmatchcase(name, p) for p in wanted)

        return replace(self, layers=tuple(filter(is_wanted, self.layers)))

    def __iter__(self) -> Iterator[str]:
        """Names of the rows."""
        return (layer.name for layer in self.layers)

    def __len__(self) -> int:
        return len(self.layers)


@isolated
def read_report(path: str | os.PathLike[str]) -> SavedReport:
    """What :meth:`ModelReport.to_json` wrote.

    Args:
        path: The file.

    Raises:
        UnreadableModel: If it is none, damaged, or larger than 256 MiB.

    >>> import torch, convspec as cs
    >>> report = cs.analyze(torch.nn.Conv1d(1, 2, 3), (1, 8))
    >>> path = getfixture("tmp_path") / "report.json"
    >>> report.to_json(path)
    >>> report["Conv1d"].norm.upper in cs.read_report(path)["Conv1d"].ends["norm"]
    True
    """
    file = Path(path)
    require_file(file, MOST_BYTES)
    try:
        return _from_dict(json.loads(file.read_text(encoding="utf-8")))
    except FAILURES as error:
        got = f"{type(error).__name__}: {error}"
        wanted = "be a report that to_json or --json wrote"
        raise unreadable(file, wanted, got, "write it again") from error


def _from_dict(found: Any) -> SavedReport:
    if not isinstance(found, dict) or not isinstance(found["layers"], list):
        raise TypeError("it holds no layers")
    rows = tuple(_row(row) for row in found["layers"])
    if len({row.name for row in rows}) < len(rows):
        raise ValueError("two layers have one name")
    partial = found.get("partial", False)
    if not isinstance(partial, bool):
        raise TypeError(f"partial must be true or false; got {partial!r}")
    return SavedReport(rows, found.get("input_shape"), partial)


def _row(row: Any) -> SavedLayer:
    if not isinstance(row, dict) or not isinstance(row["name"], str):
        raise TypeError("a layer has no name")
    names = [key.removesuffix(KIND) for key in row if key.endswith(KIND) and row[key]]
    ends = {
        name: Enclosure(_end(row[f"{name}_lower"]), _end(row[f"{name}_upper"]))
        for name in names
    }
    return SavedLayer(row["name"], str(row.get("geometry") or ""), ends)


def _end(value: Any) -> float:
    """A number of JSON; infinities are words there."""
    if value in ("inf", "-inf"):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"an end must be a number; got {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"an end must be finite or in words; got {value!r}")
    return float(value)

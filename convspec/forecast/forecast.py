"""What a computation is expected to cost: a table of its methods, or of its layers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from convspec.extras import import_extra
from convspec.forecast.cost import Cost
from convspec.forecast.machine import Machine
from convspec.isolation import isolated_class
from convspec.limits import readable_bytes
from convspec.quantity.aligned import aligned

__all__ = ["Forecast", "readable_seconds"]

HEADER = ("", "seconds", "memory", "")


@isolated_class
@dataclass(frozen=True)
class Forecast:
    """What a computation is expected to cost, see :func:`convspec.estimate`.

    Attributes:
        title: What it is about.
        rows: Of an operator the methods, of a model the layers.
        seconds: Wall time of :func:`convspec.analyze` of it, on all cores of the machine.
        memory: Bytes that its steps hold at a time, beside the model and its run.
        machine: Where.
    """

    title: str
    rows: tuple[Cost, ...]
    seconds: float
    memory: int
    machine: Machine

    def __getitem__(self, name: str) -> Cost:
        """The row of this name."""
        for row in self.rows:
            if row.name == name:
                return row
        there = ", ".join(row.name for row in self.rows)
        raise KeyError(f"no row {name!r}; there are: {there}")

    def __iter__(self) -> Iterator[Cost]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        cells = [
            (
                row.name,
                readable_seconds(row.seconds),
                _bytes(row.memory),
                row.note,
            )
            for row in self.rows
        ]
        table = aligned(HEADER, cells, (True, False, False, True))
        cores = self.machine.cores
        words = (
            f"{self.title}\nanalyze takes about {readable_seconds(self.seconds)} on "
            f"{cores} core{'s' * (cores > 1)}, and holds {_bytes(self.memory)}"
        )
        return f"{table}\n\n{words}" if self.rows else words

    def to_dataframe(self) -> Any:
        """The rows as a pandas DataFrame, a column of seconds for each step.

        Raises:
            MissingExtra: Without pandas, which ``convspec[dataframe]`` installs.
        """
        pandas = import_extra("pandas", "dataframe")
        return pandas.DataFrame(
            {
                "name": row.name,
                "seconds": row.seconds,
                "memory": row.memory,
                "note": row.note,
                **{f"{step.name} seconds": step.seconds for step in row.steps},
            }
            for row in self.rows
        )


def readable_seconds(seconds: float) -> str:
    """Seconds with a unit and two digits, which is more than estimates have.

    >>> readable_seconds(0.0123), readable_seconds(84.0), readable_seconds(1e5)
    ('12 ms', '84 s', '28 h')
    """
    for size, unit in ((3600.0, "h"), (60.0, "min"), (1.0, "s")):
        if seconds >= 1.95 * size or (unit == "s" and seconds >= 0.995):
            return f"{_two_digits(seconds / size)} {unit}"
    return f"{_two_digits(1000 * seconds)} ms"


def _two_digits(value: float) -> str:
    return f"{value:.2g}" if value < 99.5 else f"{float(f'{value:.2g}'):,.0f}"


def _bytes(count: float) -> str:
    return readable_bytes(count, 2)

"""A report as one HTML page that needs no other file and no network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from convspec.pages.figures import Picture, of_layer, of_report
from convspec.pages.rendered import heading, rendered
from convspec.report.column import Column
from convspec.report.columns import table
from convspec.report.layer import LayerReport
from convspec.report.model import ModelReport
from convspec.report.print import printable, shape, written
from convspec.report.quantities import NORM
from convspec.report.statements import (
    GUARANTEES,
    METHODS,
    Statement,
    guarantee,
    statements,
)

__all__ = ["page"]


@dataclass(frozen=True)
class Cell:
    """A cell of the table of layers.

    Attributes:
        text: What it says.
        key: What it sorts by; empty where nothing is known.
        kind: That of its column.
        certain: Whether it is a number of the layer's spectrum, with its guarantee.
    """

    text: str
    key: str
    kind: str
    certain: bool


@dataclass(frozen=True)
class LayerPage:
    """A row of the table and the section behind it.

    Attributes:
        place: From 1.
        name: The layer's.
        heading: Its name and, where that is another, its type.
        cells: Of its row.
        facts: What it is: pairs of a word and what it says.
        guarantee: Of its singular values.
        method: How they were found, in a sentence.
        statements: Every number.
        pictures: Its figures.
        layer: The row of the report.
    """

    place: int
    name: str
    heading: str
    cells: list[Cell]
    facts: list[tuple[str, str]]
    guarantee: str
    method: str
    statements: list[Statement]
    pictures: list[Picture]
    layer: LayerReport


def page(report: ModelReport, title: str | None = None) -> str:
    """The page, with its style, script and figures inside.

    Raises:
        MissingExtra: Without jinja2.
    """
    origin = report.provenance
    usual = "convolutions" if origin is None else origin.model
    title = heading(title, usual, "the model's class")
    columns = table(report.layers)
    layers = [_layer(*item, columns) for item in enumerate(report, 1)]
    kinds = {found.guarantee for layer in layers for found in layer.statements}
    return rendered(
        "report.html",
        styles=("report.css",),
        script="report.js",
        title=title,
        report=report,
        origin=origin,
        columns=columns,
        layers=layers,
        tiles=_tiles(report),
        overview=of_report(report) if report.layers else None,
        methods=METHODS,
        guarantees=[item for item in GUARANTEES.items() if item[0] in kinds],
        legend=report.legend,
    )


def _tiles(report: ModelReport) -> list[tuple[str, str]]:
    """The numbers at the head of the page, each with its words."""
    kinds = Counter(guarantee(layer) for layer in report)
    tiles = [(str(len(report)), "convolutions")]
    words = {
        "exact": "exact spectra",
        "enclosure": "certified bounds",
        "unknown": "unknown",
    }
    tiles += [(str(kinds[kind]), words[kind]) for kind in words if kinds[kind]]
    norms = [(x.norm.upper, x) for x in report if x.norm is not None]
    if norms:  # as the table prints it
        _, top = max(norms, key=lambda pair: pair[0])
        tiles.append((written(top.quantities[NORM]), "largest sigma_1"))
    seconds = sum(layer.seconds for layer in report)
    return [*tiles, (f"{seconds:.1f} s", "analysis")]


def _layer(place: int, layer: LayerReport, columns: Sequence[Column]) -> LayerPage:
    return LayerPage(
        place=place,
        name=printable(layer.name),
        heading=" \N{MIDDLE DOT} ".join(
            dict.fromkeys((printable(layer.name), printable(layer.type)))
        ),
        cells=[
            Cell(
                column.cell(layer),
                _key(column.key(layer)),
                column.kind,
                column.spectral,
            )
            for column in columns
        ],
        facts=_facts(layer),
        guarantee=guarantee(layer),
        method=METHODS[layer.method],
        statements=statements(layer),
        pictures=list(of_layer(layer)),
        layer=layer,
    )


def _key(key: float | str | None) -> str:
    return "" if key is None else printable(key) if isinstance(key, str) else repr(key)


def _facts(layer: LayerReport) -> list[tuple[str, str]]:
    """The type, shape and geometry of a layer, in words."""
    facts = [("type", printable(layer.type)), ("calls", str(layer.calls))]
    op = layer.operator
    if op is None:
        return facts
    return [
        ("type", printable(layer.type)),
        ("weight", f"{shape(tuple(op.weight.shape))}, {_dtype(op.weight.dtype)}"),
        ("geometry", layer.geometry),
        ("padding mode", op.geometry.padding_mode),
        ("input", shape(op.input_shape)),
        ("output", shape(op.output_shape)),
        ("matrix", f"{op.shape[0]:,} x {op.shape[1]:,}"),
        *facts[1:],
    ]


def _dtype(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")

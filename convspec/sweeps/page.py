"""A sweep as one HTML page that needs no other file: a table, figures of each layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes

from convspec.pages.figures import Picture, picture
from convspec.pages.rendered import heading, rendered
from convspec.plot.canvas import points
from convspec.plot.evolution import draw_line, over_steps
from convspec.plot.palette import CYCLE
from convspec.report.print import EMPTY, printable
from convspec.sweeps.drawn import finite_ends
from convspec.sweeps.summary import Known, change, counted, span, written

if TYPE_CHECKING:
    from convspec.sweeps.result import Sweep

__all__ = ["page"]

SIZE = 3.5, 2.3  # inches
# above the axes, where no line is
LEGEND: dict[str, Any] = {
    "loc": "lower right",
    "bbox_to_anchor": (1.0, 0.97),
    "ncols": 2,
    "frameon": False,
    "handlelength": 1.6,
    "columnspacing": 1.0,
}
AT_LEAST, MARKER = "^", 5.0
NONE = "not known,\nor infinite"


@dataclass(frozen=True)
class Panel:
    """A figure that each layer has.

    Attributes:
        title: Of its column, and its vertical axis.
        quantities: What it shows, with the word for each in a legend; one has none.
        log: Whether its vertical axis is logarithmic.
    """

    title: str
    quantities: tuple[tuple[str, str], ...]
    log: bool


PANELS = (
    Panel("norm \N{GREEK SMALL LETTER SIGMA}\N{SUBSCRIPT ONE}", (("norm", ""),), True),
    Panel("condition number", (("condition_number", ""),), True),
    Panel(
        "stable, effective rank",
        (("stable_rank", "stable"), ("effective_rank", "effective")),
        False,
    ),
)


@dataclass(frozen=True)
class LayerPart:
    """A row of the table, and the figures of a layer.

    Attributes:
        place: From 1.
        name: The layer's.
        geometry: Its kernel, stride and padding in words.
        count: How many checkpoints have it.
        cells: Of the table: numbers in words.
        at: The checkpoint of the largest change.
        pictures: One for each of the panels.
    """

    place: int
    name: str
    geometry: str
    count: str
    cells: list[str]
    at: str
    pictures: list[Picture]


def page(sweep: Sweep, title: str | None = None) -> str:
    """The page, with its style and figures inside, and no script.

    Raises:
        MissingExtra: Without jinja2.
        TypeError: If the title is no string.
    """
    origin = sweep.provenance
    title = heading(title, origin.model, "the model's class")
    return rendered(
        "sweep.html",
        styles=("report.css", "sweep.css"),
        title=title,
        tiles=_tiles(sweep),
        layers=list(_parts(sweep)),
        panels=PANELS,
        failed=sweep.failed,
        origin=origin,
        checkpoints=sweep.checkpoints,
    )


def _tiles(sweep: Sweep) -> list[tuple[str, str]]:
    """The numbers at the head of the page, each with its words."""
    tiles = [
        (str(len(sweep.checkpoints)), "checkpoints"),
        (str(len(sweep.layers)), "layers"),
    ]
    if sweep.numbered and len(sweep.steps) > 1:
        tiles.append((f"{sweep.steps[0]} to {sweep.steps[-1]}", "steps"))
    if sweep.failed:
        tiles.append((str(len(sweep.failed)), "not analysed"))
    return tiles


def _parts(sweep: Sweep) -> Iterator[LayerPart]:
    geometries = {row["layer"]: row["geometry"] for row in sweep.rows}
    for place, layer in enumerate(sweep.layers, 1):
        norms = sweep.evolution(layer, "norm")
        conditions = [
            x for x in sweep.evolution(layer, "condition_number") if x is not None
        ]
        most = change(norms, sweep.checkpoints)
        cells = [written(value) for value in span(norms)]
        cells.append(written(conditions[-1] if conditions else None))
        cells.append(EMPTY if most is None else str(most))
        rows = sum(row["layer"] == layer for row in sweep.rows)
        yield LayerPart(
            place,
            printable(layer),
            geometries[layer],
            "" if rows == len(sweep.checkpoints) else f"in {counted(rows, 'checkpoint')}",
            cells,
            "" if most is None else printable(most.checkpoint),
            [_picture(sweep, layer, panel) for panel in PANELS],
        )


def _picture(sweep: Sweep, layer: str, panel: Panel) -> Picture:
    lines = [(sweep.evolution(layer, name), word) for name, word in panel.quantities]
    label = "step" if sweep.numbered else "checkpoint"
    draw = partial(_draw, at=sweep.steps, lines=lines, panel=panel, label=label)
    return picture(draw, f"{panel.title} of {printable(layer)} over {label}s", SIZE)


def _draw(
    ax: Axes,
    at: Sequence[int],
    lines: Sequence[tuple[Sequence[Known], str]],
    panel: Panel,
    label: str,
) -> None:
    anything = False
    for place, (values, word) in enumerate(lines):
        ends = finite_ends(values)
        anything |= bool(np.isfinite(ends).any())
        draw_line(ax, at, ends, word, place, {})
        lower, upper = np.array(ends).T
        open_ = np.where(np.isnan(upper), lower, np.nan)
        ax.plot(at, open_, AT_LEAST, color=CYCLE[place], markersize=MARKER)
    ax.set_ylabel(panel.title)
    over_steps(ax, at, label, log=panel.log)
    if not anything:
        ax.set_yticks([])
        ax.text(0.5, 0.5, NONE, ha="center", va="center", transform=ax.transAxes)
    elif len(lines) > 1:
        ax.legend(**LEGEND, fontsize=points(0.85))

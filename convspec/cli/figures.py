"""Figures of a report in a folder: all layers at a glance, and each by itself."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from convspec import plot
from convspec.errors import UnreadableModel
from convspec.report.layer import LayerReport
from convspec.report.model import ModelReport
from convspec.written import write_bytes

__all__ = ["kind_of_figure", "picture", "write_figures"]

WIDTH, HEIGHT, DPI = 6.4, 3.8, 160


def write_figures(report: ModelReport, folder: Path) -> list[Path]:
    """Draw what is known of the singular values of all layers, and of each."""
    written = []
    if any(row.norm is not None for row in report):
        height = 1.4 + 0.16 * max(6, len(report))
        path = folder / "layers.png"
        write_bytes(path, picture(lambda ax: plot.layers(report, ax=ax), height=height))
        written.append(path)
    for row in report:
        if row.spectrum is not None or row.envelope is not None:
            path = folder / (re.sub(r"[^\w.-]+", "_", row.name) + ".png")
            write_bytes(path, picture(partial(_draw, row)))
            written.append(path)
    return written


def kind_of_figure(path: Path) -> str:
    """The format that the name of a figure asks for.

    Raises:
        UnreadableModel: If matplotlib writes no such files.
    """
    kind = path.suffix.lower().removeprefix(".") or "png"
    kinds = sorted(Figure().canvas.get_supported_filetypes())
    if kind not in kinds:
        raise UnreadableModel(
            f"a figure must end in one of {', '.join(kinds)}; got {path}"
        )
    return kind


def picture(
    draw: Callable[[Axes], object], kind: str = "png", height: float = HEIGHT
) -> bytes:
    """What is drawn, as the content of a file."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    draw(figure.add_subplot())
    content = io.BytesIO()
    figure.savefig(content, dpi=DPI, format=kind)
    return content.getvalue()


def _draw(row: LayerReport, ax: Axes) -> None:
    if row.spectrum is not None:
        plot.spectrum(row.spectrum, ax=ax)
    else:
        assert row.envelope is not None
        plot.envelope(row.envelope, ax=ax)
    ax.set_title(f"{row.name}: {row.type} {row.geometry}", fontsize=10)

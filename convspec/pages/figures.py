"""The figures of HTML pages, as SVG images inside the page.

Figures are drawn by :mod:`convspec.plot` on figures of their own, which pyplot does not
know. To show another one of a layer, add it to :func:`of_layer`.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from convspec import plot
from convspec.network.result import NetworkBound
from convspec.operators.operator import ConvOperator
from convspec.plot.palette import EXACT
from convspec.report.layer import LayerReport
from convspec.report.model import ModelReport
from convspec.report.print import printable

__all__ = ["Picture", "of_constant", "of_layer", "of_report", "picture"]

SIZE = 4.8, 3.2  # inches
PIXELS = 200
LONGEST_NAME = 40
DECIMALS = re.compile(r"(\d\.\d\d)\d+")
HATCHED = re.compile(r"url\(#(h\w+)\); fill-opacity: ([\d.]+)")
OTHER = "#D55E00"  # vermilion: of no colour that the layer itself has
# text stays text, which is small and can be read aloud; ids depend on the contents only
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "convspec",
    "font.size": 9.0,
    "font.sans-serif": ["DejaVu Sans"],
}


@dataclass(frozen=True)
class Picture:
    """A figure of the page, with its caption.

    Attributes:
        uri: Its SVG as a ``data:`` address.
        caption: What it shows, in a sentence.
        width: In pixels.
        height: In pixels.
    """

    uri: str
    caption: str
    width: int
    height: int


def of_report(report: ModelReport) -> Picture:
    """The figure that shows all layers at a glance."""

    def draw(ax: Axes) -> None:
        plot.layers(report, ax=ax)
        named = [(place, report.layers[round(place)].name) for place in ax.get_yticks()]
        ax.set_yticks(
            [place for place, _ in named],
            [_label(name) for _, name in named],
            parse_math=False,
        )

    caption = (
        "Singular values of every layer; the legend says what is exact and what is not. "
        "Numerical zeros, at most max(m, n) eps sigma_1, are among all values and "
        "counted at the right; arrows go on below the axis, to smaller values or 0."
    )
    return picture(draw, caption, (7.2, 2.0 + 0.17 * max(6, len(report))))


def of_layer(layer: LayerReport) -> Iterator[Picture]:
    """The figures of one layer: whatever of it is known."""
    exact, band, torus = layer.spectrum, layer.envelope, layer.circular
    if exact is not None:
        yield picture(
            lambda ax: plot.spectrum(exact, ax=ax, color=EXACT, annotate=True),
            f"All singular values, exact, by {exact.method}."
            + (" Dotted: numerical zeros." if exact.rank() < len(exact) else ""),
        )
    elif band is not None:
        yield picture(
            lambda ax: plot.envelope(band, ax=ax),
            "Certified bounds on every singular value: all lie within the band.",
        )
    elif torus is not None:
        yield picture(
            lambda ax: plot.spectrum(torus, ax=ax, color=OTHER, linestyle="--"),
            "Singular values of the same kernel on a torus: another operator, neither "
            "exact for the layer nor a bound.",
        )
    op = layer.operator
    if op is not None and _spatial(op) and not op.dtype.is_complex:
        m, n = op.shape
        yield picture(
            lambda ax: plot.operator(op, ax=ax, pixels=PIXELS),
            f"The matrix, {m:,} x {n:,}. A cell shows the entry of largest magnitude in "
            "its part of the matrix; grey lines are between channels.",
            (4.8, 4.0),
        )


def of_constant(bound: NetworkBound) -> Iterator[Picture]:
    """Figures of a network's constant: what each step makes of it, and along depth."""
    caption = (
        "Upper ends by method, pointing to where the constant is; the least is bold."
    )
    if bound.pair is not None and bound.lower > 0:
        caption += (
            " The band is from the ratio that two inputs attain to that end, and the "
            "constant is in it."
        )
    height = 1.5 + 0.26 * len(bound.steps)
    yield picture(lambda ax: plot.lipschitz(bound, ax=ax), caption, (7.2, height))
    if len(bound.depth) > 1:
        yield picture(
            lambda ax: plot.gains(bound, ax=ax),
            "How far apart two inputs come, tensor by tensor: at most, by the norms of "
            "all layers so far, and as the pair attains it.",
            (7.2, 3.6),
        )


def _spatial(op: ConvOperator) -> bool:
    """Whether the kernel is more than one tap: else the matrix says no more than it."""
    return op.weight[0, 0].numel() > 1


def _label(name: str) -> str:
    """A name that leaves room for the rest: the end of it, which tells layers apart."""
    name = printable(name)
    end = name[1 - LONGEST_NAME :]
    return name if len(name) <= LONGEST_NAME else "\N{HORIZONTAL ELLIPSIS}" + end


def picture(
    draw: Callable[[Axes], object], caption: str, size: tuple[float, float] = SIZE
) -> Picture:
    """What is drawn on axes, as an image of a page.

    Args:
        draw: What draws it.
        caption: What it shows.
        size: Of the figure, in inches.
    """
    figure = Figure(figsize=size, layout="constrained")
    stream = io.StringIO()
    with warnings.catch_warnings(), rc_context(STYLE):
        # names in any script: the browser has fonts that matplotlib lacks
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from", UserWarning)
        draw(figure.add_subplot())
        figure.patch.set_alpha(0)
        canvas: Any = FigureCanvasSVG(figure)
        canvas.print_svg(stream, metadata={"Date": None})
    width, height = (round(96 * inches) for inches in size)
    return Picture(_data_uri(stream.getvalue()), caption, width, height)


def _data_uri(svg: str) -> str:
    """The image without its prologue and metadata, percent-encoded.

    Paths are cut to a hundredth of a point, which halves them.
    """
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<path [^>]*>", lambda path: DECIMALS.sub(r"\1", path[0]), svg)
    svg = _hatched(svg)
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.DOTALL)
    return "data:image/svg+xml," + quote(re.sub(r"\s+", " ", svg), safe=" /:;,=()!*@")


def _hatched(svg: str) -> str:
    """With hatches in full colour on a translucent ground.

    Matplotlib makes the lines as translucent as their ground, so that they vanish.
    """
    for name, opacity in set(re.findall(HATCHED, svg)):
        svg = svg.replace(f"url(#{name}); fill-opacity: {opacity}", f"url(#{name})")
        ground = re.compile(rf'(<pattern id="{name}"[^>]*>\s*<rect [^>]*?)/>')
        svg = ground.sub(rf'\1 fill-opacity="{opacity}"/>', svg, count=1)
    return svg

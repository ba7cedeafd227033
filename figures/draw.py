"""Redraw the figures: ``python figures/draw.py [--dpi N] [--format F] [NAME ...]``."""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import gallery
import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

from convspec import plot

FOLDER = Path(__file__).parent
MAPS = ("operator", "singular_vectors", "frequency_response")


def main() -> None:
    """Draw the named figures, or all of them, in the style for papers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*plot.__all__, []], metavar="NAME")
    parser.add_argument("--dpi", type=int, default=160)
    parser.add_argument("--format", default="png", choices=("png", "pdf", "svg"))
    parser.add_argument("--out", type=Path, default=FOLDER)
    options = parser.parse_args()
    mpl.use("Agg")
    with plt.style.context("convspec.convspec"):
        for name in options.names or plot.__all__:
            figure = getattr(gallery, name)()
            path = options.out / f"{name}.{options.format}"
            if options.format == "png":
                small_png(figure, path, options.dpi)
            else:
                figure.savefig(path)


def small_png(figure: Figure, path: Path, dpi: int) -> None:
    """Write at most 256 colours, unless the figure is a map of more than these."""
    stream = io.BytesIO()
    figure.savefig(stream, dpi=dpi)
    picture = Image.open(stream).convert("RGB")
    if path.stem not in MAPS:
        picture = picture.quantize(256, dither=Image.Dither.NONE)
    picture.save(path, optimize=True)


if __name__ == "__main__":
    main()

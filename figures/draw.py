"""Redraw the README's figures: ``python figures/draw.py``."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from convspec.demo.run import (
    choose_network,
    closer_operator,
    draw_layers,
    draw_operator,
    draw_padding,
)
from convspec.report import analyze

FOLDER = Path(__file__).parent


def main() -> None:
    """Draw MobileNetV2's layers, and the matrix and padding of its first layer."""
    network = choose_network(offline=False)
    if network.notice:
        raise SystemExit(network.notice)
    figure = Figure(figsize=(7.2, 9.7), layout="constrained")
    draw_layers(
        figure.add_subplot(), network, analyze(network.model, network.input_shape)
    )
    figure.savefig(FOLDER / "mobilenet_layers.png", dpi=110)

    op = closer_operator(network)
    figure = Figure(figsize=(9.6, 5.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_operator(left, network, op)
    draw_padding(right, network, op)
    figure.savefig(FOLDER / "mobilenet_stem.png", dpi=110)


if __name__ == "__main__":
    main()

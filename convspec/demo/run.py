"""The demo: a trained network from its weights to the report and three figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import nn

import convspec.plot as plot
from convspec.demo.digits import INPUT_SHAPE, load_digits_net
from convspec.demo.weights import load_mobilenet
from convspec.errors import UnreadableModel
from convspec.operators.operator import ConvOperator
from convspec.progress import Progress
from convspec.report import ModelReport, analyze
from convspec.spectrum import spectrum

__all__ = ["Network", "choose_network", "run_demo"]


Draw = Callable[[Axes, "Network", Any], None]


@dataclass(frozen=True)
class Network:
    """A trained network that the demonstration shows.

    Attributes:
        name: What it is called.
        model: The module, in evaluation mode.
        input_shape: Of its images.
        layer: The convolution that is shown closely.
        crop: The input size at which that layer's dense spectrum is shown.
        notice: Why it is this network and not another, or empty.
    """

    name: str
    model: nn.Module
    input_shape: tuple[int, ...]
    layer: str
    crop: int
    notice: str = ""


def choose_network(offline: bool, cache: Path | None = None) -> Network:
    """MobileNetV2 with its ImageNet weights, or the embedded network without them."""
    notice = "offline: the embedded network instead of MobileNetV2"
    if not offline:
        try:
            model = load_mobilenet(cache)
        except UnreadableModel as error:
            notice = (
                f"{error}\nGoing on with the embedded network instead of MobileNetV2."
            )
        else:
            shape = (3, 224, 224)
            return Network("MobileNetV2 (ImageNet)", model, shape, "features.0.0", 24)
    net = load_digits_net()
    return Network("digits CNN (embedded)", net, INPUT_SHAPE, "dense", 8, notice)


def run_demo(
    network: Network, folder: Path, progress: Progress | None = None
) -> tuple[ModelReport, list[Path]]:
    """Analyse the network; write it as JSON, CSV and HTML, and figures.

    Returns:
        The report and the files written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    report = analyze(network.model, network.input_shape, progress=progress)
    files = [folder / "report.json", folder / "layers.csv", folder / "report.html"]
    report.to_json(files[0])
    report.to_csv(files[1])
    report.to_html(files[2], title=network.name)
    op = _closer_operator(network)
    figures: list[tuple[str, tuple[float, float], Draw, Any]] = [
        ("layers.png", (7.2, 1.4 + 0.16 * max(6, len(report))), _draw_layers, report),
        ("operator.png", (5.4, 6.2), _draw_operator, op),
        ("padding.png", (5.4, 3.8), _draw_padding, op),
    ]
    for name, size, draw, data in figures:
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.add_subplot(), network, data)
        figure.savefig(folder / name, dpi=160)
        files.append(folder / name)
    return report, files


def _closer_operator(network: Network) -> ConvOperator:
    """The layer that is shown closely, on an input small enough for a dense SVD."""
    layer = network.model.get_submodule(network.layer)
    return ConvOperator.from_layer(layer, network.crop)


def _draw_layers(ax: Axes, network: Network, report: ModelReport) -> None:
    """The singular values of all layers at a glance."""
    plot.layers(report, ax=ax)
    title = f"{network.name}: singular values of its {len(report)} convolutions"
    ax.set_title(title, fontsize=10)


def _draw_operator(ax: Axes, network: Network, op: ConvOperator) -> None:
    """The matrix of one layer."""
    plot.operator(op, ax=ax)
    m, n = op.shape
    title = f"{network.layer}: its {m} x {n} matrix\n{_cropped(network)}"
    ax.set_title(title, fontsize=10)


def _draw_padding(ax: Axes, network: Network, op: ConvOperator) -> None:
    """One layer's singular values under its own and under circular padding."""
    mode = op.geometry.padding_mode.removesuffix("s")
    spectra = {
        f"{mode} padding, dense": spectrum(op, method="dense"),
        "circular padding, Fourier": spectrum(op.circular(), method="fourier"),
    }
    plot.compare(spectra, ax=ax)
    title = f"{network.layer}: padding and spectrum\n{_cropped(network)}"
    ax.set_title(title, fontsize=10)


def _cropped(network: Network) -> str:
    size, full = network.crop, network.input_shape[-1]
    if size == full:
        return f"input {size} x {size}"
    return f"input cropped to {size} x {size} (from {full}) for a dense SVD"

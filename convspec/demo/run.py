"""The demo: a trained network from its weights to the report and three figures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure
from torch import nn

import convspec.plot as plot
from convspec.demo.digits import INPUT_SHAPE, load_digits_net
from convspec.demo.weights import load_mobilenet
from convspec.errors import UnreadableModel
from convspec.operator import ConvOperator
from convspec.report import ModelReport, analyze
from convspec.report.analyze import Progress
from convspec.spectrum import spectrum

__all__ = ["Network", "choose_network", "run_demo"]


@dataclass(frozen=True)
class Network:
    """A trained network to show.

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
    """Analyse the network; write ``report.json``, ``layers.csv`` and figures.

    Returns:
        The report and the files written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    report = analyze(network.model, network.input_shape, progress=progress)
    files = [folder / "report.json", folder / "layers.csv"]
    report.to_json(files[0])
    report.to_csv(files[1])
    layer = network.model.get_submodule(network.layer)
    op = ConvOperator.from_layer(layer, network.crop)
    figures = {
        "layers.png": _layers(network, report),
        "operator.png": _operator(network, op),
        "padding.png": _padding(network, op),
    }
    for name, figure in figures.items():
        figure.savefig(folder / name, dpi=160)
        files.append(folder / name)
    return report, files


def _layers(network: Network, report: ModelReport) -> Figure:
    figure = Figure(figsize=(7.2, 1.4 + 0.16 * max(6, len(report))), layout="constrained")
    ax = plot.layers(report, ax=figure.add_subplot())
    title = f"{network.name}: singular values of its {len(report)} convolutions"
    ax.set_title(title, fontsize=10)
    return figure


def _operator(network: Network, op: ConvOperator) -> Figure:
    figure = Figure(figsize=(5.4, 6.2), layout="constrained")
    ax = plot.operator(op, ax=figure.add_subplot())
    m, n = op.shape
    ax.set_title(
        f"{network.layer}: its {m} x {n} matrix\n{_cropped(network)}", fontsize=10
    )
    return figure


def _padding(network: Network, op: ConvOperator) -> Figure:
    mode = op.geometry.axes[0].mode.removesuffix("s")
    spectra = {
        f"{mode} padding, dense": spectrum(op, method="dense"),
        "circular padding, Fourier": spectrum(op.circular(), method="fourier"),
    }
    figure = Figure(figsize=(5.4, 3.8), layout="constrained")
    ax = plot.compare(spectra, ax=figure.add_subplot())
    ax.set_title(
        f"{network.layer}: padding and spectrum\n{_cropped(network)}", fontsize=10
    )
    return figure


def _cropped(network: Network) -> str:
    size, full = network.crop, network.input_shape[-1]
    if size == full:
        return f"input {size} x {size}"
    return f"input cropped from {full} x {full} to {size} x {size}, for a dense SVD"

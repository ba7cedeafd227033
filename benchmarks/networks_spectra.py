"""What ``analyze`` says of ordinary networks by its defaults, how tightly, how fast.

Each network is analysed in a process of its own, whose peak memory is that of the call
and the imports. Before a time is reported, every row's norm is tested against a vector
that shares no code with the library: power iteration by torch's own convolution.
``python -m benchmarks networks-spectra``, or ``python -m benchmarks.networks_spectra
NAME`` for one.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import nn

import convspec as cs
from benchmarks.memory import peak_of_process
from benchmarks.networks import ResNet, RRDBNet, UNet, craft, he
from benchmarks.problem import Unavailable
from convspec.demo.weights import load_mobilenet

__all__ = ["NETWORKS", "Measured", "measure", "measured_apart", "text"]

ROOT = Path(__file__).resolve().parents[1]
POWER_STEPS = 12
# of the float32 products of power iteration
SLACK = 1e-4
SHOWN = ("rank", "effective_rank", "nuclear_norm")


@dataclass(frozen=True)
class Network:
    """A network and what its analysis aims at.

    Attributes:
        title: What it is.
        build: The model.
        shape: Of its input.
        gap: Largest relative gap of a norm.
        seconds: Of the analysis.
        gibibytes: Of memory.
    """

    title: str
    build: Callable[[], nn.Module]
    shape: tuple[int, ...]
    gap: float
    seconds: float
    gibibytes: float = 2.0


NETWORKS = {
    "mobilenet": Network(
        "MobileNetV2, trained", load_mobilenet, (3, 224, 224), 1e-4, 8.0
    ),
    "craft": Network("VGG-16-BN of CRAFT, trained", craft, (3, 224, 224), 1e-4, 60.0),
    "resnet18": Network(
        "ResNet-18, He", lambda: he(ResNet((2, 2, 2, 2), 1)), (3, 224, 224), 1e-3, 60.0
    ),
    "resnet50": Network(
        "ResNet-50, He", lambda: he(ResNet((3, 4, 6, 3), 4)), (3, 224, 224), 1e-3, 150.0
    ),
    "rrdbnet": Network(
        "RRDBNet of 23 blocks, He", lambda: he(RRDBNet()), (3, 64, 64), 1e-3, 240.0
    ),
    "unet3d": Network(
        "3-D U-Net of widths 32 to 256, He",
        lambda: he(UNet()),
        (1, 96, 96, 96),
        1e-2,
        120.0,
        3.0,
    ),
}


@dataclass(frozen=True)
class Row:
    """What was said of one layer: relative widths of enclosures, or errors of estimates.

    Attributes:
        name: Of the layer.
        geometry: Its kernel, and its input.
        seconds: Spent on it.
        gap: Of the norm.
        widths: Of :data:`SHOWN`, of the enclosure.
        errors: Standard errors of the estimates beside them, where there are.
    """

    name: str
    geometry: str
    seconds: float
    gap: float
    widths: dict[str, float]
    errors: dict[str, float]


@dataclass(frozen=True)
class Measured:
    """One network's analysis.

    Attributes:
        name: Of the network.
        seconds: Wall time of the call.
        peak: Resident bytes of the process, at most.
        rows: Layer by layer.
        wrong: Rows whose norm a vector contradicts.
    """

    name: str
    seconds: float
    peak: int
    rows: tuple[Row, ...]
    wrong: tuple[str, ...]

    @property
    def gap(self) -> float:
        """The largest of a norm."""
        return max(row.gap for row in self.rows)


def measure(name: str, **options: Any) -> Measured:
    """Analyse a network in this process.

    Raises:
        Unavailable: If its weights cannot be had.
    """
    network = NETWORKS[name]
    try:
        model = network.build()
    except cs.UnreadableModel as error:
        raise Unavailable(str(error)) from error
    begun = time.perf_counter()
    report = cs.analyze(model, network.shape, **options)
    seconds = time.perf_counter() - begun
    peak = peak_of_process()
    wrong = tuple(row.name for row in report if not _agrees(row))
    return Measured(name, seconds, peak, tuple(map(_row, report)), wrong)


def _row(row: cs.LayerReport) -> Row:
    assert row.operator is not None
    assert row.norm is not None
    readings = {name: row.known.readings[name] for name in SHOWN}
    sizes = "x".join(map(str, row.operator.input_shape))
    return Row(
        row.name,
        f"{row.geometry} {sizes}",
        row.seconds,
        row.norm.gap,
        {name: reading.ends.gap for name, reading in readings.items()},
        {
            name: about.standard_error / abs(about.value)
            for name, about in row.estimates.items()
            if about.value
        },
    )


def _agrees(row: cs.LayerReport) -> bool:
    """Whether the norm of a row is above what a vector attains, and not far above."""
    op = row.operator
    assert op is not None
    assert row.norm is not None
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, *op.input_shape, generator=generator)
    op = op.to(torch.float32)
    length = 0.0
    with torch.no_grad():
        for _ in range(POWER_STEPS):
            x = x / _length(x)
            y = op.apply(x)
            length = _length(y)
            x = op.adjoint(y)
            if not _length(x) > 0:
                break
    return length <= row.norm.upper * (1 + SLACK) and row.norm.lower <= row.norm.upper


def _length(x: torch.Tensor) -> float:
    """The length of an image; single precision loses 1e-3 of it in 10^7 squares."""
    return float(torch.linalg.vector_norm(x, dtype=torch.float64))


def measured_apart(name: str) -> Measured:
    """Analyse a network in a process of its own.

    Raises:
        Unavailable: If it did not come to an end.
    """
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.networks_spectra", name],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Unavailable(f"the analysis of {name} ended with {done.returncode}")
    found = json.loads(done.stdout)
    rows = tuple(Row(**row) for row in found.pop("rows"))
    return Measured(**{**found, "rows": rows, "wrong": tuple(found["wrong"])})


def text(found: Iterable[Measured]) -> str:
    """A line per network."""
    lines = [
        f"{'network':34} {'rows':>4} {'time':>7} {'aim':>6} {'gap':>8} {'aim':>6} "
        f"{'beyond':>6} {'memory':>8}  median width: {', '.join(SHOWN)}"
    ]
    for each in found:
        network = NETWORKS[each.name]
        beyond = sum(row.gap > network.gap for row in each.rows)
        widths = [median(row.widths[name] for row in each.rows) for name in SHOWN]
        lines.append(
            f"{network.title:34} {len(each.rows):4} {each.seconds:5.0f} s "
            f"{network.seconds:4.0f} s {each.gap:8.1e} {network.gap:6.0e} {beyond:6} "
            f"{each.peak / 2**30:4.1f} GiB  " + ", ".join(map(_share, widths))
        )
        lines += [f"  WRONG: {name}" for name in each.wrong]
    return "\n".join(lines)


def _share(width: float) -> str:
    return f"{width:.1%}" if math.isfinite(width) else "-"


def main(names: list[str]) -> None:
    """Analyse networks in this process, and print what was found as JSON."""
    for name in names:
        print(json.dumps(asdict(measure(name))))


if __name__ == "__main__":
    main(sys.argv[1:])

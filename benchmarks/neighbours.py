"""A network analysed alone, and beside processes that keep every core busy.

``python -m benchmarks neighbours [NAME]``, a network of ``networks-spectra``, MobileNetV2
unless told. As many processes as there are cores multiply matrices meanwhile, each on all
cores. Before a time is reported the norms are compared: they depend on no neighbour.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

import convspec as cs
from benchmarks.networks_spectra import NETWORKS
from convspec.run.threads import available_cores

__all__ = ["AIM", "DEFAULT", "Beside", "beside", "beside_text"]

DEFAULT = "mobilenet"
AIM = 3.5  # times as long, at the median of layers, with as many neighbours as cores
STARTING = 5.0  # seconds in which neighbours begin
CODE = """
import torch
a = torch.randn(1500, 1500)
while True:
    a @ a
"""


@dataclass(frozen=True)
class Beside:
    """What was measured.

    Attributes:
        title: The network.
        neighbours: How many processes were beside.
        alone: Seconds of the analysis alone.
        beside: Seconds beside them.
        ratios: Of the seconds of each layer.
        same: Whether the norms are.
    """

    title: str
    neighbours: int
    alone: float
    beside: float
    ratios: tuple[float, ...]
    same: bool


def beside(name: str) -> Beside:
    """Analyse a network of :data:`benchmarks.networks_spectra.NETWORKS` both ways."""
    network = NETWORKS[name]
    model, count = network.build(), available_cores()

    def analysed() -> tuple[float, cs.ModelReport]:
        begin = time.perf_counter()
        report = cs.analyze(model, network.shape)
        return time.perf_counter() - begin, report

    alone, quiet = analysed()
    with _neighbours(count):
        busy, loud = analysed()
    rows = [(one, other) for one, other in zip(quiet, loud, strict=True) if one.operator]
    ratios = tuple(sorted(other.seconds / one.seconds for one, other in rows))
    same = all(one.norm == other.norm for one, other in rows)
    return Beside(network.title, count, alone, busy, ratios, same)


@contextmanager
def _neighbours(count: int) -> Iterator[None]:
    """Processes that keep all cores busy."""
    processes = [subprocess.Popen([sys.executable, "-c", CODE]) for _ in range(count)]
    try:
        time.sleep(STARTING)
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def beside_text(found: Beside) -> str:
    """The times, as lines, with their ratios."""
    middle = median(found.ratios)
    lines = [
        f"{found.title}: {len(found.ratios)} layers, {found.neighbours} busy neighbours",
        f"alone {found.alone:.1f} s, beside them {found.beside:.1f} s: "
        f"{found.beside / found.alone:.2f} times as long",
        f"layers: {middle:.2f} times as long at the median, {found.ratios[0]:.2f} to "
        f"{found.ratios[-1]:.2f}; aim {AIM:g}, {'met' if middle <= AIM else 'missed'}",
    ]
    return "\n".join([*lines, *([] if found.same else ["WRONG: norms differ"])])

"""How fast this machine is: measured once, in less than a second."""

from __future__ import annotations

import json
import math
import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import torch

from convspec.forecast.measured import measured_laws
from convspec.isolation import isolated
from convspec.run.threads import available_cores, one_thread
from convspec.version import __version__
from convspec.written import write_text

__all__ = ["REFERENCE", "Machine", "machine_of"]

FILE = "machine.json"
SECONDS = 0.08  # that each probe is repeated for
SMALL, BATCH, CALLS = 24, 128, 1000
# of a step's seconds, about as much is calls into torch, whatever they compute
CALLING = 0.01
# operations that the reference computes in a second, as they are estimated
RATE = 2e10


@dataclass(frozen=True)
class Machine:
    """Seconds of what computations are made of, by one thread.

    Attributes:
        call: Of a call into torch that computes next to nothing.
        block: Of an operation of the singular values of many complex blocks of side 24.
        cores: That this process may use.
        name: Of the machine, and of what computes on it.
    """

    call: float
    block: float
    cores: int = 1
    name: str = ""

    @classmethod
    @isolated
    def measured(cls) -> Machine:
        """This machine as it is now: the fastest of many runs, whoever else works."""
        generator = torch.Generator().manual_seed(0)
        small = torch.ones(4, dtype=torch.float64)
        blocks = torch.randn(
            BATCH, SMALL, SMALL, dtype=torch.complex128, generator=generator
        )
        with one_thread(), torch.no_grad():
            call = _fastest(lambda: [small + small for _ in range(CALLS)]) / CALLS
            block = _fastest(lambda: torch.linalg.svdvals(blocks)) / (BATCH * SMALL**3)
        return cls(call, block, available_cores(), _name())

    @classmethod
    def here(cls) -> Machine:
        """This machine, measured when it is first asked for in this process."""
        return _here()

    def seconds(self, reference: float) -> float:
        """What takes so many seconds on the reference, here.

        Short steps are calls into torch, long ones decompositions.
        """
        calls = min(reference, CALLING)
        return calls * self.call / REFERENCE.call + (reference - calls) / self.speed

    @property
    def rate(self) -> float:
        """Operations a second, as they are estimated all over: of one core, low."""
        return RATE * self.speed

    @property
    def speed(self) -> float:
        """How many times as fast as the reference this machine computes.

        As decompositions of small blocks: where products of matrices took 2.1 times as
        long, and these 1.4 times, steps of four networks took 1.0 to 1.6 times.
        """
        return REFERENCE.block / self.block


# where the laws of steps were measured
REFERENCE = Machine(**measured_laws()["machine"])


@cache
def _here() -> Machine:
    return Machine.measured()


def _fastest(run: Callable[[], object]) -> float:
    """Seconds of the fastest run, of those that there is time for."""
    run()
    least, end = math.inf, time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        begin = time.perf_counter()
        run()
        least = min(least, time.perf_counter() - begin)
    return least


def _name() -> str:
    parts = platform.node(), platform.machine(), torch.__version__, __version__
    return " ".join(map(str, parts))


def machine_of(folder: str | os.PathLike[str] | None) -> Machine:
    """The machine as it was measured before in a folder; else measured, and kept there.

    Raises:
        OSError: If the folder is a file, cannot be made, or cannot be written to.
    """
    if folder is None:
        return Machine.here()
    path = Path(folder) / FILE
    found = _kept(path)
    if found is None:
        found = Machine.here()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(asdict(found), indent=1) + "\n")
    return found


def _kept(path: Path) -> Machine | None:
    """What a file says, if it is of this machine."""
    try:
        found = Machine(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    numbers = found.call, found.block
    sound = all(isinstance(each, float) and 0 < each < 1 for each in numbers)
    here = (found.name, found.cores) == (_name(), available_cores())
    return found if sound and here else None

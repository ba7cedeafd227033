"""Where a report comes from: what it takes to repeat an analysis."""

from __future__ import annotations

import math
import platform
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

import numpy
import scipy
import torch

from convspec.report.limits import Limits
from convspec.version import __version__

__all__ = ["Provenance", "provenance"]


@dataclass(frozen=True)
class Provenance:
    """What was analysed with what, and when.

    Attributes:
        model: Class name of the model.
        call: The call of :func:`convspec.analyze`, settings written out.
        versions: Of the packages that the numbers depend on, of Python and the machine.
        date: When the analysis began, UTC, ISO 8601.
    """

    model: str
    call: str
    versions: dict[str, str]
    date: str


def provenance(model: str, inputs: str, limits: Limits) -> Provenance:
    """The provenance of an analysis that is about to begin.

    Args:
        model: Its class, or what it is.
        inputs: What stands for its input in the call, ``"(3, 224, 224)"``.
        limits: The settings.
    """
    settings = [f"{name}={_short(value)}" for name, value in asdict(limits).items()]
    return Provenance(
        model,
        "convspec.analyze(" + ", ".join(["model", inputs, *settings]) + ")",
        {
            "convspec": __version__,
            "torch": torch.__version__,
            "numpy": numpy.__version__,
            "scipy": scipy.__version__,
            "Python": platform.python_version(),
            "machine": f"{platform.system()} {platform.machine()}",
        },
        datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )


def _short(value: Any) -> str:
    """As Python reads it, ``1e+11`` rather than its twelve digits."""
    if value is None or isinstance(value, str):
        return repr(value)
    if math.isinf(value):
        return 'float("inf")'
    short = f"{value:g}"
    return short if float(short) == value else repr(value)

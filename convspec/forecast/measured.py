"""The file of what was measured: laws of steps, and the machine."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

__all__ = ["measured_laws"]

FILE = "laws.json"


@cache
def measured_laws() -> dict[str, Any]:
    """``"machine"``, and ``"laws"`` by effort and step."""
    text = resources.files("convspec.forecast").joinpath(FILE).read_text("utf-8")
    found: dict[str, Any] = json.loads(text)
    return found

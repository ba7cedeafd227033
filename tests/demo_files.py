"""The files that the demo writes, in order."""

from __future__ import annotations

FILES = [
    "report.json",
    "layers.csv",
    "report.html",
    "layers.png",
    "operator.png",
    "padding.png",
]

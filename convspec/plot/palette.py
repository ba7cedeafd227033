"""Colours that stay apart for colour-blind eyes and, by their lightness, in grey print.

Source: Okabe and Ito, "Color Universal Design", 2008.
"""

from __future__ import annotations

__all__ = ["CYCLE", "DIVERGING", "ENCLOSED", "ESTIMATED", "EXACT", "QUIET", "SEQUENTIAL"]

EXACT = "#0072B2"  # blue
ENCLOSED = "#E69F00"  # orange
ESTIMATED = "#009E73"  # green
QUIET = "0.45"
CYCLE = (EXACT, "#D55E00", ESTIMATED, "#CC79A7", "#000000", ENCLOSED, "#56B4E9")
DIVERGING = "RdBu_r"
SEQUENTIAL = "cividis"

"""A report as a plain-text table."""

from __future__ import annotations

from collections.abc import Sequence

from convspec.quantity.aligned import aligned
from convspec.report.columns import table
from convspec.report.layer import LayerReport

__all__ = ["layer_table"]


def layer_table(layers: Sequence[LayerReport]) -> str:
    """One line per layer; ``-`` where nothing is known of a quantity."""
    columns = table(layers)
    header = [column.title for column in columns]
    left = [column.kind != "number" for column in columns]
    rows = [[column.cell(layer) for column in columns] for layer in layers]
    return aligned(header, rows, left)

"""What ONNX's operations compute, by torch's: one table, a file for each sort."""

from __future__ import annotations

from convspec.files.onnx_operators import (
    arithmetic,
    entrywise,
    pooling,
    resizing,
    sizes,
    views,
    weighted,
)
from convspec.files.onnx_operators.operands import Operands, Reader, Run

__all__ = ["OPERATIONS", "read"]

OPERATIONS: dict[str, Reader] = {
    **arithmetic.READERS,
    **entrywise.READERS,
    **pooling.READERS,
    **resizing.READERS,
    **sizes.READERS,
    **views.READERS,
    **weighted.READERS,
}
# why operations that are known are not computed
WHY = {
    "DynamicQuantizeLinear": "it rounds, so that no constant is finite",
    "If": "which branch runs depends on the model's input",
    "Loop": "loops are not followed",
    "QuantizeLinear": "it rounds, so that no constant is finite",
    "Scan": "loops are not followed",
}


def read(given: Operands) -> Run:
    """A function of the inputs that computes what an operation does.

    Raises:
        UnsupportedLayer: If it is none that is computed.
    """
    reader = None if given.node.domain else OPERATIONS.get(given.node.op)
    if reader is None:
        raise given.refused(WHY.get(given.node.op, "it is none of those"))
    return reader(given)

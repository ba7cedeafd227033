"""A row of what a kernel alone determines, where no size of an image is known."""

from __future__ import annotations

import time

from convspec.model.sites import Call
from convspec.operators.operator import ConvOperator
from convspec.report.kernel_norms import kernel_norms
from convspec.report.layer import LayerReport
from convspec.report.limits import Limits

__all__ = ["kernel_row"]

REASON = "the size of its input is not known: what the kernel alone determines"


def kernel_row(name: str, call: Call, limits: Limits) -> LayerReport:
    """The worst case over input sizes and the norm of the reshaped kernel.

    Raises:
        NotFiniteError: If the weight holds NaN or infinity.
        UnsupportedLayer: If the weight is none that operators have.
    """
    start = time.perf_counter()
    conv = call.conv
    assert conv.weight is not None
    size = tuple(conv.weight.shape[2:])  # of the least image; what is asked knows no size
    given = {**conv.given.keywords, "padding": 0, "output_padding": 0}
    norms = kernel_norms(ConvOperator(conv.weight, size, **given), limits)
    kernel = "x".join(map(str, conv.weight.shape[2:]))
    return LayerReport(
        name,
        f"{call.type} {kernel}",
        call.count,
        None,
        reason=REASON,
        seconds=time.perf_counter() - start,
        worst_case=norms.worst_case,
        reshaped=norms.reshaped,
        left_out=norms.left_out,
    )

"""A row of what a kernel alone determines, where no size of an image is known."""

from __future__ import annotations

from convspec.model.sites import Call
from convspec.operators.operator import ConvOperator
from convspec.report.kernel_norms import kernel_step
from convspec.report.layer import LayerReport
from convspec.report.limits import Limits
from convspec.report.steps import Steps

__all__ = ["kernel_row"]

REASON = "the size of its input is not known: what the kernel alone determines"


def kernel_row(name: str, call: Call, limits: Limits, steps: Steps) -> LayerReport:
    """The worst case over input sizes and the norm of the reshaped kernel.

    Raises:
        NotFiniteError: If the weight holds NaN or infinity.
        UnsupportedLayer: If the weight is none that operators have.
    """
    start = steps.clock()
    conv = call.conv
    assert conv.weight is not None
    size = tuple(conv.weight.shape[2:])  # of the least image; what is asked knows no size
    given = {**conv.given.keywords, "padding": 0, "output_padding": 0}
    norms = kernel_step(ConvOperator(conv.weight, size, **given), limits, steps)
    kernel = "x".join(map(str, conv.weight.shape[2:]))
    return LayerReport(
        name,
        f"{call.type} {kernel}",
        call.count,
        None,
        reason=REASON,
        seconds=steps.clock() - start,
        worst_case=norms.worst_case,
        reshaped=norms.reshaped,
        left_out=norms.left_out,
    )

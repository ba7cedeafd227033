"""A row of what a kernel alone determines, where no size of an image is known."""

from __future__ import annotations

from dataclasses import dataclass, replace

from convspec.errors import GeometryError, NotFiniteError, UnsupportedLayer
from convspec.model.sites import Call
from convspec.operators.operator import ConvOperator
from convspec.report.draft import NOT_ANALYSED
from convspec.report.failure import Failure
from convspec.report.job import Asked
from convspec.report.kernel_norms import KernelNorms, kernel_job
from convspec.report.layer import LayerReport
from convspec.report.limits import Limits
from convspec.report.quantities import Quantity

__all__ = ["KernelDraft", "kernel_operator"]

REASON = "the size of its input is not known: what the kernel alone determines"
WHAT = "what the kernel says"


def kernel_operator(call: Call) -> ConvOperator:
    """An operator of a kernel, on the least image.

    Raises:
        NotFiniteError: If the weight holds NaN or infinity.
        UnsupportedLayer: If the weight is none that operators have.
    """
    conv = call.conv
    assert conv.weight is not None
    size = tuple(conv.weight.shape[2:])  # what is asked knows no size
    given = {**conv.given.keywords, "padding": 0, "output_padding": 0}
    return ConvOperator(conv.weight, size, **given)


@dataclass
class KernelDraft:
    """What is known of a kernel so far.

    Attributes:
        name: As the report will have it.
        call: The layer.
        operator: Of its kernel.
        norms: What was found.
        failure: What was raised instead.
        seconds: Spent so far.
        ahead: Stages that are not done.
    """

    name: str
    call: Call
    operator: ConvOperator
    norms: KernelNorms | None = None
    failure: Failure | None = None
    seconds: float = 0.0
    ahead: tuple[str, ...] = (WHAT,)

    def course(self, limits: Limits) -> Asked:
        """The one step that there is."""
        (done,) = yield [kernel_job(self.operator, limits, step=WHAT)]
        self.norms, self.failure = done.result, done.failure
        self.seconds, self.ahead = done.seconds, ()

    def finished(self, asked: tuple[Quantity, ...] = ()) -> LayerReport:
        """The worst case over input sizes and the norm of the reshaped kernel."""
        if self.norms is None:
            return self._without(asked)
        kernel = "x".join(map(str, self.operator.weight.shape[2:]))
        return LayerReport(
            self.name,
            f"{self.call.type} {kernel}",
            self.call.count,
            None,
            reason=REASON,
            seconds=self.seconds,
            worst_case=self.norms.worst_case,
            reshaped=self.norms.reshaped,
            left_out=self.norms.left_out,
            asked=asked,
        )

    def _without(self, asked: tuple[Quantity, ...]) -> LayerReport:
        """The row of a kernel that failed, was refused, or that an interrupt met."""
        row = LayerReport(
            *(self.name, self.call.type, self.call.count, None),
            seconds=self.seconds,
            asked=asked,
        )
        if self.failure is None:
            return replace(row, reason=NOT_ANALYSED, left_out=(NOT_ANALYSED,))
        refused = GeometryError, NotFiniteError, UnsupportedLayer
        if isinstance(self.failure.error, refused):
            return replace(row, reason=str(self.failure.error))
        return replace(row, reason=self.failure.words, error=self.failure.error)

"""A row of a report while it is worked on."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from convspec.model.sites import Call
from convspec.operators.operator import ConvOperator
from convspec.quantity.bound import Bound
from convspec.quantity.enclosure import Enclosure
from convspec.report.kernel_norms import KernelNorms
from convspec.report.known import Enclosed, Exact
from convspec.report.layer import LayerReport
from convspec.report.quantities import Quantity
from convspec.report.steps import Steps
from convspec.spectrum import Envelope, Plan, Spectrum
from convspec.spectrum.sums.estimates import Estimated

__all__ = ["Draft"]

# operations on a block of a torus, of its side cubed
BLOCK = 20.0


@dataclass
class Draft:
    """What is known of a layer so far, stage by stage.

    Attributes:
        name: As the report will have it.
        call: The layer and the size it saw.
        operator: Its operator.
        plan: How all its singular values would be computed.
        beyond: Why they are not, a limit; None if they are.
        kernel: The norms that do not depend on the size.
        norm: Bounds on sigma_1, unless the spectrum is exact.
        spectrum: All singular values, if that is within the limits.
        envelope: Bounds on all of them, if not.
        sums: Ends of quantities that need no single value.
        estimates: Of quantities whose ends are wide.
        circular: The spectrum of the torus of this size.
        left_out: Sentences on what was left out, and why.
        seconds: Spent so far.
    """

    name: str
    call: Call
    operator: ConvOperator
    plan: Plan
    beyond: str | None
    kernel: KernelNorms | None = None
    norm: Bound | None = None
    spectrum: Spectrum | None = None
    envelope: Envelope | None = None
    sums: dict[str, Enclosure] = field(default_factory=dict)
    estimates: dict[str, Estimated] = field(default_factory=dict)
    circular: Spectrum | None = None
    left_out: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def cost(self) -> float:
        """Operations that its norm takes, about: layers are taken in this order.

        Without a spectrum those of decomposing a torus of its size.
        """
        if self.beyond is None:
            return self.plan.flops
        geometry = self.operator.geometry
        phases = math.prod(axis.stride for axis in geometry.axes)
        sides = geometry.c_out / geometry.groups, phases * geometry.c_in / geometry.groups
        blocks = geometry.groups * math.prod(geometry.outputs)
        return BLOCK * blocks * min(sides) * math.prod(sides)

    @contextmanager
    def timed(self, steps: Steps) -> Iterator[None]:
        """Count the time that the steps inside take towards the row."""
        start = steps.clock()
        try:
            yield
        finally:
            self.seconds += steps.clock() - start

    @property
    def known(self) -> Exact | Enclosed:
        """What is known of its singular values."""
        if self.spectrum is not None:
            return Exact(self.spectrum)
        assert self.norm is not None
        shape = self.operator.shape
        return Enclosed(self.norm, shape, self.envelope, self.sums, self.estimates)

    def finished(self, asked: tuple[Quantity, ...] = ()) -> LayerReport:
        """The row, with further quantities that were asked for."""
        kernel = self.kernel
        return LayerReport(
            self.name,
            self.call.type,
            self.call.count,
            self.operator,
            self.known,
            reason=self.plan.reason if self.beyond is None else self.beyond,
            seconds=self.seconds,
            circular=self.circular,
            worst_case=None if kernel is None else kernel.worst_case,
            reshaped=None if kernel is None else kernel.reshaped,
            asked=asked,
            fused=self.call.conv.fused,
            left_out=(
                *self.call.conv.outside,
                *self.left_out,
                *(() if kernel is None else kernel.left_out),
            ),
        )

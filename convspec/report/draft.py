"""A row of a report while it is worked on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from convspec.forecast.features import torus_flops
from convspec.model.sites import Call
from convspec.operators.operator import ConvOperator
from convspec.quantity.bound import Bound
from convspec.quantity.enclosure import Contradiction, Enclosure
from convspec.report.failure import Failure
from convspec.report.job import Done
from convspec.report.kernel_norms import KernelNorms
from convspec.report.known import Enclosed, Exact, NotKnown
from convspec.report.layer import LayerReport
from convspec.report.quantities import Quantity
from convspec.spectrum import Envelope, Plan, Spectrum
from convspec.spectrum.sums.estimates import Estimated

__all__ = ["ESTIMATES", "NORM", "NOT_ANALYSED", "QUANTITIES", "Draft"]

Result = TypeVar("Result")

NOT_ANALYSED = "not analysed: interrupted"
NORM, QUANTITIES, ESTIMATES = STAGES = "norm", "other quantities", "estimates"


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
        failures: Steps that raised.
        ahead: Stages that are not done.
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
    failures: list[Failure] = field(default_factory=list)
    ahead: tuple[str, ...] = STAGES

    @property
    def cost(self) -> float:
        """Operations that its norm takes, about: layers are taken in this order.

        Without a spectrum those of decomposing a torus of its size.
        """
        if self.beyond is None:
            return self.plan.flops
        return torus_flops(self.operator)

    def took(self, done: Done[Result]) -> Result | None:
        """What came of a step of the row: its time counts, and its failure is noted.

        What the row knew before stays known.
        """
        self.seconds += done.seconds
        if done.failure is not None:
            self.fail(done.failure)
        return done.result

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """A small step that is taken in here; an exception ends it alone."""
        start = time.perf_counter()
        try:
            yield
        except Exception as error:
            self.fail(Failure.of(name, error))
        finally:
            self.seconds += time.perf_counter() - start

    def fail(self, failure: Failure) -> None:
        """Note a failure; of ends that exclude one another none is to be trusted."""
        if failure.words not in [each.words for each in self.failures]:
            self.failures.append(failure)
        if self.contradicted:
            self.norm = self.spectrum = self.envelope = self.kernel = None

    @property
    def contradicted(self) -> bool:
        """Whether ends excluded one another."""
        return any(isinstance(each.error, Contradiction) for each in self.failures)

    def done(self, stage: str) -> None:
        """A stage is behind; behind an exact spectrum all are."""
        if self.spectrum is not None:
            self.ahead = ()
        self.ahead = tuple(each for each in self.ahead if each != stage)

    @property
    def known(self) -> Exact | Enclosed | NotKnown:
        """What is known of its singular values."""
        if self.spectrum is not None:
            return Exact(self.spectrum)
        if self.norm is None:
            return NotKnown()
        shape = self.operator.shape
        return Enclosed(self.norm, shape, self.envelope, self.sums, self.estimates)

    @property
    def missing(self) -> tuple[str, ...]:
        """What failed, and what an interrupt came before, in words."""
        words = [failure.words for failure in self.failures]
        if NORM in self.ahead:
            found = self.kernel is not None
            words.append("no norm: interrupted" if found else NOT_ANALYSED)
        elif self.ahead:
            words.append(f"no {' and no '.join(self.ahead)}: interrupted")
        return tuple(words)

    def finished(self, asked: tuple[Quantity, ...] = ()) -> LayerReport:
        """The row, with further quantities that were asked for."""
        kernel, known, missing = self.kernel, self.known, self.missing
        reason = self.plan.reason if self.beyond is None else self.beyond
        short = self.beyond is None and self.spectrum is None
        if missing and (short or isinstance(known, NotKnown)):
            reason = missing[0]
        return LayerReport(
            self.name,
            self.call.type,
            self.call.count,
            self.operator,
            known,
            reason=reason,
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
                *missing,
            ),
            error=self.failures[0].error if self.failures else None,
        )

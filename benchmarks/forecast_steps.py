"""Seconds and bytes of the steps of an analysis, one by one on one thread."""

from __future__ import annotations

import ctypes
import gc
import math
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import nn

import convspec as cs
from convspec.forecast.features import Features
from convspec.forecast.law import ANY
from convspec.report.draft import QUANTITIES
from convspec.report.kernel_norms import KERNEL
from convspec.report.row_cost import WORST_CASE

__all__ = ["StepTime", "measured_method", "measured_steps"]

LEAST = 1e-4  # seconds that are told apart
MOST_FLOPS = 2e11  # of a plan that is followed
PARTS = ("sums", "envelope", "torus")
NAMES = {"kernel": WORST_CASE, KERNEL: WORST_CASE, **dict.fromkeys(PARTS, QUANTITIES)}


@dataclass(frozen=True)
class StepTime:
    """A step as it was measured.

    Attributes:
        source: The network, or the drawn layer.
        layer: Which layer of it.
        step: The law that it follows.
        effort: How hard was tried.
        seconds: It took.
        held: Bytes that it held at most; None where that was not measured.
        features: Of the operator.
    """

    source: str
    layer: str
    step: str
    effort: str
    seconds: float
    held: int | None
    features: dict[str, float]


def measured_steps(
    model: nn.Module, shape: Sequence[int], source: str, effort: str = "default"
) -> list[StepTime]:
    """The steps of an analysis of a model."""
    timer = _Timer(source, effort)
    cs.analyze(model, shape, effort=effort, executor=timer)
    return timer.steps


def measured_method(
    op: cs.ConvOperator, method: str, k: int | None, source: str
) -> StepTime | None:
    """A spectrum by a method; None where that is not exact, dear, or did not end."""
    try:
        plan = cs.explain(op, k, method=method)
        if plan.flops > MOST_FLOPS:
            return None
        seconds, held = _measured(lambda: cs.spectrum(op, k, method=method))
    except (cs.NotApplicable, cs.NotConverged, cs.TooLargeError):
        return None
    features = Features.of(op, plan.flops * (k or 1)).by_name
    return StepTime(source, "", method, ANY, seconds, held, features)


@dataclass
class _Timer(Executor):
    """Runs each step where it is submitted, and notes what it took."""

    source: str
    effort: str
    steps: list[StepTime] = field(default_factory=list)
    seen: list[Any] = field(default_factory=list)  # operators

    def submit(
        self, function: Callable[..., Any], /, *args: Any, **keywords: Any
    ) -> Future[Any]:
        """Run a step: its job is the last argument."""
        job, future = args[-1], Future[Any]()
        done: list[Any] = []
        seconds, held = _measured(lambda: done.append(function(*args, **keywords)))
        future.set_result(done[0])
        if done[0].failure is None:
            self._note(self._step(job, seconds, held))
        return future

    def _note(self, step: StepTime) -> None:
        """Add a step, or a part of one, to those that were measured."""
        for place, other in enumerate(self.steps):
            if (step.layer, step.step) == (other.layer, other.step):
                known = [each for each in (step.held, other.held) if each is not None]
                self.steps[place] = replace(
                    other,
                    seconds=other.seconds + step.seconds,
                    held=max(known, default=None),
                )
                return
        self.steps.append(step)

    def _step(self, job: Any, seconds: float, held: int | None) -> StepTime:
        planned, name = 1.0, NAMES.get(job.name, job.name)
        if name == "spectrum":
            plan = cs.explain(job.operator)
            name, planned = str(plan.method), plan.flops
        features = Features.of(job.operator, planned).by_name
        if not any(job.operator is op for op in self.seen):
            self.seen.append(job.operator)
        place = next(j for j, op in enumerate(self.seen) if job.operator is op)
        layer = f"{place}: {job.operator}"
        effort = ANY if job.name == "spectrum" else self.effort
        return StepTime(self.source, layer, name, effort, seconds, held, features)


def _measured(run: Callable[[], object]) -> tuple[float, int | None]:
    """Seconds, and the bytes by which the resident memory grew at most."""
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")  # the peak is what there is
    before = _resident("VmRSS")
    start = time.perf_counter()
    run()
    seconds = max(LEAST, time.perf_counter() - start)
    after = _resident("VmHWM")
    return seconds, None if math.nan in (before, after) else int(after - before)


def _resident(name: str) -> float:
    """A number of bytes that Linux knows of this process; nan elsewhere."""
    status = Path("/proc/self/status")
    if not status.exists():
        return math.nan
    lines = (line.split() for line in status.read_text().splitlines())
    return next(
        (1024.0 * int(line[1]) for line in lines if line[0] == f"{name}:"), math.nan
    )

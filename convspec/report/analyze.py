"""From a model to its report: run it once, then one row per convolution."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from convspec.errors import (
    Interrupted,
)
from convspec.limits import DEFAULT_MAX_BYTES, Bytes, byte_limit
from convspec.model.sites import Call, chosen, named
from convspec.model.source import OpenedModel
from convspec.model.watched import Watched, watched
from convspec.progress import Progress, progress_bar, told
from convspec.report.agreement import agree
from convspec.report.asked import asked_quantities
from convspec.report.begun import begun
from convspec.report.draft import NOT_ANALYSED, Draft
from convspec.report.job import Steps
from convspec.report.kernel_row import KernelDraft
from convspec.report.layer import LayerReport
from convspec.report.limits import Limits
from convspec.report.model import ModelReport
from convspec.report.print import several
from convspec.report.provenance import Provenance, provenance
from convspec.report.quantities import Quantity
from convspec.report.stages import Stages
from convspec.run.apart import workers_of

__all__ = ["analyze"]


def analyze(
    model: nn.Module | torch.export.ExportedProgram | OpenedModel,
    input_shape: Sequence[Any] | None = None,
    *,
    inputs: Sequence[Any] | Mapping[str, Any] | torch.Tensor | None = None,
    effort: str = "default",
    seconds: float | None = None,
    max_bytes: Bytes = DEFAULT_MAX_BYTES,
    max_flops: float | None = None,
    norm_flops: float | None = None,
    envelope_flops: float | None = None,
    worst_case_flops: float | None = None,
    worst_case_seconds: float | None = None,
    phases: int | None = None,
    rank_rtol: float | Sequence[float] | None = None,
    energy: float | Sequence[float] | None = None,
    layers: str | Sequence[str] | None = None,
    linear: bool = False,
    fold_batch_norm: bool = False,
    cache: str | os.PathLike[str] | None = None,
    executor: Executor | None = None,
    progress: Progress | bool | None = None,
) -> ModelReport:
    """Every convolution of a model as an operator, its spectrum exact or enclosed.

    The model is run once, in evaluation mode, and every convolution is taken as it is
    called: functions and layers that override them, the weight in force, the size. What
    pads its input or cuts its output is part of its operator, where there is one, and
    said in the row; else the row says that its numbers hold for the convolution alone.
    Modes, hooks, gradients and the random state are left as they were. A layer called on
    two sizes gets two rows. Layers with weights that are in no row are counted below the
    table, and a layer whose weight holds NaN or infinity has a row that says so.

    Where no exact method is within the limits, the norm is enclosed,
    :func:`convspec.spectral_norm`, and an envelope bounds the rank and all other
    quantities. Beside the norm stand its worst case over input sizes and the norm of the
    reshaped kernel, which ``torch.nn.utils.spectral_norm`` normalises instead. Certified
    ends of one number meet: none excludes what another says.

    All norms come first, then the other quantities. Within both, layers are taken side by
    side, each by one thread, and what cheap ones are expected to leave of the operations
    is for the others, so that the numbers depend neither on the order nor on the machine.

    A step that fails, as where memory is short, ends for its row alone: what the row knew
    stays, ``left_out`` says what failed, and ``error`` holds the exception.

    Args:
        model: Any module: eager, TorchScript, compiled, in ``DataParallel``, a graph of
            FX; an exported program; or what ``convspec.open_model`` returns.
        input_shape: Shape without the batch, ``(3, 224, 224)``, or one per input; may be
            left out for an opened model that knows it.
        inputs: Instead of ``input_shape``: the very arguments to call the model with, by
            name in a mapping, or the only one if it is a tensor.
        effort: How hard to try: ``"quick"``, ``"default"`` or ``"thorough"`` stand for
            limits on the operations and for a relative gap of sigma_1 to stop at, 1e-2,
            1e-4 or 1e-6. Each of the limits below may be given by itself.
        seconds: About when to end in any case, a part of it before the last norm; what
            is found by then depends on the machine, and ``left_out`` of a row says so.
        max_bytes: Byte limit per layer, a number or words such as ``"2 GiB"``.
        max_flops: A spectrum that is estimated to cost more operations is left out;
            1e11 by default.
        norm_flops: Operations on the norm of a layer without a spectrum, on average:
            what some leave others may take; 2e11 by default.
        envelope_flops: Tori of an envelope that together are estimated beyond this are
            left out, the least telling first; ``left_out`` of the row says so. 2e10 by
            default.
        worst_case_flops: Operations on the search for a layer's worst case over input
            sizes, which ends there however close its ends are; ``left_out`` says so.
            0 for no search; 5e10 by default.
        worst_case_seconds: About when that search ends in any case. No limit unless
            told. It can take longer where a first look at a wide kernel does.
        phases: Phase shifts of each torus in the envelopes of layers without an exact
            spectrum, see :func:`convspec.spectral_envelope`; 0 for no torus; 1 by
            default.
        rank_rtol: Tolerances, one or several: a column each with the number of singular
            values above ``rtol sigma_1``.
        energy: Shares of ``||A||_F^2``, one or several: a column each with the least
            number of singular values that hold it.
        layers: Names of the rows to make, or patterns of them, ``"features.*"``; all by
            default.
        linear: Whether linear layers are rows, too, as 1 x 1 convolutions.
        fold_batch_norm: Whether batch norm behind a convolution is part of its operator,
            in double precision.
        cache: A folder, made if it is not there, in which the result of each step of each
            layer is stored as soon as it is computed, and found again: an analysis that
            was killed goes on where it was, and that of the next checkpoint computes
            what changed. ``seconds`` of a row are then those that it took when it was
            computed. None to store nothing.
        executor: Who takes the steps: any of the interface of ``concurrent.futures``,
            processes too, or of Dask, ``Client.get_executor()``; it is left open.
            Otherwise the backend that ``joblib.parallel_config`` names, or threads of
            this process. Elsewhere each step has one thread, and ``error`` of a row no
            traceback. The numbers are the same, to the last bit but where one layer
            takes most of the work, which threads of this process share.
        progress: True for a bar on a terminal or in a notebook; or a function, called
            with (done, in all, what is at work) at first, behind the norm of each layer,
            and behind the other quantities of each that is not exact.

    Returns:
        A :class:`ModelReport`, whose ``repr`` is the table.

    Raises:
        TypeError: If the model is no module, progress neither a function nor a truth
            value, the executor none, or not one of ``input_shape`` and ``inputs`` is
            given.
        UnreadableModel: If the model does not run on the input, or is a state dict or a
            TorchScript function.
        OSError: If the cache is a file, cannot be made, or cannot be written to.
        Interrupted: At Ctrl-C, which is a ``KeyboardInterrupt``; its ``report`` holds
            what was found by then.
        UnsupportedLayer: If a layer is lazy and has no weight yet.
        ValueError: If effort is none of its words, phases is not an integer of at least
            0, or a limit, a tolerance or a share not a number of its range.
    """
    max_bytes = byte_limit(max_bytes)
    asked = asked_quantities(rank_rtol, energy)
    limits = Limits.of(
        effort,
        seconds=seconds,
        max_bytes=max_bytes,
        max_flops=max_flops,
        norm_flops=norm_flops,
        envelope_flops=envelope_flops,
        worst_case_flops=worst_case_flops,
        worst_case_seconds=worst_case_seconds,
        phases=phases,
    )
    steps = _steps(cache)
    with told(progress, progress_bar) as tell:
        seen = watched(
            model, input_shape, inputs, linear=linear, fold_batch_norm=fold_batch_norm
        )
        calls = chosen(seen.trace.calls, layers)
        origin = provenance(seen.title, seen.argument, limits)
        rows = _Rows([*named(calls)], limits)
        try:
            with workers_of(executor) as workers:
                rows.work(Stages(limits, steps, workers, tell))
        except KeyboardInterrupt:
            agree(rows.drafts)
            found, done = rows.report(seen, origin, asked), rows.done
            raise Interrupted(f"interrupted {done}; .report has them", found) from None
    return rows.report(seen, origin, asked)


@dataclass
class _Rows:
    """The rows of an analysis while it is at work: those begun, and what is to come."""

    calls: Sequence[tuple[str, Call]]
    limits: Limits
    begun: list[Draft | KernelDraft | LayerReport] = field(default_factory=list)

    def work(self, stages: Stages) -> None:
        """Begin all, and take them through the stages."""
        for name, call in self.calls:
            self.begun.append(begun(name, call, self.limits))
        kernels = [row for row in self.begun if isinstance(row, KernelDraft)]
        stages.run([row.course(self.limits) for row in kernels], [1.0] * len(kernels))
        stages.take(self.drafts)

    @property
    def drafts(self) -> list[Draft]:
        """Those in work."""
        return [row for row in self.begun if isinstance(row, Draft)]

    @property
    def complete(self) -> int:
        """How many are complete."""
        rows = [row for row in self.begun if not isinstance(row, LayerReport)]
        return len(self.begun) - sum(bool(row.ahead) for row in rows)

    @property
    def done(self) -> str:
        """How much is done, in words."""
        return f"when {self.complete} of {len(self.calls)} rows were complete"

    def report(
        self,
        seen: Watched,
        origin: Provenance,
        asked: tuple[Quantity, ...],
    ) -> ModelReport:
        """The report of them, as they are."""
        begun = [
            replace(row, asked=asked)
            if isinstance(row, LayerReport)
            else row.finished(asked)
            for row in self.begun
        ]
        others = [
            LayerReport(
                *(name, call.type, call.count, None),
                reason=NOT_ANALYSED,
                left_out=(NOT_ANALYSED,),
                asked=asked,
            )
            for name, call in self.calls[len(begun) :]
        ]
        partial = self.complete < len(self.calls)
        notes = [f"partial: interrupted {self.done}"] if partial else []
        notes += [*seen.trace.notes, *_unsettled(begun)]
        unused = tuple(seen.trace.unused)
        return ModelReport(
            (*begun, *others), seen.input, unused, tuple(notes), origin, partial
        )


def _unsettled(rows: Sequence[LayerReport]) -> Iterator[str]:
    """Sentences on rows that are refused, and on those of which steps failed."""
    yield from (f"{row.name}: {row.reason}" for row in rows if row.operator is None)
    failed = [row.name for row in rows if row.operator is not None and row.error]
    if failed:
        yield f"failed in part, the other rows are complete: {several(failed)}"


def _steps(cache: str | os.PathLike[str] | None) -> Steps:
    """Steps that are computed, or found in a folder."""
    if cache is None:
        return Steps()
    from convspec.report.stored import StoredSteps

    return StoredSteps.at(cache)

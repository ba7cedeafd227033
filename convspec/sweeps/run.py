"""From checkpoints to a sweep: files that are known are found, others are analysed."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from convspec.cache import Store
from convspec.errors import ConvSpecError
from convspec.extras import MissingExtra
from convspec.files.reading import one_line
from convspec.limits import DEFAULT_MAX_BYTES, byte_limit
from convspec.model.inputs import plain_shape
from convspec.operators.layers import layer_type
from convspec.progress import Progress, progress_bar, told
from convspec.report.analyze import analyze
from convspec.report.asked import asked_quantities
from convspec.report.limits import Limits
from convspec.report.provenance import Provenance, provenance
from convspec.run.apart import worker_count
from convspec.run.interruptible import Interruptible
from convspec.sweeps.checkpoints import CheckpointFile, Given, named_files
from convspec.sweeps.finished import Finished, file_digest
from convspec.sweeps.parquet import parquet_module
from convspec.sweeps.result import Sweep
from convspec.sweeps.rows import Row, report_rows
from convspec.sweeps.side_by_side import side_by_side
from convspec.sweeps.weighted import Model, WeightedModel
from convspec.written import require_writable

__all__ = ["sweep"]

OTHERS = {"model", "input_shape", "inputs", "cache", "executor", "progress"}
SETTINGS = [name for name in inspect.signature(analyze).parameters if name not in OTHERS]
LIMITS = [name for name in Limits.__dataclass_fields__ if name in SETTINGS]
# checkpoints whose steps an executor is sent at a time: each has a model of its own
AT_A_TIME = 8
TOUCHED = "it was written to while it was read; sweep again when it is whole"


def sweep(
    checkpoints: Given | Sequence[Given],
    model: Model,
    input_shape: Sequence[Any] | None = None,
    *,
    out: Given | None = None,
    cache: Given | None = None,
    executor: Executor | None = None,
    progress: Progress | bool | None = None,
    **settings: Any,
) -> Sweep:
    """Analyse many checkpoints of one model: a table with a row for each and each layer.

    The numbers are those of :func:`convspec.analyze`. What is computed is stored, step by
    step: a sweep that was killed goes on where it was, a checkpoint whose file has the
    same bytes as before is not even loaded, and of one that changed the layers that did
    are computed. A checkpoint that cannot be read or analysed is named, and the others
    go on.

    Args:
        checkpoints: A pattern, ``"run1/*.safetensors"``, whose files are taken in natural
            order, ``epoch2`` before ``epoch10``; or a list of files, in its own.
        model: A module, which is left as it is; a function that makes one; or its name,
            ``"package.module:callable"``.
        input_shape: Shape without the batch, ``(3, 224, 224)``, or one per input.
        out: A Parquet file to write when all is done, for :func:`convspec.read_sweep`.
        cache: A folder in which results are stored and found; unless told,
            ``OUT.cache`` beside the file, and none without one.
        executor: Who takes the steps, as of :func:`convspec.analyze`: of several
            checkpoints at a time.
        progress: True for a bar; or a function, called with (checkpoints done, in all,
            what comes).
        **settings: Of :func:`convspec.analyze`: ``effort``, ``layers``, ``linear``,
            ``fold_batch_norm``, limits and the rest, for each checkpoint. Results that
            ``seconds`` or ``worst_case_seconds`` may have cut are found step by step
            alone.

    Returns:
        A :class:`Sweep`, whose ``repr`` is a table of how norms went.

    Raises:
        TypeError: For settings that analyze does not have, or arguments of other kinds.
        ConvSpecError: If no file matches, one is there twice, or none could be analysed.
        MissingExtra: With ``out`` without pyarrow, which ``convspec[sweep]`` installs.
        OSError: If the file or the folder cannot be written to.
    """
    if out is not None:
        parquet_module()  # before long work
        require_writable(Path(out))
    files, task = named_files(checkpoints), _task(model, input_shape, settings)
    task = replace(task, executor=executor)
    folder = f"{os.fspath(out)}.cache" if cache is None and out is not None else cache
    task = task.within(None if folder is None else Store.at(folder))
    with told(progress, progress_bar) as tell:
        found = _outcomes(task, files, tell)
        if tell is not None:
            tell(len(files), len(files), "")
    rows, done, failed = list[Row](), list[CheckpointFile](), dict[str, str]()
    for file, outcome in zip(files, found, strict=True):
        if isinstance(outcome, str):
            failed[file.name] = outcome
            continue
        rows += [_labelled(file, row) for row in outcome]
        done.append(file)
    if not done:
        name, why = next(iter(failed.items()))
        raise ConvSpecError(
            one_line(f"no checkpoint of {len(files)} could be analysed; {name}: {why}")
        )
    names, steps = [file.name for file in done], [file.step for file in done]
    result = Sweep(tuple(rows), tuple(names), tuple(steps), failed, task.origin)
    if out is not None:
        result.to_parquet(out)
    return result


@dataclass(frozen=True)
class _Task:
    """What is to be done with each checkpoint.

    Attributes:
        model: What takes the weights.
        input_shape: Of its input.
        settings: Of analyze.
        timed: Whether results depend on the machine.
        origin: What a report would say of where it comes from.
        described: All settings, in plain values.
        executor: Who takes the steps; None for those of this process.
        store: Where results are stored; None for nowhere.
        finished: Rows that are done.
    """

    model: WeightedModel
    input_shape: tuple[Any, ...] | None
    settings: Mapping[str, Any]
    timed: bool
    origin: Provenance
    described: Mapping[str, Any]
    executor: Executor | None = None
    store: Store | None = None
    finished: Finished | None = None

    def within(self, store: Store | None) -> _Task:
        """The task with a folder of results."""
        digest = None
        if store is not None and not self.timed:
            options = {
                name: bool(self.settings.get(name))
                for name in ("linear", "fold_batch_norm")
            }
            digest = self.model.digest(self.input_shape, **options)
        finished = None
        if store is not None and digest is not None:
            finished = Finished(store, digest, self.described)
        return replace(self, store=store, finished=finished)

    def rows(self, file: CheckpointFile, tell: Progress | None) -> list[Row]:
        """The rows of a checkpoint.

        Raises:
            ConvSpecError: If it cannot be read or analysed.
        """
        digest = None if self.finished is None else file_digest(file.path)
        if self.finished is not None and digest is not None:
            found = self.finished.rows(digest)
            if found is not None:
                return found
        opened = self.model.loaded(file.path)
        if digest is not None and file_digest(file.path) != digest:
            raise ConvSpecError(f"{file.path} {TOUCHED}")
        folder = None if self.store is None else self.store.folder
        report = analyze(
            opened,
            self.input_shape,
            cache=folder,
            executor=self.executor,
            progress=tell,
            **self.settings,
        )
        rows = report_rows(report)
        if self.finished is not None and digest is not None:
            self.finished.keep(digest, rows)
        return rows


def _outcomes(
    task: _Task, files: Sequence[CheckpointFile], tell: Progress | None
) -> list[list[Row] | str]:
    """Rows of each checkpoint, or why there are none; several at a time elsewhere."""
    count = 1
    if task.executor is not None:
        count = min(AT_A_TIME, len(files), worker_count(task.executor))
    if task.executor is None or count == 1:
        return [
            _outcome(task, file, _part(tell, place, len(files), file.name))
            for place, file in enumerate(files)
        ]
    executor = Interruptible(task.executor)
    task = replace(task, executor=executor)
    others = [replace(task, model=task.model.another()) for _ in range(1, count)]
    return side_by_side([task, *others], files, _outcome, executor.interrupt, tell)


def _outcome(
    task: _Task, file: CheckpointFile, tell: Progress | None = None
) -> list[Row] | str:
    try:
        return task.rows(file, tell)
    except MissingExtra:
        raise
    except (ConvSpecError, OSError) as error:
        return one_line(error)


def _task(
    model: Model, input_shape: Sequence[Any] | None, settings: Mapping[str, Any]
) -> _Task:
    """The task, its settings checked before long work."""
    unknown = [name for name in settings if name not in SETTINGS]
    if unknown:
        raise TypeError(
            f"settings must be of analyze: {', '.join(SETTINGS)}; got {unknown[0]}"
        )
    held = byte_limit(settings.get("max_bytes", DEFAULT_MAX_BYTES))
    given: dict[str, Any] = {name: settings.get(name) for name in LIMITS}
    effort = settings.get("effort", "default")
    limits = Limits.of(**{**given, "effort": effort, "max_bytes": held})
    asked = asked_quantities(settings.get("rank_rtol"), settings.get("energy"))
    taken = WeightedModel.of(model, held)
    shape = taken.opened.input_shape if input_shape is None else plain_shape(input_shape)
    chosen = settings.get("layers")
    described = {
        "input_shape": shape,
        "limits": asdict(limits),
        "asked": [each.name for each in asked],
        "layers": chosen if chosen is None or isinstance(chosen, str) else list(chosen),
        "linear": bool(settings.get("linear")),
        "fold_batch_norm": bool(settings.get("fold_batch_norm")),
    }
    timed = limits.seconds is not None or limits.worst_case_seconds is not None
    title = layer_type(taken.module)
    return _Task(
        taken, shape, settings, timed, provenance(title, repr(shape), limits), described
    )


def _labelled(file: CheckpointFile, row: Row) -> Row:
    return {"checkpoint": file.name, "step": file.step, **row}


def _part(tell: Progress | None, place: int, total: int, name: str) -> Progress | None:
    """Progress within one checkpoint, told of that among all."""
    if tell is None:
        return None
    tell(place, total, name)

    def part(done: int, in_all: int, what: str) -> None:
        tell(place, total, f"{name}: {what}" if what else name)

    return part

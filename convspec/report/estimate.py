"""Seconds and memory of an analysis, and of an operator's methods, before the work."""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from convspec.arguments import shown
from convspec.cache import Store
from convspec.errors import NotApplicable
from convspec.forecast.cost import Cost
from convspec.forecast.forecast import Forecast
from convspec.forecast.machine import Machine, machine_of
from convspec.isolation import isolated
from convspec.limits import DEFAULT_MAX_BYTES, Bytes, byte_limit, readable_bytes
from convspec.model.sites import chosen, named
from convspec.model.source import OpenedModel
from convspec.model.watched import watched
from convspec.operators.linear_map import LinearMap
from convspec.operators.operator import ConvOperator
from convspec.report.begun import begun
from convspec.report.draft import NORM, Draft
from convspec.report.enclose import too_costly
from convspec.report.kernel_row import KernelDraft
from convspec.report.layer import LayerReport
from convspec.report.limits import Limits
from convspec.report.print import printable
from convspec.report.row_cost import WORST_CASE, analysis_steps
from convspec.spectrum import explain

__all__ = ["estimate"]

NOTES = {
    NORM: "spectral_norm to a relative gap of {rtol:g}",
    WORST_CASE: "worst_case_norm, over all input sizes",
    "other quantities": "spectral_envelope, and sums over all values",
    "estimates": "of what enclosures leave wide",
}


def estimate(
    subject: ConvOperator | nn.Module | torch.export.ExportedProgram | OpenedModel,
    input_shape: Sequence[Any] | None = None,
    *,
    inputs: Sequence[Any] | Mapping[str, Any] | torch.Tensor | None = None,
    effort: str = "default",
    max_bytes: Bytes = DEFAULT_MAX_BYTES,
    layers: str | Sequence[str] | None = None,
    linear: bool = False,
    fold_batch_norm: bool = False,
    cache: str | os.PathLike[str] | None = None,
) -> Forecast:
    """Seconds and bytes of an operator by method, of a model by layer, before the work.

    What steps take was measured on drawn layers and on networks, and fitted: a law for
    each step, of the sizes of the operator and of how far its kernel is from noise. The
    machine is measured in half a second, once in each process, or once for all with
    ``cache``. Of the layers of networks that the laws were not fitted to, 89 % took half
    to twice as long as foreseen; beside other work all of it takes longer. The model's
    own run is not counted.

    Args:
        subject: An operator: how long each method takes. Or what
            :func:`convspec.analyze` takes, which runs once: how long each layer takes.
        input_shape: Of a model, as of :func:`convspec.analyze`.
        inputs: The same.
        effort: How hard to try, as of :func:`convspec.analyze`.
        max_bytes: Byte limit per layer; methods beyond it are marked.
        layers: Names of the rows to make, or patterns of them.
        linear: Whether linear layers are rows, too.
        fold_batch_norm: Whether batch norm is part of the operators.
        cache: A folder in which the speed of the machine is kept, the same as of
            :func:`convspec.analyze`; what is stored there is not looked at.

    Returns:
        A :class:`Forecast`, whose ``repr`` is a table.

    Raises:
        TypeError: If the subject is neither a model nor an operator of one convolution,
            or an operator with an input shape.
        UnreadableModel: If the model does not run on the input.
        OSError: If the cache is a file, cannot be made, or cannot be written to.
        ValueError: If effort is none of its words.

    Example:
        >>> import torch, convspec as cs
        >>> op = cs.ConvOperator(torch.tensor([[[1.0, 2.0, 4.0]]]), 8, padding=1)
        >>> found = cs.estimate(op)
        >>> [row.name for row in found]
        ['dense', 'krylov', 'worst case', 'norm', 'other quantities', 'estimates']
        >>> found["dense"].seconds < 1, found["dense"].memory < 2**20
        (True, True)
    """
    max_bytes = byte_limit(max_bytes)
    limits = Limits.of(effort, max_bytes=max_bytes)
    if cache is not None:
        Store.at(cache)  # made, or refused
    if isinstance(subject, LinearMap):
        if not isinstance(subject, ConvOperator):
            raise TypeError(
                "estimate takes an operator of one convolution, or a model; got "
                f"{shown(subject)}; ask for each of its parts"
            )
        if input_shape is not None or inputs is not None:
            raise TypeError("an operator has its size: give no input_shape and no inputs")
        return _of_operator(subject, limits, machine_of(cache))
    machine = machine_of(cache)
    seen = watched(
        subject, input_shape, inputs, linear=linear, fold_batch_norm=fold_batch_norm
    )
    calls = named(chosen(seen.trace.calls, layers))
    rows = [(call.kernel, begun(name, call, limits)) for name, call in calls]
    return _of_rows(seen.title, rows, limits, machine)


@isolated
def _of_operator(op: ConvOperator, limits: Limits, machine: Machine) -> Forecast:
    """The methods of an operator."""
    plan = explain(op, max_bytes=limits.max_bytes)
    exact = too_costly(plan, limits) is None
    given = limits.effort, machine, machine.cores
    methods = [
        replace(row, note=NOTES[row.name].format(rtol=limits.rtol))
        for row in analysis_steps(op, plan, False, *given)
    ]
    taken = [*analysis_steps(op, plan, exact, *given)]
    return Forecast(
        printable(str(op)),
        (*_spectra(op, limits, machine), *methods),
        sum(step.seconds for step in taken),
        min(limits.max_bytes, max(step.memory for step in taken)),
        machine,
    )


def _spectra(op: ConvOperator, limits: Limits, machine: Machine) -> Iterator[Cost]:
    """The methods for singular values that are exact for an operator."""
    for method in ("fourier", "dense", "krylov"):
        k = 1 if method == "krylov" else None
        try:
            plan = explain(op, k, method=method, max_bytes=limits.max_bytes)
        except NotApplicable:
            continue
        words = "spectrum, k = 1" if k else f"spectrum, all {min(op.shape):,} values"
        if plan.method is None:
            words += f", beyond max_bytes = {readable_bytes(limits.max_bytes)}"
        cost = replace(plan, method=method).cost(machine, machine.cores)
        yield replace(cost, name=method, note=words)


@isolated
def _of_rows(
    title: str,
    rows: Sequence[tuple[int, Draft | KernelDraft | LayerReport]],
    limits: Limits,
    machine: Machine,
) -> Forecast:
    """The layers of a model; kernels that several have are counted once."""
    found, kernels = [], set()
    for kernel, row in rows:
        cost = _of_row(row, limits, machine)
        if kernel in kernels:
            rest = tuple(step for step in cost.steps if step.name != WORST_CASE)
            cost = _summed(cost.name, rest, cost.note)
        kernels.add(kernel)
        found.append(cost)
    seconds = sorted(row.seconds for row in found)
    side_by_side = max([sum(seconds) / machine.cores, *seconds[-1:]])
    held = heapq.nlargest(machine.cores, (row.memory for row in found))
    return Forecast(printable(title), (*found,), side_by_side, sum(held), machine)


def _of_row(
    row: Draft | KernelDraft | LayerReport, limits: Limits, machine: Machine
) -> Cost:
    """A layer."""
    if isinstance(row, LayerReport):
        return Cost(row.name, 0.0, 0, row.reason)
    if isinstance(row, KernelDraft):
        plan = explain(row.operator, max_bytes=limits.max_bytes)
        steps = [*analysis_steps(row.operator, plan, True, limits.effort, machine)][:1]
        return _summed(row.name, steps, "the kernel alone")
    exact = row.beyond is None
    note = f"spectrum by {row.plan.method}" if exact else "enclosed"
    steps = [*analysis_steps(row.operator, row.plan, exact, limits.effort, machine)]
    return _summed(row.name, steps, note)


def _summed(name: str, steps: Sequence[Cost], note: str) -> Cost:
    """A row of some steps, one after the other."""
    seconds = sum(step.seconds for step in steps)
    memory = max((step.memory for step in steps), default=0)
    return Cost(printable(name), seconds, memory, note, tuple(steps))

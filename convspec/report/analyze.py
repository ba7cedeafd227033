"""From a model to its report: run it once, then one row per convolution."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from convspec.errors import GeometryError, NotConverged, NotFiniteError, UnsupportedLayer
from convspec.layers import layer_type
from convspec.limits import DEFAULT_MAX_BYTES, readable_bytes
from convspec.operator import ConvOperator
from convspec.report.calls import Call, example_inputs, trace_calls
from convspec.report.layer import LayerReport
from convspec.report.model import ModelReport
from convspec.spectrum import Plan, Spectrum, explain, spectrum

__all__ = ["analyze"]

# residual of the leading singular value, relative; its own error is far smaller
NORM_RTOL = 1e-4

Progress = Callable[[int, int, str], None]


def analyze(
    model: nn.Module,
    input_shape: Sequence[Any] | None = None,
    *,
    inputs: Sequence[Any] | torch.Tensor | None = None,
    max_flops: float = 1e11,
    max_bytes: int = DEFAULT_MAX_BYTES,
    progress: Progress | None = None,
) -> ModelReport:
    """Every convolution of a model as an operator, its spectrum where it is exact.

    The model is run once, in evaluation mode, to see which layers it calls on which
    sizes; its modes, hooks, gradients and the random state are left as they were. A
    layer called on two sizes gets two rows.

    Args:
        model: Any module; convolutions are found by hooks.
        input_shape: Shape without the batch, ``(3, 224, 224)``, or one per input.
        inputs: Instead of ``input_shape``: the very arguments to call the model with, or
            the only one if it is a tensor.
        max_flops: Spectra estimated to cost more operations than this are left out.
        max_bytes: Byte limit per layer.
        progress: Called with (layers done, layers, name) before each layer and behind
            the last.

    Returns:
        A :class:`ModelReport`, whose ``repr`` is the table.

    Raises:
        UnreadableModel: If the model does not run on the input.
        UnsupportedLayer: If a layer is lazy and has no weight yet.
        NotFiniteError: If a weight holds NaN or infinity, naming the layer.
    """
    if (input_shape is None) == (inputs is None):
        raise TypeError("analyze needs either input_shape or inputs, and not both")
    if isinstance(inputs, torch.Tensor):
        inputs = (inputs,)
    if inputs is None:
        assert input_shape is not None
        inputs = example_inputs(model, input_shape)
    trace = trace_calls(model, inputs)
    sizes = Counter(call.name for call in trace.calls)
    rows = []
    for done, call in enumerate(trace.calls):
        name = call.name
        if sizes[call.name] > 1:
            name += f" [{'x'.join(map(str, call.input_size))}]"
        if progress is not None:
            progress(done, len(trace.calls), name)
        rows.append(_layer(name, call, max_flops, max_bytes))
    if progress is not None:
        progress(len(rows), len(rows), "")
    refused = [f"{row.name}: {row.reason}" for row in rows if row.operator is None]
    shown = input_shape if input_shape is not None else [_shown(x) for x in inputs]
    return ModelReport(tuple(rows), shown, tuple(trace.unused), (*trace.notes, *refused))


def _layer(name: str, call: Call, max_flops: float, max_bytes: int) -> LayerReport:
    start = time.perf_counter()
    try:
        op = ConvOperator.from_layer(
            call.module, call.input_size, output_size=call.output_size
        )
    except NotFiniteError as error:
        raise NotFiniteError(f"layer {name!r}: {error}") from error
    except UnsupportedLayer as error:
        return _row(name, call, None, None, None, "none", str(error), start)
    plan = explain(op, max_bytes=max_bytes)
    reason = _too_costly(plan, max_flops, max_bytes)
    if reason is None:
        exact = spectrum(op, max_bytes=max_bytes)
        return _row(name, call, op, exact, None, exact.method, plan.reason, start)
    circular = _circular(op, max_flops, max_bytes)
    leading = _leading(op, max_flops, max_bytes)
    method = "none" if leading is None else "krylov"
    return _row(name, call, op, None, circular, method, reason, start, leading)


def _too_costly(plan: Plan, max_flops: float, max_bytes: int) -> str | None:
    if plan.memory > max_bytes:
        return f"{plan.reason}, {readable_bytes(plan.memory)}, beyond max_bytes"
    if plan.flops > max_flops:
        return f"{plan.reason}, {plan.flops:.1e} operations, beyond max_flops"
    return None


def _leading(op: ConvOperator, max_flops: float, max_bytes: int) -> Spectrum | None:
    """The largest singular value by Krylov, converged or as far as it came."""
    plan = explain(op, 1, method="krylov", max_bytes=max_bytes)
    if _too_costly(plan, max_flops, max_bytes) is not None:
        return None
    try:
        return spectrum(op, 1, method="krylov", rtol=NORM_RTOL, max_bytes=max_bytes)
    except NotConverged as error:
        return error.best if isinstance(error.best, Spectrum) else None


def _circular(op: ConvOperator, max_flops: float, max_bytes: int) -> Spectrum | None:
    """The spectrum on the torus, where the stride divides the size."""
    try:
        torus = op.circular()
    except GeometryError:
        return None
    plan = explain(torus, max_bytes=max_bytes)
    if _too_costly(plan, max_flops, max_bytes) is not None:
        return None
    return spectrum(torus, max_bytes=max_bytes)


def _row(
    name: str,
    call: Call,
    op: ConvOperator | None,
    exact: Spectrum | None,
    circular: Spectrum | None,
    method: str,
    reason: str,
    start: float,
    leading: Spectrum | None = None,
) -> LayerReport:
    return LayerReport(
        name=name,
        type=layer_type(call.module),
        calls=call.count,
        operator=op,
        frobenius_norm=None if op is None else op.frobenius_norm(),
        spectrum=exact,
        leading=leading,
        circular=circular,
        method=method,
        reason=reason,
        seconds=time.perf_counter() - start,
    )


def _shown(x: Any) -> Any:
    return list(x.shape) if isinstance(x, torch.Tensor) else type(x).__name__

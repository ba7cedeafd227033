"""From a model to its report: run it once, then one row per convolution."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from convspec.errors import GeometryError, NotFiniteError, UnsupportedLayer
from convspec.isolation import isolated
from convspec.limits import DEFAULT_MAX_BYTES
from convspec.model.calls import Call, example_inputs, plain_shape, trace_calls
from convspec.model.opaque import refuse_opaque, within_recursion_limit
from convspec.operators.layers import layer_type
from convspec.operators.operator import ConvOperator
from convspec.report.enclose import circular, enclosed, too_costly
from convspec.report.kernel_norms import KernelNorms, kernel_norms
from convspec.report.known import Enclosed, Exact, Singular
from convspec.report.layer import LayerReport
from convspec.report.limits import Limits
from convspec.report.model import ModelReport
from convspec.report.provenance import provenance
from convspec.spectrum import explain, spectrum

__all__ = ["analyze"]

Progress = Callable[[int, int, str], None]


def analyze(
    model: nn.Module,
    input_shape: Sequence[Any] | None = None,
    *,
    inputs: Sequence[Any] | torch.Tensor | None = None,
    max_flops: float = 1e11,
    max_bytes: int = DEFAULT_MAX_BYTES,
    phases: int = 4,
    envelope_flops: float = 5e10,
    worst_case_flops: float = 2.5e11,
    worst_case_seconds: float | None = None,
    progress: Progress | None = None,
) -> ModelReport:
    """Every convolution of a model as an operator, its spectrum exact or enclosed.

    The model is run once, in evaluation mode, to see which layers it calls on which
    sizes; its modes, hooks, gradients and the random state are left as they were. A
    layer called on two sizes gets two rows. Where no exact method is within the limits,
    a Krylov vector and an envelope bound the norm, the rank and all other quantities.
    Beside the norm stand its worst case over input sizes and the norm of the reshaped
    kernel, which ``torch.nn.utils.spectral_norm`` normalises instead.

    Args:
        model: Any module; convolutions are found by hooks.
        input_shape: Shape without the batch, ``(3, 224, 224)``, or one per input.
        inputs: Instead of ``input_shape``: the very arguments to call the model with, or
            the only one if it is a tensor.
        max_flops: What is estimated to cost more operations than this is left out.
        max_bytes: Byte limit per layer.
        phases: Phase shifts of each torus in the envelopes of layers without an exact
            spectrum, see :func:`convspec.spectral_envelope`; 0 for no torus.
        envelope_flops: Tori of an envelope that together are estimated beyond this are
            left out, the least telling first; ``left_out`` of the row says so.
        worst_case_flops: Operations on the search for a layer's worst case over input
            sizes, which ends there however close its ends are; ``left_out`` says so.
            0 for no search.
        worst_case_seconds: About when that search ends in any case; what is found by
            then depends on the machine, and ``left_out`` says so. No limit unless told.
            It can take longer where a first look at a wide kernel does.
        progress: Called with (layers done, layers, name) before each layer and behind
            the last.

    Returns:
        A :class:`ModelReport`, whose ``repr`` is the table.

    Raises:
        TypeError: If the model is no module, or not one of ``input_shape`` and ``inputs``
            is given.
        UnreadableModel: If the model does not run on the input, or hides its layers, as
            TorchScript and exported graphs do.
        UnsupportedLayer: If a layer is lazy and has no weight yet.
        NotFiniteError: If a weight holds NaN or infinity, naming the layer.
        ValueError: If phases is not an integer of at least 0, or a limit not a number
            of at least 0.
    """
    refuse_opaque(model)
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"analyze takes a torch.nn.Module; got {type(model).__name__}; wrap what is "
            "none in a module whose forward calls it"
        )
    if (input_shape is None) == (inputs is None):
        raise TypeError("analyze needs either input_shape or inputs, and not both")
    if isinstance(inputs, torch.Tensor):
        inputs = (inputs,)
    if inputs is None:
        input_shape = plain_shape(input_shape)
        with within_recursion_limit():
            inputs = example_inputs(model, input_shape)
    limits = Limits(
        max_flops, max_bytes, phases, envelope_flops, worst_case_flops, worst_case_seconds
    )
    shown = input_shape if input_shape is not None else [_shown(x) for x in inputs]
    argument = "inputs=..." if input_shape is None else repr(input_shape)
    origin = provenance(model, argument, limits)
    with within_recursion_limit():
        trace = trace_calls(model, inputs)
    sizes = Counter(call.name for call in trace.calls)
    rows: list[LayerReport] = []
    norms: dict[nn.Module, KernelNorms] = {}
    for done, call in enumerate(trace.calls):
        name = call.name
        if sizes[call.name] > 1:
            name += f" [{'x'.join(map(str, call.input_size))}]"
        if progress is not None:
            progress(done, len(trace.calls), name)
        rows.append(_layer(name, call, limits, norms))
    if progress is not None:
        progress(len(rows), len(rows), "")
    refused = [f"{row.name}: {row.reason}" for row in rows if row.operator is None]
    notes = *trace.notes, *refused
    return ModelReport(tuple(rows), shown, tuple(trace.unused), notes, origin)


@isolated
def _layer(
    name: str, call: Call, limits: Limits, norms: dict[nn.Module, KernelNorms]
) -> LayerReport:
    """One row; the norms of its kernel are kept for its other input sizes."""
    start = time.perf_counter()
    try:
        if call.altered:
            raise UnsupportedLayer(
                f"{layer_type(call.module)} must return what its convolution gives; a "
                "forward hook changes its output; remove the hook, or take "
                "ConvOperator.from_layer(layer, input_size) for the convolution alone"
            )
        op = ConvOperator.from_layer(
            call.module, call.input_size, output_size=call.output_size
        )
    except NotFiniteError as error:
        raise NotFiniteError(f"layer {name!r}: {error}") from error
    except (UnsupportedLayer, GeometryError) as error:
        kind, seconds = layer_type(call.module), time.perf_counter() - start
        return LayerReport(
            name, kind, call.count, None, reason=str(error), seconds=seconds
        )
    if call.module not in norms:
        norms[call.module] = kernel_norms(op, limits)
    kernel = norms[call.module]
    known, reason, left_out = _known(op, limits)
    torus = circular(op, limits) if isinstance(known, Enclosed) else None
    return LayerReport(
        name,
        layer_type(call.module),
        call.count,
        op,
        known,
        reason=reason,
        seconds=time.perf_counter() - start,
        circular=torus,
        worst_case=kernel.worst_case,
        reshaped=kernel.reshaped,
        left_out=(*left_out, *kernel.left_out),
    )


def _known(op: ConvOperator, limits: Limits) -> tuple[Singular, str, tuple[str, ...]]:
    """All singular values, or bounds; why these; and what was left out."""
    plan = explain(op, max_bytes=limits.max_bytes)
    reason = too_costly(plan, limits)
    if reason is None:
        return Exact(spectrum(op, max_bytes=limits.max_bytes)), plan.reason, ()
    found, left_out = enclosed(op, limits)
    return found, reason, left_out


def _shown(x: Any) -> Any:
    return list(x.shape) if isinstance(x, torch.Tensor) else type(x).__name__

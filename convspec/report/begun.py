"""A row of a report as it begins: its operator and its plan, or why there is none."""

from __future__ import annotations

import time

from convspec.errors import GeometryError, NotFiniteError, UnsupportedLayer
from convspec.isolation import isolated
from convspec.model.sites import Call
from convspec.report.draft import Draft
from convspec.report.enclose import too_costly
from convspec.report.failure import Failure
from convspec.report.kernel_row import KernelDraft, kernel_operator
from convspec.report.layer import LayerReport
from convspec.report.limits import Limits
from convspec.spectrum import explain

__all__ = ["begun"]


@isolated
def begun(name: str, call: Call, limits: Limits) -> Draft | KernelDraft | LayerReport:
    """A row to work on, of all or of the kernel alone, or why it is not supported."""
    start = time.perf_counter()
    try:
        if call.sizeless:
            return KernelDraft(name, call, kernel_operator(call))
        op = call.operator()
        plan = explain(op, max_bytes=limits.max_bytes)
        return Draft(name, call, op, plan, too_costly(plan, limits))
    except (GeometryError, NotFiniteError, UnsupportedLayer) as refused:
        words, failed = str(refused), None
    except Exception as error:
        failure = Failure.of("the operator", error)
        words, failed = failure.words, failure.error
    seconds = time.perf_counter() - start
    return LayerReport(
        name, call.type, call.count, None, reason=words, seconds=seconds, error=failed
    )

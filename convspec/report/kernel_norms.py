"""Norms of a layer that its kernel alone determines, whatever the size of its input."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from convspec.bounds import WorstCase, worst_case_norm
from convspec.errors import TooLargeError
from convspec.isolation import isolated
from convspec.operators.operator import ConvOperator
from convspec.quantity.enclosure import Enclosure
from convspec.report.job import Job
from convspec.report.limits import Limits
from convspec.rounding.svd import norm_enclosure
from convspec.run.budget import Budget

__all__ = ["KERNEL", "KernelNorms", "kernel_job", "kernel_norms", "reshaped_norm"]

KERNEL = "worst case over input sizes"


@dataclass(frozen=True)
class KernelNorms:
    """The norms of a kernel at one size and at all, as a report holds them.

    Attributes:
        worst_case: The supremum of sigma_1 over input sizes; None if it was left out.
        reshaped: Certified ends of the norm of the kernel as a matrix, see below.
        left_out: Sentences on what was left out or cut short, and why.
    """

    worst_case: WorstCase | None
    reshaped: Enclosure
    left_out: tuple[str, ...] = ()


def kernel_job(
    op: ConvOperator, limits: Limits, seconds: float = math.inf, step: str = KERNEL
) -> Job[KernelNorms]:
    """:func:`kernel_norms` as a step of an analysis.

    Args:
        op: An operator of the kernel.
        limits: Of the analysis.
        seconds: That there are for it, in all.
        step: What a failure is the failure of.
    """
    if limits.worst_case_seconds is not None:
        seconds = min(seconds, limits.worst_case_seconds)
    flops = limits.worst_case_flops if seconds else 0.0
    inputs = limits.rtol, flops, limits.max_bytes
    share = Budget(flops, limits.max_bytes, seconds)
    return Job("kernel", op, inputs, share, _kernel_norms, (limits,), step)


def _kernel_norms(op: ConvOperator, share: Budget, limits: Limits) -> KernelNorms:
    found = kernel_norms(op, limits, share.seconds)
    worst = found.worst_case
    if worst is not None and worst.short_of:
        share.short_of = worst.short_of
        share.timed_out = share.seconds < math.inf  # it may have been short of them, too
    return found


def kernel_norms(
    op: ConvOperator, limits: Limits, seconds: float = math.inf
) -> KernelNorms:
    """The worst case over input sizes, and what ``spectral_norm`` takes for the norm.

    Args:
        op: An operator of the kernel.
        limits: Of the analysis.
        seconds: That there are for it, in all.
    """
    reshaped = reshaped_norm(op)
    if limits.worst_case_seconds is not None:
        seconds = min(seconds, limits.worst_case_seconds)
    if 0 in (limits.worst_case_flops, seconds):
        return KernelNorms(None, reshaped)
    try:
        with torch.no_grad():
            found = worst_case_norm(
                op,
                rtol=limits.rtol,
                max_flops=limits.worst_case_flops,
                max_seconds=seconds,
                max_bytes=limits.max_bytes,
            )
    except TooLargeError as error:
        return KernelNorms(None, reshaped, (f"no worst case: {error}",))
    if found.converged:
        return KernelNorms(found, reshaped)
    words = (
        f"worst case to a relative gap of {found.supremum_gap:.1e} only"
        f"{_ended(found.short_of, limits)}"
    )
    return KernelNorms(found, reshaped, (words,))


def _ended(short_of: str, limits: Limits) -> str:
    """What ended a search, and how much of it there was; nothing if rounding did."""
    names = {
        "operations": f"worst_case_flops={limits.worst_case_flops:g}",
        "seconds": _seconds(limits),
        "memory": f"max_bytes={limits.max_bytes:g}",
    }
    words = names.get(short_of, short_of)
    return f", the search was ended by {words}" if words else ""


def _seconds(limits: Limits) -> str:
    """Which limit on the time it was."""
    if limits.worst_case_seconds is not None:
        return f"worst_case_seconds={limits.worst_case_seconds:g}"
    return f"seconds={limits.time:g}"


@isolated
def reshaped_norm(op: ConvOperator) -> Enclosure:
    """Certified ends of the norm of the matrix that ``spectral_norm`` normalises.

    In ``torch.nn.utils.spectral_norm`` that is the weight as (C_out, C_in / groups k^d);
    of transposed layers, (C_out / groups, C_in k^d). Without groups it is at most the
    supremum of sigma_1 over input sizes. Groups are stacked in it instead of being taken
    one by one, so that it can lie on either side of sigma_1.
    """
    weight = op.weight.detach().cpu()
    matrix = (weight.transpose(0, 1) if op.transposed else weight).flatten(1)
    wide = torch.complex128 if matrix.is_complex() else torch.float64
    lower, upper = norm_enclosure(matrix.to(wide))
    return Enclosure(float(lower), float(upper))

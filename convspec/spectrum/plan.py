"""Which method computes a spectrum, and why."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from convspec.errors import NotApplicable
from convspec.forecast.cost import Cost, step_cost
from convspec.forecast.features import Features
from convspec.forecast.machine import REFERENCE, Machine
from convspec.isolation import isolated_class
from convspec.limits import readable_bytes
from convspec.operators.operator import ConvOperator
from convspec.operators.reduce import Reduction
from convspec.spectrum.dense import dense_flops
from convspec.spectrum.fourier.cost import fourier_bytes, fourier_flops
from convspec.spectrum.fourier.frequencies import fourier_obstacle
from convspec.spectrum.fourier.vectors import IMAGE_BYTES
from convspec.spectrum.krylov.inverse import factor_bytes
from convspec.spectrum.krylov.largest import basis_within, krylov_bytes
from convspec.spectrum.structure import Structure

__all__ = ["Plan", "make_plan"]

# a dense SVD of at most this many operations is taken even if a few values would do
SMALL_FLOPS = 1e10
CLOSED = "every axis is cyclic or read by one tap"
HALVES = f"{CLOSED}, or its padding mirrors as the even or odd kernel does"


@isolated_class
@dataclass(frozen=True)
class Plan:
    """The method that a spectrum takes, its cost and the reason.

    Attributes:
        method: ``"fourier"``, ``"dense"`` or ``"krylov"``; None where none is possible.
        reason: Why, in a sentence.
        flops: Estimated operations; for ``"krylov"`` those of 100 products with A and
            100 with its adjoint.
        memory: Bytes it holds at a time, its result included.
        operator: Of which map, if it is one convolution.
        k: How many values are wanted, for ``"krylov"``.
    """

    method: str | None
    reason: str
    flops: float
    memory: int
    operator: ConvOperator | None = field(default=None, repr=False, compare=False)
    k: int = field(default=1, repr=False, compare=False)

    @property
    def seconds(self) -> float:
        """Wall time, about, on all cores of this machine, see :func:`convspec.estimate`.

        The machine is measured at first, in half a second.
        """
        machine = Machine.here()
        return self.cost(machine, machine.cores).seconds

    def cost(self, machine: Machine = REFERENCE, cores: int = 1) -> Cost:
        """Seconds on a machine, on so many of its cores, and bytes; estimates.

        Of a composed map what the operations take.
        """
        method = self.method or "dense"
        if self.operator is None:
            seconds = self.flops / machine.rate
            return Cost(method, seconds, self.memory)
        flops = self.flops * (self.k if method == "krylov" else 1)
        features = Features.of(self.operator, flops)
        return replace(step_cost(method, features, machine, cores), memory=self.memory)

    def __str__(self) -> str:
        cost = f"{self.flops:.1e} operations, {readable_bytes(self.memory)}"
        return f"{self.method or 'no method'} ({cost}): {self.reason}"


def make_plan(
    op: ConvOperator,
    structure: Structure,
    k: int | None,
    which: str,
    method: str,
    vectors: bool,
    max_bytes: int,
) -> Plan:
    """The plan for arguments already checked.

    Raises:
        NotApplicable: If the method is not exact for the operator, or not fit for k.
    """
    halves = () if vectors else structure.reduced.half_rings
    obstacle = fourier_obstacle(op.geometry, halves)
    _require_fit(method, obstacle, k)
    if method == "fourier" or (method == "auto" and not obstacle):
        count = min(op.shape) if k is None else k
        return _fourier(op, structure.reduced, count if vectors else 0, max_bytes)
    dense = _dense(op, structure, obstacle, vectors, max_bytes)
    if method == "krylov":
        return _krylov(op, k or 1, which, "it was asked for", max_bytes)
    few = k is not None and 4 * k <= min(op.shape)
    small = dense.method and dense.flops <= SMALL_FLOPS
    if method == "auto" and few and (not small or structure.nearly):
        assert k is not None
        reason = f"{k} of {min(op.shape)} values are wanted and {obstacle}"
        krylov = _krylov(op, k, which, reason, max_bytes)
        return krylov if krylov.method or not dense.method else dense
    return dense


def _fourier(op: ConvOperator, reduced: Reduction, images: int, max_bytes: int) -> Plan:
    memory = 40 * min(op.shape) + fourier_bytes(reduced)
    if images:
        memory += images * sum(op.shape) * reduced.weight.element_size() + IMAGE_BYTES
    return Plan(
        "fourier" if memory <= max_bytes else None,
        f"{HALVES if reduced.half_rings else CLOSED}, so Fourier is exact",
        fourier_flops(reduced),
        memory,
        op,
    )


def _dense(
    op: ConvOperator,
    structure: Structure,
    obstacle: str | None,
    vectors: bool,
    max_bytes: int,
) -> Plan:
    if vectors:
        m, n = op.shape
        memory = 3 * structure.reduced.weight.element_size() * (m // op.groups) * n
        reason = "singular vectors take a dense SVD of the diagonal blocks"
        flops = dense_flops(structure.reduced)
    else:
        memory = structure.memory
        why = f"{obstacle}, so not Fourier" if obstacle else "it was asked for"
        reason, flops = f"{why}; {structure.words}", structure.flops
    fits = memory <= max_bytes
    return Plan("dense" if fits else None, reason, flops, memory, op)


def _krylov(op: ConvOperator, k: int, which: str, why: str, max_bytes: int) -> Plan:
    memory, flops = krylov_bytes(op, k, 0), 400.0 * op.geometry.reads
    if memory <= max_bytes:  # as many vectors as fit, up to what is usual
        memory = krylov_bytes(op, k, basis_within(op, k, max_bytes))
    how = f"Krylov subspaces give the {k} {which} with residual errors"
    if which == "smallest":
        factors = factor_bytes(op)
        memory += factors
        flops = (factors / 16) ** 2 / min(op.shape) + 25.0 * factors
        how += ", those of the inverse by a sparse factorisation"
    fits = memory <= max_bytes
    return Plan("krylov" if fits else None, f"{why}; {how}", flops, memory, op, k)


def _require_fit(method: str, obstacle: str | None, k: int | None) -> None:
    """Refuse what is not exact, or not there yet, when it is asked for by name."""
    if method == "krylov" and k is None:
        raise NotApplicable(
            "method='krylov' computes a given number k of the largest or smallest "
            "singular values; got k=None; give k, or use 'dense' on a smaller input_size",
            "krylov",
        )
    if method == "fourier" and obstacle:
        raise NotApplicable(
            f"method='fourier' needs a block-circulant operator; {obstacle}; use "
            "method='dense', or op.circular() for the torus, which is another operator",
            "fourier",
        )

"""What the cost of an analysis hangs on: sizes, and how unlike noise the weights are."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch

from convspec.isolation import isolated
from convspec.operators.operator import ConvOperator

__all__ = ["Features", "torus_flops"]

# operations on a block of a torus, of its side cubed
BLOCK = 20.0
STEPS = 8  # of power iteration, from the same vector always


@dataclass(frozen=True)
class Features:
    """Logarithms of what the cost of steps on an operator hangs on; flags are 0 or 1.

    Attributes:
        side: Of the smaller side of the symbol's blocks.
        aspect: Of the ratio of their sides.
        groups: Of their number.
        frequencies: Of the outputs per channel.
        taps: Of the kernel.
        phases: Of the strides.
        torus: Of the operations of decomposing a torus of its size.
        reads: Of the entries of the operator.
        spike: Of the norm of the kernel as a matrix, over that of noise as large. Around
            0 the largest values are many, and proofs count them; above it they are few.
        direct: The same of the sum of the taps; of noise that is as large as the kernel.
        planned: Of the operations of its spectrum, of steps that compute it.
        line: Whether there is one axis.
        space: Whether there are three.
        repeats: Whether padding shows pixels again.
    """

    side: float
    aspect: float
    groups: float
    frequencies: float
    taps: float
    phases: float
    torus: float
    reads: float
    spike: float
    direct: float
    planned: float
    line: float
    space: float
    repeats: float

    @classmethod
    @isolated
    def of(cls, op: ConvOperator, planned: float = 1.0) -> Features:
        """Those of an operator, by 16 products with its kernel.

        Args:
            op: The operator.
            planned: Operations that a plan says its spectrum takes.
        """
        geometry = op.geometry
        small, large = sorted(_block(op))
        spike, direct = _peaks(op)
        return cls(
            side=math.log(small),
            aspect=math.log(large / small),
            groups=math.log(geometry.groups),
            frequencies=math.log(math.prod(geometry.outputs)),
            taps=math.log(math.prod(axis.kernel for axis in geometry.axes)),
            phases=math.log(math.prod(axis.stride for axis in geometry.axes)),
            torus=math.log(torus_flops(op)),
            reads=math.log(max(1, geometry.reads)),
            spike=spike,
            direct=direct,
            planned=math.log(max(1.0, planned)),
            line=float(len(geometry.axes) == 1),
            space=float(len(geometry.axes) == 3),
            repeats=float(any(axis.mode != "zeros" for axis in geometry.axes)),
        )

    @property
    def by_name(self) -> dict[str, float]:
        """The features by their names."""
        return asdict(self)


def torus_flops(op: ConvOperator) -> float:
    """Estimated operations of decomposing a torus of the operator's size."""
    sides = _block(op)
    blocks = op.groups * math.prod(op.geometry.outputs)
    return BLOCK * blocks * min(sides) * math.prod(sides)


def _block(op: ConvOperator) -> tuple[float, float]:
    """The sides of the blocks of the symbol."""
    geometry = op.geometry
    phases = math.prod(axis.stride for axis in geometry.axes)
    return geometry.c_out / geometry.groups, phases * geometry.c_in / geometry.groups


def _peaks(op: ConvOperator) -> tuple[float, float]:
    """Logarithms of the norms of the kernel and of its sum, over those of noise.

    The largest singular value of an a x b matrix of noise whose Frobenius norm is F is
    about ``F (1 / sqrt(a) + 1 / sqrt(b))``.
    """
    weight = op.weight.detach()
    wide = torch.complex128 if weight.is_complex() else torch.float64
    weight = weight.to("cpu", wide)
    largest = weight.abs().max()
    if not (largest > 0 and torch.isfinite(largest)):
        return 0.0, 0.0
    shape = op.groups, -1, weight.shape[1], math.prod(weight.shape[2:])
    whole = (weight / largest).reshape(shape)  # (g, a, b, t)
    kernel, total = whole.flatten(2), whole.sum(-1)
    frobenius = torch.linalg.matrix_norm(kernel)
    noise = [frobenius * sum(side**-0.5 for side in m.shape[1:]) for m in (kernel, total)]
    norms = _norm(kernel), _norm(total)
    found = [
        float((n / most.clamp_min(1e-30)).max())
        for n, most in zip(norms, noise, strict=True)
    ]
    return math.log(max(found[0], 1e-3)), math.log(max(found[1], 1e-3))


def _norm(matrices: torch.Tensor) -> torch.Tensor:
    """About the norms, from below; (g, a, b) -> (g,)."""
    vector = matrices.new_ones(len(matrices), matrices.shape[2], 1)
    vector[:, ::2] *= 0.5  # what sums up to nothing is no fault of noise
    for _ in range(STEPS):
        vector = matrices.mT @ (matrices @ vector)
        vector = vector / torch.linalg.matrix_norm(vector)[:, None, None].clamp_min(1e-30)
    found: torch.Tensor = torch.linalg.matrix_norm(matrices @ vector)
    return found

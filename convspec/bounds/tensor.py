"""The spectral norm of the kernel as a tensor, which can only be estimated."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from convspec.arguments import integer
from convspec.bounds.least import Candidate, least
from convspec.frequency.grid import Grid
from convspec.isolation import isolated
from convspec.limits import DEFAULT_MAX_BYTES, Bytes, byte_limit, require_bytes
from convspec.operators.kernel import ScaledKernel
from convspec.operators.operator import ConvOperator
from convspec.quantity.bound import Bound
from convspec.rounding.largest import LargestNorm
from convspec.tori.places import Setting, unrepeated_settings

__all__ = ["tensor_norm"]

# relative growth per sweep at which a restart is done with
SETTLED = 1e-8
SWEEPS = 60


@isolated
def tensor_norm(
    op: ConvOperator,
    restarts: int = 8,
    seed: int = 0,
    *,
    max_bytes: Bytes = DEFAULT_MAX_BYTES,
) -> Bound:
    """An estimate of ``sqrt(k_1 ... k_d) ||K|| >= sigma_1``, K as a tensor.

    ``||K|| = max |<K, u (x) v (x) a_1 (x) ... (x) a_d>|`` over complex unit vectors is at
    most the norm of every unfolding, so that the inequality is sharper than
    :func:`fantastic_four`. But computing it is NP-hard, and alternating maximisation, the
    higher-order power method, ends in a local maximum, below it: what is computed is no
    bound, and is labelled an estimate. Here one start is at the largest sample of the
    symbol on a coarse grid, below which the estimate cannot fall; the others are random.

    Differentiable once in the weight, at the vectors found.

    Args:
        op: The operator.
        restarts: Random starts beside the one at the symbol's maximum.
        seed: Of the random starts.
        max_bytes: Byte limit of what is held at a time.

    Source: Grishina, Gorbunov and Rakhuba, "Tight and efficient upper bound on spectral
    norm of convolutional layers", ECCV 2024.

    Raises:
        NotApplicable: Where the inequality is false, as for :func:`fantastic_four`.
        TooLargeError: If the restarts need more than ``max_bytes``.
        ValueError: For a negative number of restarts.

    >>> import torch, convspec as cs
    >>> op = cs.ConvOperator(torch.tensor([[[1.0, -2.0, 1.0]]]), 50, padding=1)
    >>> bound = cs.bounds.tensor_norm(op)
    >>> round(bound.upper, 9), bound.guarantee  # sqrt(3) sqrt(6)
    (4.242640687, 'estimate')
    """
    max_bytes = byte_limit(max_bytes)
    restarts = integer("restarts", restarts, 0)
    seed = integer("seed", seed, 0, "any other fixes the starts as well")
    kernel = ScaledKernel.of(op)
    generator = torch.Generator().manual_seed(seed)

    def bound(setting: Setting) -> Candidate:
        factor = math.sqrt(math.prod(setting.lags))
        value = factor * _norm(kernel, setting, restarts, generator, max_bytes)
        return Candidate(float(value.detach()), setting.words, lambda: value)

    best = least(map(bound, unrepeated_settings(kernel.axes, "tensor_norm")))
    return kernel.bound(
        "tensor_norm",
        upper=best.upper,
        value=best.value(),
        assumptions=f"{best.words}; a local maximum, not a bound",
        reference="Grishina, Gorbunov and Rakhuba 2024",
        guarantee="estimate",
    )


@dataclass
class _Factors:
    """Unit vectors of every start, for every group: ``f = sum K u v a_1 ... a_d``.

    Attributes:
        u: (groups, starts, rows).
        v: (groups, starts, columns).
        a: Per axis, (groups, starts, lags).
    """

    u: Tensor
    v: Tensor
    a: list[Tensor]

    @property
    def taps(self) -> Tensor:
        """``a_1 (x) ... (x) a_d``; (groups, starts, lags)."""
        product = self.a[0]
        for vector in self.a[1:]:
            product = (product[..., :, None] * vector[..., None, :]).flatten(2)
        return product


def _norm(
    kernel: ScaledKernel,
    setting: Setting,
    restarts: int,
    generator: torch.Generator,
    max_bytes: int,
) -> Tensor:
    """The largest ``|f|`` found, differentiable at the vectors found."""
    folded = kernel.symbol(setting.strides).coefficients  # (groups, rows, columns, lags)
    needed = _bytes(folded, restarts + 1)
    what = f"{restarts + 1} starts of a tensor of {folded.numel():,} entries"
    require_bytes(what, needed, max_bytes, "take fewer restarts")
    tensor = folded.detach().to(torch.complex128)
    factors = _starts(kernel, setting, restarts, generator, max_bytes)
    reached = torch.zeros((), dtype=torch.float64)
    for _ in range(SWEEPS):
        before = reached
        reached = _sweep(tensor, factors, setting.lags)
        if bool((reached <= before * (1 + SETTLED)).all()):
            break
    group, start = divmod(int(reached.argmax()), reached.shape[1])
    vectors = [vector[group, start] for vector in (factors.u, factors.v, factors.taps)]
    form = torch.einsum("rct,r,c,t->", folded[group].to(torch.complex128), *vectors)
    return form.abs()


def _bytes(folded: Tensor, starts: int) -> int:
    """Of the tensor, complex and as products order it, and of its contractions."""
    groups, rows, columns, lags = folded.shape
    partial = groups * starts * columns * max(rows, lags)
    return 16 * (3 * folded.numel() + 3 * partial)


def _starts(
    kernel: ScaledKernel,
    setting: Setting,
    restarts: int,
    generator: torch.Generator,
    max_bytes: int,
) -> _Factors:
    """Waves and singular vectors of the symbol's largest sample, and random vectors."""
    symbol = kernel.detached().symbol(setting.strides)
    coarse = [2 * lags for lags in setting.lags]
    real = not kernel.weight.is_complex()
    grid = Grid.sampled(setting.lags, coarse, real, max_bytes)
    found = LargestNorm.of(part.flatten(0, 1) for part in grid.blocks(symbol, max_bytes))
    index = grid.index[found.index // symbol.groups][None]
    u, _, vh = torch.linalg.svd(symbol.at_grid(index, grid.sizes)[0], full_matrices=False)

    def with_random(first: Tensor) -> Tensor:
        shape = (symbol.groups, restarts, first.shape[-1])
        random = torch.randn(shape, generator=generator, dtype=torch.complex128)
        return torch.cat([first.expand(symbol.groups, 1, -1), random], dim=1)

    waves = [
        torch.polar(
            torch.ones(lags, dtype=torch.float64),
            2 * math.pi * int(place) / size * torch.arange(lags, dtype=torch.float64),
        )
        for lags, place, size in zip(setting.lags, index[0], grid.sizes, strict=True)
    ]
    return _Factors(
        _unit(with_random(u[:, None, :, 0].conj())),
        _unit(with_random(vh[:, None, 0].conj())),
        [_unit(with_random(wave)) for wave in waves],
    )


def _sweep(tensor: Tensor, factors: _Factors, lags: tuple[int, ...]) -> Tensor:
    """Maximise over each vector in turn, in place; returns ``|f|``, (groups, starts)."""
    matrices = torch.einsum("grct,gst->gsrc", tensor, factors.taps)
    for _ in range(2):
        factors.v = _unit(torch.einsum("gsrc,gsr->gsc", matrices, factors.u).conj())
        factors.u = _unit(torch.einsum("gsrc,gsc->gsr", matrices, factors.v).conj())
    partial = torch.einsum("grct,gsr->gsct", tensor, factors.u)
    taps = torch.einsum("gsct,gsc->gst", partial, factors.v)
    image = taps
    for j in range(len(lags)):
        image = taps.reshape(*taps.shape[:2], *lags)
        for i, vector in enumerate(factors.a):
            if i != j:  # contracts the axis in front of those still to come
                image = _contract(image, vector, 2 + (i > j))
        factors.a[j] = _unit(image.conj())
    reached: Tensor = torch.linalg.vector_norm(image, dim=-1)
    return reached


def _contract(tensor: Tensor, vector: Tensor, axis: int) -> Tensor:
    """Sum over one axis of (groups, starts, ...) against (groups, starts, lags)."""
    moved = tensor.movedim(axis, -1)
    shape = (*vector.shape[:2], *[1] * (moved.ndim - 3), vector.shape[2])
    return (moved * vector.reshape(shape)).sum(dim=-1)


def _unit(vectors: Tensor) -> Tensor:
    lengths = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    return vectors / torch.where(lengths > 0, lengths, 1)

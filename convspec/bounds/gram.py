"""Gram iteration: the norm of ``F^(2^t)`` led back to F, at each frequency."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from convspec.arguments import integer
from convspec.bounds.gram_steps import GramSteps
from convspec.bounds.least import Candidate, least
from convspec.frequency.grid import Grid, Samples
from convspec.isolation import full_precision, isolated
from convspec.limits import DEFAULT_MAX_BYTES, Bytes, byte_limit
from convspec.operators.kernel import ScaledKernel
from convspec.operators.operator import ConvOperator
from convspec.quantity.bound import Bound
from convspec.rounding import up
from convspec.rounding.waves import symbol_error
from convspec.tori.places import Setting, settings

__all__ = ["gram_iteration"]

# relative error of rounding an entry, doubled
CAST = {torch.float32: 2.0**-23, torch.float64: 0.0}


@isolated
def gram_iteration(
    op: ConvOperator,
    iterations: int = 5,
    samples: Samples = None,
    dtype: torch.dtype = torch.float64,
    *,
    max_bytes: Bytes = DEFAULT_MAX_BYTES,
) -> Bound:
    """``sigma_1 <= max_w ||G_t(w)||_F^(1 / 2^t)``, ``G_0 = F``, ``G_(j+1) = G_j^H G_j``.

    That is the largest Schatten norm ``2^(t+1)`` of the values of the symbol F: at most
    ``r^(1 / 2^(t+1))`` times too large for r channels. It converges fast where sigma_1 is
    simple, and only halves its error per iteration where it is multiple, as in nearly
    orthogonal layers. Circular padding needs the frequencies of its size alone, and with
    the padding that keeps the size and a stride that divides it those are exact; every
    other padding samples all frequencies and multiplies by the factor of
    :func:`sampled_symbol`, without which a bound on a coarse grid is none.

    Differentiable in the weight through the frequency at the maximum; at ties between
    frequencies through one of them.

    Args:
        op: The operator.
        iterations: Gram steps t.
        samples: Samples per axis, as for :func:`sampled_symbol`; by default all
            frequencies of a circular size, and samples otherwise.
        dtype: ``torch.float64`` or ``torch.float32``, of the Gram steps. The bound is
            enlarged by the rounding of either: about half of all float32 iterations end
            below the norm.
        max_bytes: Byte limit of what is held at a time.

    Source: Delattre, Barthélemy, Araujo and Allauzen, "Efficient bound of Lipschitz
    constant for convolutional layers by Gram iteration", ICML 2023.

    Raises:
        ValueError: For another number of iterations, or another dtype.
        GeometryError: With fewer samples than lags, where nothing holds.
        TooLargeError: If the samples need more than ``max_bytes``.

    >>> import torch, convspec as cs
    >>> weight = torch.tensor([[[1.0, -2.0, 1.0]]])
    >>> op = cs.ConvOperator(weight, 50, padding=1, padding_mode="circular")
    >>> round(cs.bounds.gram_iteration(op).upper, 12)
    4.0
    """
    max_bytes = byte_limit(max_bytes)
    iterations = integer("iterations", iterations, 0)
    if dtype not in (torch.float32, torch.float64):
        raise ValueError(f"dtype must be torch.float32 or torch.float64; got {dtype}")
    kernel = ScaledKernel.of(op)
    dtype = full_precision(dtype, op.device)
    flat = kernel.detached()
    real = not kernel.weight.is_complex()

    def bound(setting: Setting) -> Candidate:
        grid = Grid.of_setting(setting, samples, real, max_bytes)
        blocks = grid.blocks(flat.symbol(setting.strides), max_bytes)
        largest, place = _largest(blocks, iterations, dtype)
        rounded = up(largest + symbol_error(flat.weight))
        upper = up(up(setting.factor * grid.factor) * rounded)

        def value() -> Tensor:
            block = grid.block(kernel.symbol(setting.strides), place)
            return setting.factor * grid.factor * _value(block, iterations, dtype)

        return Candidate(upper, setting.words, value)

    best = least(map(bound, settings(kernel.axes)))
    return kernel.bound(
        "gram_iteration",
        upper=best.upper,
        value=best.value(),
        assumptions=best.words,
        reference="Delattre, Barthélemy, Araujo and Allauzen 2023",
    )


def _largest(
    parts: Iterator[Tensor], iterations: int, dtype: torch.dtype
) -> tuple[float, int]:
    """The largest bound of all blocks, and the place of its block.

    Norms decrease with each step. A block whose norm has fallen to the final one of
    another is done with: the block of largest Frobenius norm goes first.
    """
    best, place, seen = -1.0, 0, 0
    for part in parts:
        blocks = part.flatten(0, 1)
        lengths = torch.linalg.vector_norm(blocks, dim=(1, 2))
        first = lengths.argmax()
        others = torch.nonzero(torch.arange(len(blocks)) != first).flatten()
        for places in (first[None], others):
            steps = GramSteps(blocks[places].to(dtype.to_complex()))
            rounding = CAST[dtype] * lengths[places]
            for taken in range(iterations + 1):
                steps = steps.step() if taken else steps
                above = steps.above() + rounding
                live = torch.nonzero(above > best).flatten()
                places, steps, rounding = places[live], steps.take(live), rounding[live]
                if not len(live):
                    break
            else:
                best = float(above.max())
                place = seen + int(places[above[live].argmax()])
        seen += len(blocks)
    return best, place


def _value(block: Tensor, iterations: int, dtype: torch.dtype) -> Tensor:
    """The norm of one block as computed, differentiable."""
    steps = GramSteps(block[None].to(dtype.to_complex()))
    for _ in range(iterations):
        steps = steps.step()
    return steps.value()[0]

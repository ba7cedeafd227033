"""Gram iteration of the kernel itself: a bound for zero padding of every size."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from convspec.arguments import integer
from convspec.bounds.least import Candidate, least
from convspec.frequency.grid import Grid
from convspec.isolation import isolated
from convspec.limits import DEFAULT_MAX_BYTES, Bytes, byte_limit, require_bytes
from convspec.operators.kernel import ScaledKernel
from convspec.operators.operator import ConvOperator
from convspec.operators.symbol import Symbol
from convspec.quantity.bound import Bound
from convspec.rounding import gamma, up
from convspec.rounding.products import product_error
from convspec.rounding.scaling import root
from convspec.rounding.waves import symbol_error
from convspec.tori.places import Setting, unrepeated_settings

__all__ = ["gram_iteration_zero"]

# by default as many iterations as fit this
COMFORTABLE_BYTES = 5 * 2**28
MOST_ITERATIONS = 4
LAST_ITERATION = 40
# of the waves of a Fourier transform, some of its rows at a time
WAVE_BYTES = 2**22
# of a frequency's place on the grid while that is made
PLACE_BYTES = 96


@isolated
def gram_iteration_zero(
    op: ConvOperator,
    iterations: int | None = None,
    *,
    max_bytes: Bytes = DEFAULT_MAX_BYTES,
) -> Bound:
    """``sigma_1 <= (max_i sum_jq |G_t[i, j, q]|)^(1 / 2^t)`` for the t-th Gram kernel.

    ``G_0`` is the kernel and ``G_(j+1)`` its correlation with itself, the kernel of
    ``A^H A`` on an endless image: the row sums bound the norm of its t-th iterate there.
    It tends to the supremum of the symbol, not to the norm on one size, and its error
    about halves per iteration. One iteration gives the bound behind almost orthogonal
    layers (Prach and Lampert, ECCV 2022). The coefficients are those of the trigonometric
    polynomial ``F^(2^t)``, read off its values on a grid large enough to hold its
    ``(k - 1) 2^t + 1`` lags.

    Circular padding that keeps the size wraps the Gram kernel, which enlarges no row sum.
    Padding that shows pixels more than once breaks the bound: the norm of [1, 1, 1] / 3
    on 8 pixels with reflect padding is 1.029, and the sums give 1.

    Differentiable in the weight; at ties between rows through one of them.

    Args:
        op: The operator.
        iterations: Gram steps t, at least 1; by default up to 4, as fit in 1.25 GiB and
            ``max_bytes``. After 40 nothing is left to gain, and no more are done.
        max_bytes: Byte limit of what is held at a time, by autograd too for weights that
            require gradients.

    Source: Delattre, Barthélemy and Allauzen, "Spectral norm of convolutional layers with
    circular and zero paddings", arXiv:2402.00240, 2024.

    Raises:
        NotApplicable: For reflect and replicate padding that is read, and for circular
            padding that repeats outputs.
        ValueError: For fewer than one iteration.
        TooLargeError: If the values need more than ``max_bytes``.

    >>> import torch, convspec as cs
    >>> op = cs.ConvOperator(torch.tensor([[[1.0, -2.0, 1.0]]]), 50, padding=1)
    >>> round(cs.bounds.gram_iteration_zero(op, iterations=1).upper, 9)
    4.0
    """
    max_bytes = byte_limit(max_bytes)
    if iterations is not None:
        # the exponent leaves a factor of about 1 + 1e-12 then, rounding soon more
        iterations = min(integer("iterations", iterations, 1), LAST_ITERATION)
    kernel = ScaledKernel.of(op)

    def bound(setting: Setting) -> Candidate:
        symbol = kernel.symbol(setting.strides)
        steps = iterations or _most_iterations(symbol, setting, max_bytes)
        needed = _bytes(symbol, setting, steps)
        what = f"the symbol at the frequencies of {steps} Gram iterations"
        require_bytes(what, needed, max_bytes, "take fewer iterations")
        value, upper = _row_sum(symbol, setting, steps, symbol_error(kernel.weight))
        return Candidate(upper, setting.words, lambda: value)

    best = least(map(bound, unrepeated_settings(kernel.axes, "gram_iteration_zero")))
    return kernel.bound(
        "gram_iteration_zero",
        upper=best.upper,
        value=best.value(),
        assumptions=best.words,
        reference="Delattre, Barthélemy and Allauzen 2024",
    )


def _sizes(setting: Setting, iterations: int) -> list[int]:
    """How many lags the 2^t-th Gram polynomial has along each axis."""
    return [(lags - 1) * 2**iterations + 1 for lags in setting.lags]


def _bytes(symbol: Symbol, setting: Setting, iterations: int) -> int:
    """Of the values of F, scaled and conjugated, and then of as many Gram matrices.

    Autograd keeps those of all iterations.
    """
    rows, columns = symbol.block_shape
    square = min(rows, columns) ** 2
    held = max(3 * rows * columns + square, 4 * square)
    waves = WAVE_BYTES
    if symbol.coefficients.requires_grad:
        held = 3 * rows * columns + (3 * iterations + 4) * square
        waves += sum(16 * size**2 for size in _sizes(setting, iterations))
    count = math.prod(_sizes(setting, iterations))
    return count * (16 * symbol.groups * held + PLACE_BYTES) + waves


def _most_iterations(symbol: Symbol, setting: Setting, max_bytes: int) -> int:
    fitting = [
        steps
        for steps in range(2, MOST_ITERATIONS + 1)
        if _bytes(symbol, setting, steps) <= min(COMFORTABLE_BYTES, max_bytes)
    ]
    return max(fitting, default=1)


def _row_sum(
    symbol: Symbol, setting: Setting, iterations: int, error: float
) -> tuple[Tensor, float]:
    """The bound as computed, differentiable, and rounded up.

    Args:
        symbol: F.
        setting: Its lags.
        iterations: Gram steps.
        error: Bound on the norm of the error in each value of F.
    """
    sizes = _sizes(setting, iterations)
    grid = Grid.full(sizes, [1] * len(sizes), real=False)
    x = symbol.at_grid(grid.index, sizes)  # (frequencies, groups, rows, columns)
    if x.shape[-2] > x.shape[-1]:
        x = x.mH
    exponents = []
    for _ in range(iterations):
        length = _length_above(x)
        exponents.append(math.frexp(length)[1])
        shrunk = math.ldexp(1.0, -exponents[-1])
        x, length, error = x * shrunk, length * shrunk, error * shrunk
        # (Y + D)(Y + D)^H - Y Y^H has norm at most 2 |Y| |D| + |D|^2
        rounding = product_error(x.shape[-1], True) * length**2
        error = 2 * length * error + error**2 + rounding
        error *= 1 + gamma(16)
        x = x @ x.mH
    kernel = _coefficients(x.reshape(*sizes, *x.shape[1:]))
    if not symbol.coefficients.is_complex():
        kernel = kernel.real
    rows = kernel.abs().flatten(0, len(sizes) - 1).sum(dim=(0, 3))  # (groups, rows)
    value = rows.max()
    terms = sum(sizes) + 64 * len(sizes)
    error += gamma(8 * terms) * _length_above(x)
    spread = math.prod(sizes) * math.sqrt(x.shape[-1])
    slack = gamma(4 * rows.shape[1] * math.prod(sizes) + 16)
    above = up(float(value.detach()) * (1 + slack) + up(spread * error, 4), 2)
    for exponent in reversed(exponents):
        value = math.ldexp(1.0, exponent) * root(value)
        above = math.ldexp(up(math.sqrt(above)), exponent)
    return value, above


def _coefficients(values: Tensor) -> Tensor:
    """Fourier coefficients of a polynomial from its values; over the leading axes."""
    dim = values.ndim - 3
    for _ in range(dim):
        # contracts the first axis; moved behind the other ones, d turns restore them
        values = torch.movedim(_transformed(values), 0, dim - 1)
    return values


def _transformed(values: Tensor) -> Tensor:
    """The coefficients as values over the frequencies of the first axis."""
    if values.requires_grad:  # which keeps the waves
        return torch.cat([torch.tensordot(w, values, dims=1) for w in _waves(values)])
    summed, first = torch.empty_like(values, memory_format=torch.contiguous_format), 0
    for wave in _waves(values):  # pieces kept on the way would split the memory freed
        summed[first : first + len(wave)] = torch.tensordot(wave, values, dims=1)
        first += len(wave)
    return summed


def _waves(values: Tensor) -> Iterator[Tensor]:
    """``exp(-2 pi i j k / size) / size`` for the first axis, some rows j at a time."""
    size = len(values)
    angle = -2 * math.pi / size * torch.arange(size).double()
    wave = torch.polar(torch.ones_like(angle), angle) / size
    for rows in torch.split(torch.arange(size), max(1, WAVE_BYTES // (32 * size))):
        yield wave[torch.outer(rows, torch.arange(size)) % size]


def _length_above(x: Tensor) -> float:
    """At least the Frobenius norm of each matrix."""
    length = float(torch.linalg.vector_norm(x.detach(), dim=(-2, -1)).max())
    slack = gamma(2 * x.shape[-1] * x.shape[-2] + 8)
    return up(length * (1 + slack), 2) if length else 0.0

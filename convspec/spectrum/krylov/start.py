"""Where to start: the symbol's largest singular vectors, as windowed plane waves."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from convspec.operators.operator import ConvOperator
from convspec.operators.symbol import Symbol
from convspec.run.threads import parallel_map

__all__ = ["group_norms", "symbol_start"]

NOISE = 0.1
# waves whose value comes this near the largest are mixed into the start
NEAR = 0.9
MIXED = 6
SECONDARY = 0.2
# power iterations: enough to compare frequencies, and more for the highest of them, of
# which fewer are looked at in blocks with more entries than WIDE
STEPS = 6
REFINING = 18
REFINED = (10, 2)
WIDE = 2**15
# entries of blocks held at once
CHUNK = 2**22
POINTS = {1: 32, 2: 8, 3: 4}


def symbol_start(
    op: ConvOperator, count: int, wanted: int, generator: torch.Generator
) -> Tensor:
    """``count`` starting images as rows (count, n): waves at the symbol's peaks.

    At the frequency where ``sigma_1(F(w))`` is largest, its right singular vector times
    ``exp(i <p, w>)`` times a sine window is nearly a singular vector of a zero-padded
    operator. Each row mixes the waves of all near-peak frequencies, in every group, and
    some noise, so that no leading direction is out of reach.

    Args:
        op: The operator.
        count: Rows to start from.
        wanted: Singular vectors to be found.
        generator: Source of the mixture and the noise.
    """
    noise = torch.randn(
        count, math.prod(op.input_shape), generator=generator, dtype=torch.float64
    )
    waves = _mixtures(op, count, wanted, generator).flatten(1)
    rows = NOISE * noise / _lengths(noise) + waves / _lengths(waves).clamp(min=1e-30)
    return rows.to(op.weight)


def group_norms(op: ConvOperator) -> Tensor:
    """About the largest value of each group's symbol, on a grid; (groups,).

    With ``2 d`` points per lag and axis no supremum is above ``1 / cos(pi / 4)`` times
    the largest value on the grid (Bernstein's inequality, once for each axis).
    """
    symbol = op.symbol().to(torch.float32)
    generator = torch.Generator().manual_seed(0)
    spans = np.ptp(symbol.lags, axis=0) + 1
    points = _grid([2 * symbol.dim * int(span) for span in spans], symbol)
    at_once = max(1, CHUNK // math.prod(symbol.coefficients.shape[:3]))
    norms = torch.zeros(symbol.groups, dtype=torch.float32)
    for some in torch.split(points, at_once):
        blocks = symbol.at(some)
        sigma = _leading(blocks, _random(blocks, generator), STEPS)[0]
        norms = torch.maximum(norms, sigma.amax(dim=0).cpu())
    return norms


def _lengths(rows: Tensor) -> Tensor:
    lengths: Tensor = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    return lengths


def _mixtures(
    op: ConvOperator, count: int, wanted: int, generator: torch.Generator
) -> Tensor:
    """Random real mixtures of the near-peak waves of every group; (count, *shape)."""
    symbol = op.symbol().to(torch.float32)
    points = _frequencies(symbol)
    blocks = symbol.at(points)
    wide = math.prod(symbol.block_shape) > WIDE
    sigma, vectors = _leading(blocks, _random(blocks, generator), STEPS)
    channels = op.input_shape[0] // op.groups
    dtype = torch.complex128 if op.dtype.is_complex else torch.float64
    rows = torch.zeros(count, *op.input_shape, dtype=dtype)
    for group in range(op.groups):
        part = rows[:, group * channels : (group + 1) * channels]
        high = sigma[:, group].topk(min(len(points), REFINED[wide])).indices
        sigma[high, group], vectors[high, group] = _leading(
            blocks[high, group], vectors[high, group], REFINING
        )
        for place, j in enumerate(_peaks(sigma[:, group], points)):
            windows = _windows(op.input_shape[1:], count, wanted, generator)
            windows[0] *= SECONDARY if place else 1  # row 0: mostly the largest peak
            wave = _plane_wave(op, points[j], vectors[j, group])
            product = windows[:, None] * wave
            part += product if op.dtype.is_complex else product.real
    return rows


def _windows(
    sizes: tuple[int, ...], count: int, wanted: int, generator: torch.Generator
) -> Tensor:
    """``count`` random mixtures of the first sine modes of the image, complex.

    About a peak the leading singular vectors are its wave times the modes
    ``prod_j sin(pi a_j (p_j + 1) / (n_j + 1))``, a_j = 1, 2, ...: of the first
    ``wanted`` a share; of one vector wanted, the first alone.
    """
    orders = [min(math.ceil(wanted ** (1 / len(sizes))), size) for size in sizes]
    shape = (count, *orders, 2)
    parts = torch.randn(shape, dtype=torch.float32, generator=generator).double()
    mixed = torch.view_as_complex(parts)
    for size, order in zip(sizes, orders, strict=True):
        place = torch.arange(1, size + 1, dtype=torch.float64)
        modes = torch.sin(
            math.pi / (size + 1) * torch.outer(torch.arange(1, order + 1), place)
        )
        mixed = torch.tensordot(mixed, modes.to(mixed), dims=([1], [0]))  # cycles axes
    return mixed


def _peaks(sigma: Tensor, points: Tensor) -> list[int]:
    """Near-peak frequencies, largest first, none next to a larger one or its mirror."""
    spacing = 2 * math.pi / round(len(points) ** (1 / points.shape[1]))
    chosen: list[int] = []
    for j in sigma.argsort(descending=True).tolist():
        if sigma[j] < NEAR * sigma.max() or len(chosen) == MIXED:
            break
        others = torch.cat([points[chosen], -points[chosen]])
        gap = torch.remainder(points[j] - others + math.pi, 2 * math.pi) - math.pi
        if not len(chosen) or float(gap.abs().amax(dim=1).min()) > 1.5 * spacing:
            chosen.append(j)
    return chosen


def _frequencies(symbol: Symbol) -> Tensor:
    """A coarse grid of frequencies, fewer for wide blocks."""
    points = POINTS[symbol.dim]
    if math.prod(symbol.block_shape) * symbol.groups > WIDE:
        points = max(2, points // 2)
    return _grid([points] * symbol.dim, symbol)


def _grid(counts: list[int], symbol: Symbol) -> Tensor:
    """Equidistant frequencies, (j, d): half of them for real symbols."""
    lines = [2 * math.pi * np.arange(count) / count for count in counts]
    if not symbol.coefficients.is_complex():
        lines[0] = lines[0][: counts[0] // 2 + 1]
    grid = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1)
    return torch.from_numpy(grid.reshape(-1, symbol.dim))


def _random(blocks: Tensor, generator: torch.Generator) -> Tensor:
    """A random right vector for each block."""
    shape = (*blocks.shape[:-2], blocks.shape[-1])
    return torch.randn(shape, generator=generator, dtype=torch.float32).to(blocks)


def _leading(blocks: Tensor, v: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Estimates of the largest singular value and right vector by power iteration."""
    if len(blocks) > 1 and blocks[0].numel() > WIDE:
        # one block at a time stays in the cache from step to step
        found = parallel_map(
            lambda j: _iterated(blocks[j], v[j], steps), range(len(blocks))
        )
        sigma, vectors = zip(*found, strict=True)
        return torch.stack(sigma), torch.stack(vectors)
    return _iterated(blocks, v, steps)


def _iterated(blocks: Tensor, v: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Those of :func:`_leading`, of all blocks together."""
    for _ in range(steps):
        # sums of products: a batch of matrices times one vector each is slow elsewhere
        image = (blocks * v[..., None, :]).sum(dim=-1)
        v = (blocks * image.conj()[..., None]).sum(dim=-2).conj()
        sigma = torch.linalg.vector_norm(v, dim=-1, keepdim=True)
        v = v / sigma.clamp(min=1e-30)
    return sigma[..., 0].sqrt(), v.resolve_conj()


def _plane_wave(op: ConvOperator, frequency: Tensor, vector: Tensor) -> Tensor:
    """``exp(i <x // s, w>) v[channel, x mod s]`` of one group, complex."""
    axes = op.geometry.axes
    strides = [1 if op.transposed else axis.stride for axis in axes]
    image = vector.to(torch.complex128).reshape(-1, *strides)
    for j, (size, stride) in enumerate(zip(op.input_shape[1:], strides, strict=True)):
        place = torch.arange(size)
        angle = float(frequency[j]) * (place // stride).double()
        wave = torch.polar(torch.ones_like(angle), angle)
        shape = [1] * (j + 1) + [size] + [1] * (len(strides) - j - 1)
        image = image.index_select(j + 1, place % stride) * wave.reshape(shape)
    return image

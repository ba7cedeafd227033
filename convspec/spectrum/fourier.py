"""All singular values of block-circulant operators, frequency by frequency.

On a torus every ``S[t]`` is a cyclic shift, so the unitary DFT turns A into one block
F(w) per frequency. Real kernels give conjugate blocks at w and -w: half are decomposed.

Source: Sedghi, Gupta, Long, "The Singular Values of Convolutional Layers", ICLR 2019,
theorem 6, for stride 1; with stride, the polyphase form (Senderovich et al., "Towards
Practical Control of Singular Values of Convolutional Layers", NeurIPS 2022).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from convspec.geometry import Axis, ConvGeometry, IntArray
from convspec.rounding import svd_error, symbol_error
from convspec.spectrum.blocks import CHUNK_BYTES, block_values
from convspec.spectrum.reduce import ReadAxis, Reduction
from convspec.spectrum.result import FloatArray
from convspec.symbol import Symbol

__all__ = [
    "conjugate_half",
    "fourier_bytes",
    "fourier_flops",
    "fourier_obstacle",
    "fourier_symbol",
    "fourier_values",
    "torus_shape",
]


def fourier_values(reduced: Reduction) -> tuple[FloatArray, float]:
    """All singular values and a bound on the error of each."""
    symbol = fourier_symbol(reduced)
    index, multiplicity = conjugate_half(
        torus_shape(reduced), reduced.weight.is_complex()
    )
    found = [
        np.repeat(_flat_values(blocks), multiplicity[chunk], axis=0).reshape(-1)
        for chunk, blocks in _chunks(
            symbol, index, torus_shape(reduced), reduced.weight.dtype
        )
    ]
    values = np.concatenate(found)
    eps = torch.finfo(reduced.weight.dtype).eps
    norm = float(values.max())
    error = svd_error(*symbol.block_shape, norm, eps)
    error += symbol_error(reduced.weight, eps)
    return reduced.assemble(values), reduced.error(norm, error)


def fourier_obstacle(geometry: ConvGeometry) -> str | None:
    """Why the operator is not block circulant, or None if it is."""
    for j, axis in enumerate(geometry.axes):
        read = ReadAxis.of(axis)
        if not (read.single or read.cyclic):
            return f"axis {j} {_obstacle(axis)}"
    return None


def _obstacle(axis: Axis) -> str:
    pad = f"({axis.before}, {axis.after})"
    if axis.mode != "circular" and axis.reads_padding:
        return f"has {axis.mode} padding {pad}, which is read at the border"
    if axis.size % axis.stride:
        return f"has stride {axis.stride}, which does not divide its {axis.size} pixels"
    return (
        f"has {axis.output} outputs for {axis.size} pixels at stride {axis.stride}, "
        f"where a torus has {axis.size // axis.stride}; padding {pad} does not fit"
    )


def torus_shape(reduced: Reduction) -> tuple[int, ...]:
    """Frequencies per axis."""
    return tuple(axis.outputs for axis in reduced.kept)


def fourier_symbol(reduced: Reduction) -> Symbol:
    """The symbol whose blocks at the torus frequencies are those of B."""
    return Symbol.of_taps(
        reduced.weight,
        reduced.groups,
        [axis.source[:, 0] for axis in reduced.kept],
        [axis.stride for axis in reduced.kept],
    )


def conjugate_half(shape: tuple[int, ...], everything: bool) -> tuple[IntArray, IntArray]:
    """One frequency of each pair {w, -w} of a grid, and how many it stands for.

    Args:
        shape: Grid (N_1, ..., N_d).
        everything: Take all frequencies, once each: complex kernels have no symmetry.

    Returns:
        Indices (j, d) and multiplicities (j,), which add up to the grid. A frequency
        with ``w = -w`` stands for itself alone; there are 2^e of them, e the number
        of even sizes.
    """
    count = math.prod(shape)
    index = np.indices(shape).reshape(len(shape), count).T  # (count, d)
    if everything:
        return index, np.ones(count, dtype=np.int64)
    mirrored = -index % np.array(shape, dtype=np.int64)
    here = np.arange(count)
    there = np.zeros(count, dtype=np.int64)
    for j, size in enumerate(shape):
        there = there * size + mirrored[:, j]
    keep = here <= there
    return index[keep], np.where(here == there, 1, 2)[keep]


def _chunks(
    symbol: Symbol, index: IntArray, shape: tuple[int, ...], dtype: torch.dtype
) -> Iterator[tuple[slice, Tensor]]:
    """The symbol at some of the frequencies at a time: (frequencies, groups, r, c)."""
    at_once = _frequencies_at_once(symbol)
    for first in range(0, len(index), at_once):
        chunk = slice(first, first + at_once)
        yield chunk, symbol.at_grid(index[chunk], shape).to(dtype.to_complex())


def _frequencies_at_once(symbol: Symbol) -> int:
    return max(1, CHUNK_BYTES // (16 * symbol.groups * math.prod(symbol.block_shape)))


def _flat_values(blocks: Tensor) -> FloatArray:
    """Singular values of each frequency's blocks; (frequencies, groups * min(r, c))."""
    values: FloatArray = block_values(blocks).flatten(1).double().cpu().numpy()
    return values


def fourier_flops(reduced: Reduction) -> float:
    """Estimated operations: four real ones per complex one of each frequency's SVD."""
    symbol = fourier_symbol(reduced)
    small, large = sorted(symbol.block_shape)
    blocks = (math.prod(torus_shape(reduced)) / 2 + 1) * reduced.groups
    return 4 * blocks * (4 * large * small**2 - 4 * small**3 / 3)


def fourier_bytes(reduced: Reduction) -> int:
    """Bytes of the frequencies held at a time, with what evaluating them takes."""
    symbol = fourier_symbol(reduced)
    count = min(_frequencies_at_once(symbol), math.prod(torus_shape(reduced)))
    return 48 * count * symbol.groups * math.prod(symbol.block_shape)

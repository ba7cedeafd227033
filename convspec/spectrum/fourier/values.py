"""All singular values of block-circulant operators, frequency by frequency.

On a torus every ``S[t]`` is a cyclic shift, so the unitary DFT turns A into one block
F(w) per frequency. Real kernels give conjugate blocks at w and -w: half are decomposed.

Source: Sedghi, Gupta, Long, "The Singular Values of Convolutional Layers", ICLR 2019,
theorem 6, for stride 1; with stride, the polyphase form (Senderovich et al., "Towards
Practical Control of Singular Values of Convolutional Layers", NeurIPS 2022).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext

import numpy as np
import numpy.typing as npt
from torch import Tensor

from convspec.geometry import Axis, ConvGeometry, IntArray
from convspec.parallel import MAX_WORKERS, available_cores, one_thread, parallel_map
from convspec.rounding import svd_error, symbol_error
from convspec.spectrum.blocks import (
    CHUNK_BYTES,
    block_values,
    gram_values,
    numpy_is_faster,
    thin_values,
)
from convspec.spectrum.fourier.gram import PAIRS, TorusGram
from convspec.spectrum.fourier.torus import TorusBlocks
from convspec.spectrum.reduce import ReadAxis, Reduction
from convspec.spectrum.result import FloatArray
from convspec.symbol import Symbol

__all__ = [
    "ACCURACIES",
    "blocks_bytes",
    "blocks_flops",
    "conjugate_half",
    "decomposed",
    "fourier_bytes",
    "fourier_flops",
    "fourier_obstacle",
    "fourier_values",
    "frequency_values",
    "torus_shape",
]

ACCURACIES = ("full", "fast")
# per thread: blocks that stay in its cache while they are decomposed
CACHE_BYTES = 2**21
# tiny matrices that take some milliseconds in all: other threads would start cold
ALONE_FLOPS = 2**24
# a chunk worth a thread, about a millisecond
CHUNK_FLOPS = 2**22
# from this ratio of its sides on a block's Gram matrix is worth a try
THIN = 4
# frequencies that show whether the polynomial of the Gram matrices will do
SAMPLE = 64
# blocks this large decompose faster in NumPy, where it is faster at all
NUMPY_SIDE = 32


def fourier_values(
    reduced: Reduction, accuracy: str = "full"
) -> tuple[FloatArray, float]:
    """All singular values and a bound on the error of each.

    Args:
        reduced: The operator.
        accuracy: ``"full"`` for an SVD of each block; ``"fast"`` for the eigenvalues of
            its Gram matrix, whose small values err by ``sqrt(eps) sigma_1``.
    """
    values, multiplicity, error = frequency_values(reduced, accuracy)
    norm = float(values.max())
    return reduced.assemble(values, multiplicity), reduced.error(norm, error)


def frequency_values(
    reduced: Reduction, accuracy: str = "full"
) -> tuple[FloatArray, IntArray, float]:
    """The values of B at one of each pair of frequencies, and how many it stands for.

    Returns:
        values (frequencies, groups * min(r, c)), descending in each group,
        multiplicity (frequencies,) and a bound on the error of each value.
    """
    if accuracy not in ACCURACIES:
        raise ValueError(
            f"accuracy must be one of {', '.join(ACCURACIES)}; got {accuracy!r}"
        )
    shape, dtype = torus_shape(reduced), reduced.weight.dtype
    blocks = TorusBlocks(reduced.symbol, shape, dtype)
    index, multiplicity = conjugate_half(shape, dtype.is_complex)
    values, error = decomposed(blocks, index, accuracy)
    return values, multiplicity, error + symbol_error(reduced.weight, blocks.eps)


def decomposed(
    blocks: TorusBlocks, index: IntArray, accuracy: str = "full"
) -> tuple[FloatArray, float]:
    """Singular values of the blocks at some frequencies, spread over the cores.

    Args:
        blocks: The symbol on a grid.
        index: Places on the grid; (j, d).
        accuracy: As in :func:`fourier_values`.

    Returns:
        (j, groups * min(r, c)), descending in each group, and a bound on the error of
        each, but for what evaluating the blocks errs by
        (:func:`convspec.rounding.symbol_error`): together they bound the distance from
        the exact values.
    """
    small, large = sorted(blocks.block_shape)
    if accuracy == "fast" and small > 1:
        values, errors = _each(blocks, index, lambda some: gram_values(blocks.at(some)))
        return values, float(errors.max())
    if _is_thin(blocks.block_shape):
        values = _thin(blocks, index)
    else:
        numpy = not blocks.on_gpu and blocks.eps < 1e-10 and small >= NUMPY_SIDE
        numpy = numpy and numpy_is_faster()
        values, _ = _each(
            blocks,
            index,
            lambda some: (block_values(blocks.at(some), numpy), None),
            numpy,
        )
    return values, svd_error(small, large, float(values.max()), blocks.eps)


def _is_thin(block_shape: tuple[int, int]) -> bool:
    small, large = sorted(block_shape)
    return small > 1 and large >= THIN * small


def _thin(blocks: TorusBlocks, index: IntArray) -> FloatArray:
    """Singular values of blocks with a short side, as accurate as by an SVD of each.

    From the polynomial of the Gram matrices where that errs by no more than evaluating
    the blocks and an SVD of the largest of them; from the blocks themselves elsewhere.
    """
    held = _gram_held(blocks)
    norms = np.zeros(blocks.groups)
    refused = np.ones(len(index), dtype=bool)
    values = np.empty((len(index), blocks.groups * min(blocks.block_shape)))
    if TorusGram.pays(blocks.symbol, len(index)):
        alone = _alone(blocks, len(index), held)
        with one_thread() if alone else nullcontext():
            gram = TorusGram(blocks.symbol, blocks.shape)
            found = np.zeros(1, dtype=bool)
            if not alone:  # smooth kernels are nearly singular at most frequencies
                _, found, _ = _by_gram(blocks, gram, index[:: 1 + len(index) // SAMPLE])
            if found.mean() <= 0.5:
                values, refused, norms = _by_gram(blocks, gram, index)
    if refused.any():
        values[refused], _ = _each(
            blocks,
            index[refused],
            lambda some: (thin_values(blocks.at(some), norms), None),
        )
    return values


def _by_gram(
    blocks: TorusBlocks, gram: TorusGram, index: IntArray
) -> tuple[FloatArray, npt.NDArray[np.bool_], FloatArray]:
    """Values by the Gram polynomial, the frequencies where they are not good enough.

    And for each group a norm that its blocks reach, which the error may be relative to.
    """
    values, errors = _each(
        blocks,
        index,
        lambda some: gram.values_at(some, blocks.dtype),
        held=_gram_held(blocks),
    )
    found = values.reshape(*errors.shape, -1)
    # evaluating a block moves its values too, so that norms are a little less
    evaluation = _evaluation(blocks)
    norms = 0.99 * ((found[..., 0] - errors).max(axis=0) - evaluation).clip(min=0)
    allowed = svd_error(*blocks.block_shape, 1.0, blocks.eps) * norms + evaluation
    return values, ~(errors <= allowed).all(axis=1), norms


def _evaluation(blocks: TorusBlocks) -> FloatArray:
    """The error of evaluating each group's blocks; (groups,)."""
    axes = [1] * (blocks.symbol.dim - 1)
    groups = blocks.symbol.coefficients
    return np.array(
        [symbol_error(part.reshape(*part.shape, *axes), blocks.eps) for part in groups]
    )


def _each(
    blocks: TorusBlocks,
    index: IntArray,
    find: Callable[[IntArray], tuple[Tensor, Tensor | None]],
    numpy: bool = False,
    held: tuple[int, int] | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Values (j, groups * s) and errors (j, groups), some frequencies at a time.

    Args:
        blocks: The symbol on a grid.
        index: Places on the grid; (j, d).
        find: What gives values and errors at some of them.
        numpy: Whether it calls NumPy's linear algebra.
        held: The matrices it decomposes, by default the blocks.
    """
    held = held or blocks.block_shape
    values = np.empty((len(index), blocks.groups * min(blocks.block_shape)))
    errors = np.zeros((len(index), blocks.groups))

    def compute(chunk: slice) -> None:
        found, off = find(index[chunk])
        values[chunk] = found.flatten(1).cpu().numpy()
        if off is not None:
            errors[chunk] = off.cpu().numpy()

    alone = blocks.on_gpu or _alone(blocks, len(index), held)
    at_once = _frequencies_at_once(len(index), blocks.groups, held, alone)
    chunks = [slice(i, i + at_once) for i in range(0, len(index), at_once)]
    parallel_map(compute, chunks, 1 if alone else None, numpy=numpy)
    return values, errors


def _gram_held(blocks: TorusBlocks) -> tuple[int, int]:
    """What a block's Gram matrix from the polynomial costs, as the shape of a block."""
    small = min(blocks.block_shape)
    return small, THIN * small


def _alone(blocks: TorusBlocks, count: int, held: tuple[int, int]) -> bool:
    """Whether decomposing so many is too little for a second thread."""
    work = count * blocks.groups * _svd_flops(held)
    return not blocks.on_gpu and min(held) > 1 and work < ALONE_FLOPS


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


def _frequencies_at_once(
    count: int, groups: int, block_shape: tuple[int, int], alone: bool
) -> int:
    """As many as fit the cache, in several chunks per core if they are worth it.

    Where no thread shares the work, as on a GPU, as many as fit the budget.
    """
    each = 16 * groups * math.prod(block_shape)
    if alone:
        return max(1, min(count, CHUNK_BYTES // each))
    fitting = CACHE_BYTES // each
    shared = count // (4 * available_cores())
    worth = int(CHUNK_FLOPS // blocks_flops(groups, block_shape))
    return max(1, min(fitting, max(shared, worth)))


def _svd_flops(shape: tuple[int, int]) -> float:
    """Operations of a complex SVD, four real ones per complex one."""
    small, large = sorted(shape)
    return 4 * (4 * large * small**2 - 4 * small**3 / 3)


def fourier_flops(reduced: Reduction) -> float:
    """Estimated operations: those of half of the frequencies' SVDs."""
    count = math.prod(torus_shape(reduced)) / 2 + 1
    return count * blocks_flops(reduced.groups, reduced.symbol.block_shape)


def blocks_flops(groups: int, block_shape: tuple[int, int]) -> float:
    """Estimated operations of decomposing the blocks of one frequency."""
    return groups * _svd_flops(block_shape)


def fourier_bytes(reduced: Reduction) -> int:
    """Bytes of the frequencies held at a time, with what evaluating them takes."""
    count = math.prod(torus_shape(reduced)) // 2 + 2
    on_gpu = reduced.weight.device.type != "cpu"
    return blocks_bytes(reduced.symbol, count, on_gpu)


def blocks_bytes(symbol: Symbol, count: int, on_gpu: bool = False) -> int:
    """Bytes of the blocks held at a time, of ``count`` frequencies decomposed."""
    at_once = _frequencies_at_once(count, symbol.groups, symbol.block_shape, on_gpu)
    cores = 1 if on_gpu else min(available_cores(), MAX_WORKERS)
    workers = min(cores, -(-count // at_once))
    held = 48 * workers * at_once * symbol.groups * math.prod(symbol.block_shape)
    copies = 4
    if _is_thin(symbol.block_shape):  # and what the Gram polynomial takes
        held, copies = held + 16 * PAIRS, max(8, 2 ** (symbol.dim + 1))
    return int(held + copies * symbol.coefficients.nbytes)

"""All singular values of block-circulant operators, frequency by frequency.

On a torus every ``S[t]`` is a cyclic shift, so the unitary DFT turns A into one block
F(w) per frequency. Real kernels give conjugate blocks at w and -w: half are decomposed.
Halves of rings have some of the frequencies of the whole
(:mod:`convspec.operators.half_ring`).

Source: Sedghi, Gupta, Long, "The Singular Values of Convolutional Layers", ICLR 2019,
theorem 6, for stride 1; with stride, the polyphase form (Senderovich et al., "Towards
Practical Control of Singular Values of Convolutional Layers", NeurIPS 2022).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor

from convspec.arguments import shown
from convspec.arrays import FloatArray, IntArray
from convspec.frequency.torus import TorusBlocks
from convspec.frequency.torus_gram import TorusGram
from convspec.operators.reduce import Reduction
from convspec.rounding import svd_error
from convspec.rounding.blocks import (
    block_values,
    gram_values,
    numpy_is_faster,
    thin_values,
)
from convspec.rounding.waves import symbol_error
from convspec.run.threads import one_thread, parallel_map
from convspec.spectrum.fourier.closed import Closed
from convspec.spectrum.fourier.cost import (
    THIN,
    blocks_flops,
    frequencies_at_once,
    is_thin,
)

__all__ = [
    "ACCURACIES",
    "Frequencies",
    "decomposed",
    "fourier_values",
    "frequency_values",
]

ACCURACIES = ("full", "fast")
# tiny matrices that take some milliseconds in all: other threads would start cold
ALONE_FLOPS = 2**24
# frequencies that show whether the polynomial of the Gram matrices will do
SAMPLE = 64
# blocks this large decompose faster in NumPy, where it is faster at all
NUMPY_SIDE = 32


def fourier_values(
    reduced: Reduction, accuracy: str = "full", found: FloatArray | None = None
) -> tuple[FloatArray, float]:
    """All singular values and a bound on the error of each.

    Args:
        reduced: The operator.
        accuracy: ``"full"`` for an SVD of each block; ``"fast"`` for the eigenvalues of
            its Gram matrix, whose small values err by ``sqrt(eps) sigma_1``.
        found: Those of an SVD of each block, where they are known.
    """
    values, multiplicity, error = frequency_values(reduced, accuracy, found)
    norm = float(values.max())
    return reduced.assemble(values, multiplicity), reduced.error(norm, error)


@dataclass(frozen=True)
class Frequencies:
    """What is decomposed: the blocks at one of each pair of frequencies.

    Attributes:
        blocks: The symbol on a grid.
        index: Places on the grid; (j, d).
        multiplicity: How many frequencies each stands for; (j,).
        error: By how much the blocks may be off.
    """

    blocks: TorusBlocks
    index: IntArray
    multiplicity: IntArray
    error: float

    @classmethod
    def of(cls, reduced: Reduction) -> Frequencies:
        """Those of an operator that is closed along all axes."""
        closed, dtype = Closed.of(reduced), reduced.weight.dtype
        blocks = TorusBlocks(reduced.symbol, closed.sizes, dtype)
        index, multiplicity = closed.frequencies(not dtype.is_complex)
        error = symbol_error(reduced.weight, blocks.eps) + closed.distance
        return cls(blocks, index, multiplicity, error)


def frequency_values(
    reduced: Reduction, accuracy: str = "full", found: FloatArray | None = None
) -> tuple[FloatArray, IntArray, float]:
    """The values of B at one of each pair of frequencies, and how many it stands for.

    Returns:
        values (frequencies, groups * min(r, c)), descending in each group,
        multiplicity (frequencies,) and a bound on the error of each value.
    """
    if accuracy not in ACCURACIES:
        raise ValueError(
            f"accuracy must be one of {', '.join(ACCURACIES)}; got {shown(accuracy)}"
        )
    frequencies = Frequencies.of(reduced)
    if found is None:
        values, error = decomposed(frequencies.blocks, frequencies.index, accuracy)
    else:
        values, error = found, decomposition_error(frequencies.blocks, found)
    return values, frequencies.multiplicity, error + frequencies.error


def decomposition_error(blocks: TorusBlocks, values: FloatArray) -> float:
    """A bound on what SVDs of blocks err by, which gave these values."""
    small, large = sorted(blocks.block_shape)
    return svd_error(small, large, float(values.max()), blocks.eps)


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
        (:func:`convspec.rounding.waves.symbol_error`): together they bound the distance
        from the exact values.
    """
    small = min(blocks.block_shape)
    if accuracy == "fast" and small > 1:
        values, errors = _each(blocks, index, lambda some: gram_values(blocks.at(some)))
        return values, float(errors.max())
    if is_thin(blocks.block_shape):
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
    return values, decomposition_error(blocks, values)


def _thin(blocks: TorusBlocks, index: IntArray) -> FloatArray:
    """Singular values of blocks with a short side, as accurate as by an SVD of each.

    From the polynomial of the Gram matrices where that errs by no more than evaluating
    the blocks and an SVD of the largest of them; from the blocks themselves elsewhere.
    """
    norms = np.zeros(blocks.groups)
    refused = np.ones(len(index), dtype=bool)
    values = np.empty((len(index), blocks.groups * min(blocks.block_shape)))
    if TorusGram.pays(blocks.symbol, len(index)):
        alone = _alone(blocks, len(index), _gram_held(blocks))
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
    at_once = frequencies_at_once(len(index), blocks.groups, held, alone)
    chunks = [slice(i, i + at_once) for i in range(0, len(index), at_once)]
    parallel_map(compute, chunks, 1 if alone else None, numpy=numpy)
    return values, errors


def _gram_held(blocks: TorusBlocks) -> tuple[int, int]:
    """What a block's Gram matrix from the polynomial costs, as the shape of a block."""
    small = min(blocks.block_shape)
    return small, THIN * small


def _alone(blocks: TorusBlocks, count: int, held: tuple[int, int]) -> bool:
    """Whether decomposing so many is too little for a second thread."""
    work = count * blocks_flops(blocks.groups, held)
    return not blocks.on_gpu and min(held) > 1 and work < ALONE_FLOPS

"""What the decomposition of a symbol's values costs: operations, bytes, and chunks."""

from __future__ import annotations

import math

from convspec.operators.autocorrelation import PAIRS
from convspec.operators.reduce import Reduction
from convspec.operators.symbol import Symbol
from convspec.rounding.blocks import CHUNK_BYTES
from convspec.run.threads import MAX_WORKERS, available_cores
from convspec.spectrum.fourier.closed import Closed

__all__ = [
    "SHARE_FLOPS",
    "THIN",
    "blocks_bytes",
    "blocks_flops",
    "fourier_bytes",
    "fourier_flops",
    "frequencies_at_once",
    "is_thin",
]

# operations of a share of frequencies that is taken by itself, about: some seconds
SHARE_FLOPS = 2e10
# per thread: blocks that stay in its cache while they are decomposed
CACHE_BYTES = 2**21
# a chunk worth a thread, about a millisecond
CHUNK_FLOPS = 2**22
# from this ratio of its sides on a block's Gram matrix is worth a try
THIN = 4


def is_thin(block_shape: tuple[int, int]) -> bool:
    """Whether a block's Gram matrix is much smaller than the block."""
    small, large = sorted(block_shape)
    return small > 1 and large >= THIN * small


def frequencies_at_once(
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
    closed = Closed.of(reduced)
    count = closed.count(not reduced.weight.is_complex())
    return count * blocks_flops(reduced.groups, reduced.symbol.block_shape)


def blocks_flops(groups: int, block_shape: tuple[int, int]) -> float:
    """Estimated operations of decomposing the blocks of one frequency."""
    return groups * _svd_flops(block_shape)


def fourier_bytes(reduced: Reduction) -> int:
    """Bytes of the frequencies held at a time, with what evaluating them takes."""
    closed = Closed.of(reduced)
    count = int(closed.count(not reduced.weight.is_complex())) + 1
    on_gpu = reduced.weight.device.type != "cpu"
    return blocks_bytes(reduced.symbol, count, on_gpu)


def blocks_bytes(symbol: Symbol, count: int, on_gpu: bool = False) -> int:
    """Bytes of the blocks held at a time, of ``count`` frequencies decomposed."""
    at_once = frequencies_at_once(count, symbol.groups, symbol.block_shape, on_gpu)
    cores = 1 if on_gpu else min(available_cores(), MAX_WORKERS)
    workers = min(cores, -(-count // at_once))
    held = 48 * workers * at_once * symbol.groups * math.prod(symbol.block_shape)
    copies = 4
    if is_thin(symbol.block_shape):  # and what the Gram polynomial takes
        held, copies = held + 16 * PAIRS, max(8, 2 ** (symbol.dim + 1))
    return int(held + copies * symbol.coefficients.nbytes)

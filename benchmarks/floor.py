"""The floor of a circular spectrum: LAPACK on half of the blocks, and nothing else.

Symmetry leaves half of the frequencies to decompose. Their blocks are laid out before
the clock starts, threads are running, and each calls LAPACK with one thread of its own.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache
from threading import Barrier
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.torus_layer import FloatArray, HalfSpectrum, TorusLayer
from convspec.run.threads import available_cores, openblas

__all__ = ["numpy_floor", "torch_floor"]

ComplexArray = npt.NDArray[np.complex128]
# so many that threads which take one after the other end together
CHUNKS = 32


def numpy_floor(layer: TorusLayer) -> HalfSpectrum:
    """By NumPy's LAPACK, the divide and conquer of OpenBLAS."""
    chunks, multiplicity = _chunks(layer)
    with _controller().limit(limits=1):
        parts = list(_pool().map(_numpy_values, chunks))
    return HalfSpectrum(np.concatenate(parts), multiplicity)


def torch_floor(layer: TorusLayer) -> HalfSpectrum:
    """By torch's LAPACK."""
    chunks, multiplicity = _chunks(layer)
    parts = list(_pool().map(_torch_values, chunks))
    return HalfSpectrum(np.concatenate(parts), multiplicity)


def _numpy_values(chunk: ComplexArray) -> FloatArray:
    return np.asarray(np.linalg.svd(chunk, compute_uv=False), dtype=np.float64)


def _torch_values(chunk: ComplexArray) -> FloatArray:
    values: FloatArray = torch.linalg.svdvals(torch.from_numpy(chunk)).numpy()
    return values


@lru_cache(maxsize=1)
def _chunks(layer: TorusLayer) -> tuple[list[ComplexArray], npt.NDArray[np.int64]]:
    """The blocks of half of the frequencies, tall, and their multiplicities."""
    index, multiplicity = layer.half()
    chunks = np.array_split(index, min(len(index), CHUNKS))
    return [_tall(layer.blocks(chunk)) for chunk in chunks], multiplicity


def _tall(blocks: ComplexArray) -> ComplexArray:
    """The blocks or their transposes: LAPACK is faster on tall matrices."""
    if blocks.shape[1] < blocks.shape[2]:
        blocks = blocks.transpose(0, 2, 1)
    return np.ascontiguousarray(blocks)


@cache
def _controller() -> Any:
    """Of the threads of every OpenBLAS; finding them takes milliseconds, so once."""
    return openblas()


@cache
def _pool() -> ThreadPoolExecutor:
    """Running threads, one per core, whose torch computes with one thread each."""
    cores, before = available_cores(), torch.get_num_threads()
    pool = ThreadPoolExecutor(cores, initializer=torch.set_num_threads, initargs=(1,))
    everyone = Barrier(cores)
    list(pool.map(lambda _: everyone.wait(), range(cores)))
    torch.set_num_threads(before)  # torch hands the latest number to threads to come
    return pool

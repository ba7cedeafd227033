"""Ways to halve the norm of a layer: is the bound kept, and how near is the kernel.

``python -m benchmarks clip [layer ...]``. The bound is half of the certified norm, of
each layer with zero and with circular padding. Before anything is reported ours is
checked: its norm is certified from scratch and computed by ARPACK, both within the bound.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from scipy.sparse.linalg import svds
from torch import Tensor

from benchmarks.clip_ways import WAYS
from benchmarks.kernels import gaussian
from benchmarks.table import aligned, number
from benchmarks.trained import mtcnn_kernel
from benchmarks.trained_layers import LAYERS as LARGE
from convspec import Bound, ConvOperator, spectral_norm

__all__ = [
    "CLIPPED",
    "FOOTER",
    "MODES",
    "ClipCompared",
    "ClipRow",
    "clip_compared",
    "clip_text",
]

MODES = ("zeros", "circular")
# of the certified norm
PART = 0.5
# of norms that show whether a bound is kept
RTOL = 1e-6

FOOTER = (
    "norm / bound: the certified lower end where it is above, else the upper end\n"
    "distance: |K' - K|_F / |K|_F; feasible: once K' is divided by what its norm is above"
)
# a kernel of odd taps, and the pixels per axis
CLIPPED: dict[str, tuple[Callable[[], Tensor], int]] = {
    "R-Net conv2": (partial(mtcnn_kernel, "conv2", net="rnet"), 11),
    "O-Net conv3": (partial(mtcnn_kernel, "conv3"), 10),
    "CRAFT slice1.3": (LARGE["CRAFT slice1.3"][0], 14),
    "Gaussian 8": (partial(gaussian, 8), 8),
    "Gaussian 32": (partial(gaussian, 32), 16),
}


@dataclass(frozen=True)
class ClipRow:
    """One way on one layer.

    Attributes:
        way: Its name.
        norm: The certified norm of what it found.
        distance: From the given kernel, relative to that.
        feasible: The same, once it is divided by what its norm is too large by.
        seconds: That it took; of ours and of the one by certified norms with proofs.
    """

    way: str
    norm: Bound
    distance: float
    feasible: float
    seconds: float


@dataclass(frozen=True)
class ClipCompared:
    """All ways on one layer.

    Attributes:
        label: The layer, its padding and its size.
        bound: What the norm is to be at most.
        rows: One per way, ours first.
        arpack: The norm of ours by ARPACK.
    """

    label: str
    bound: float
    rows: tuple[ClipRow, ...]
    arpack: float

    @property
    def is_right(self) -> bool:
        """Whether ours keeps the bound, twice."""
        kept = self.rows[0].norm.upper <= self.bound
        return kept and self.arpack <= self.bound * (1 + 1e-12)


def clip_compared(name: str, mode: str) -> ClipCompared:
    """All ways on one of :data:`CLIPPED`.

    Raises:
        Unavailable: If its weights cannot be fetched.
    """
    kernel, size = CLIPPED[name]
    weight = kernel()
    pads = [k // 2 for k in weight.shape[2:]]
    op = ConvOperator(weight, size, padding=pads, padding_mode=mode)
    bound = PART * spectral_norm(op, RTOL).upper
    found = [_measured(way, op, bound) for way in WAYS]
    c_out, c_in, *taps = weight.shape
    shape = f"{c_in} -> {c_out}, {'x'.join(map(str, taps))}"
    label = f"{name}, {shape}, {size} x {size}, {mode}, sigma_1 {2 * bound:.3f}"
    rows = tuple(row for row, _ in found)
    return ClipCompared(label, bound, rows, _arpack(op.with_weight(found[0][1])))


def _measured(way: str, op: ConvOperator, bound: float) -> tuple[ClipRow, Tensor]:
    """A way's row, and the kernel that it found."""
    start = time.perf_counter()
    weight = WAYS[way](op, bound)
    seconds = time.perf_counter() - start
    norm = spectral_norm(op.with_weight(weight), RTOL)
    scaled = weight * min(1.0, bound / norm.upper)
    off, feasible = (_distance(each, op.weight) for each in (weight, scaled))
    return ClipRow(way, norm, off, feasible, seconds), weight


def _distance(weight: Tensor, given: Tensor) -> float:
    norms = [torch.linalg.vector_norm(some) for some in (weight - given, given)]
    return float(norms[0] / norms[1])


def _arpack(op: ConvOperator) -> float:
    start = np.ones(min(op.shape))
    values = svds(op.to_scipy(), 1, v0=start, return_singular_vectors=False)
    return float(values[0])


def clip_text(found: ClipCompared) -> str:
    """A row per way; lower ends of norms above the bound, upper ends of others."""
    if not found.is_right:
        return f"{found.label}: the bound is BROKEN by ours; nothing else is reported"
    header = (
        "way",
        "norm / bound",
        "",
        "distance",
        "feasible",
        "/ ours",
        "s",
        "x ours",
        "",
    )
    rows = [_cells(found, row) for row in found.rows]
    return "\n".join([found.label, *aligned([header, *rows])])


def _cells(found: ClipCompared, row: ClipRow) -> tuple[str, ...]:
    broken, ours = row.norm.lower > found.bound, found.rows[0]
    end = row.norm.lower if broken else row.norm.upper
    return (
        row.way,
        f"{end / found.bound:.4f}",
        "broken" if broken else "kept" if row.norm.upper <= found.bound else "open",
        f"{row.distance:.4f}",
        f"{row.feasible:.4f}",
        f"{row.feasible / ours.feasible:.3f}",
        number(row.seconds),
        number(row.seconds / ours.seconds),
        "",
    )

"""Kernels as values of their symbols on a torus that they do not go around.

With a stride s each axis is split into its phases, which become columns, as in
:class:`convspec.Symbol`. Sums of squares are kept: that of all entries of a kernel is
the mean of those of its values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from convspec.limits import require_bytes
from convspec.operators.axis import Axis
from convspec.operators.operator import ConvOperator
from convspec.operators.reads import Reads

__all__ = ["Torus"]

# frequencies of an axis at least
COARSEST = 8
# and per lag at most: of such a grid the supremum is missed by about
# (pi / 32)^2 / 2, half a per cent, at most
FINEST = 16
# operations of one decomposition of all values, beyond which the grid is not refined
MAX_FLOPS = 2e9
# the values of a kernel, and what a step holds beside them
HELD = 8


@dataclass(frozen=True)
class Torus:
    """A grid of frequencies, and the kernels of one shape on it.

    Attributes:
        shape: Of the weight, (C_out, C_in / groups, *kernel).
        groups: Of the convolution.
        phases: Per axis, what the stride splits it into.
        grid: Frequencies per axis, at least the lags.
        live: Which taps kernels may have, (*kernel); the others are 0.
        real: Whether kernels are real: of two conjugate values one is held.
        exact: Whether the values are those of the operator.
    """

    shape: tuple[int, ...]
    groups: int
    phases: tuple[int, ...]
    grid: tuple[int, ...]
    live: Tensor
    real: bool
    exact: bool = False

    @classmethod
    def of(cls, op: ConvOperator, every_size: bool, max_bytes: int) -> Torus:
        """The torus of an operator's own frequencies, or one that is fine enough.

        Args:
            op: The operator.
            every_size: Whether those of other sizes are meant too.
            max_bytes: Byte limit of the values and what a step holds.

        Raises:
            TooLargeError: If a coarse grid needs more.
        """
        axes = op.geometry.axes
        shape = tuple(op.weight.shape)
        phases = tuple(min(axis.phases, axis.kernel) for axis in axes)
        live = torch.ones(shape[2:], dtype=torch.bool, device=op.device)
        for j, axis in enumerate([] if every_size else axes):
            along = torch.as_tensor(axis.live, device=op.device)
            live = live & along.reshape(-1, *[1] * (len(axes) - 1 - j))
        real = not op.dtype.is_complex
        least = tuple(
            1 if lag == 1 else max(COARSEST, 2 * lag) for lag in _lags(shape[2:], phases)
        )
        found = cls(shape, op.groups, phases, least, live, real)
        found._require(max_bytes)
        own = [None if every_size else _own(axis) for axis in axes]
        grid = tuple(n or few for n, few in zip(own, least, strict=True))
        on_own = replace(found, grid=grid, exact=None not in own)
        if not on_own._fits(max_bytes):
            return found._refined([False] * len(axes), max_bytes)
        return on_own._refined([n is not None for n in own], max_bytes)

    def _refined(self, fixed: Sequence[bool], max_bytes: int) -> Torus:
        """The finest grid that is worth it, twice as many frequencies each time."""
        found = self
        while True:
            finer = tuple(
                n if keep or n == 1 or n >= FINEST * lag else 2 * n
                for n, lag, keep in zip(found.grid, self.lags, fixed, strict=True)
            )
            following = replace(found, grid=finer)
            if finer == found.grid or not following._fits(max_bytes):
                return found
            found = following

    def _fits(self, max_bytes: int) -> bool:
        return self.flops <= MAX_FLOPS and self.memory <= max_bytes

    @property
    def lags(self) -> tuple[int, ...]:
        """Coefficients of the symbol per axis."""
        return _lags(self.shape[2:], self.phases)

    @property
    def block(self) -> tuple[int, int]:
        """(rows, columns) of a value."""
        rows, columns = self.shape[0] // self.groups, self.shape[1]
        return rows, columns * math.prod(self.phases)

    @property
    def points(self) -> int:
        """Frequencies that are held."""
        last = self.grid[-1] // 2 + 1 if self.real else self.grid[-1]
        return math.prod(self.grid[:-1]) * last

    @property
    def flops(self) -> float:
        """Of Gram matrices of all values and their eigenvectors, about."""
        small, large = sorted(self.block)
        return 4.0 * self.points * self.groups * (4 * large + 25 * small) * small**2

    @property
    def memory(self) -> int:
        """Bytes of a step."""
        return 16 * HELD * self.points * self.groups * math.prod(self.block)

    def _require(self, max_bytes: int) -> None:
        grid = " x ".join(map(str, self.grid))
        what = f"the symbols of a step on {grid} frequencies"
        require_bytes(what, self.memory, max_bytes, "scale the weight instead")

    @cached_property
    def times(self) -> Tensor:
        """How many frequencies each one stands for, over all of them; (points, 1, 1)."""
        shares = torch.ones(self.grid[-1], dtype=torch.float64)
        if self.real:
            last = self.grid[-1]
            shares = torch.full((last // 2 + 1,), 2.0, dtype=torch.float64)
            shares[0] = 1.0
            shares[-1] = 2.0 if last % 2 else 1.0
        shares = shares.repeat(math.prod(self.grid[:-1])) / math.prod(self.grid)
        return shares.to(self.live.device)[:, None, None]

    def values(self, kernel: Tensor) -> Tensor:
        """The symbol of a kernel; (points, groups, rows, columns)."""
        rows, columns = self.block
        taps = kernel.reshape(self.groups, rows, -1, *self.shape[2:])
        pads: list[int] = []
        sizes: list[int] = []
        for k, s, lag in zip(self.shape[2:], self.phases, self.lags, strict=True):
            pads = [0, lag * s - k, *pads]
            sizes += [lag, s]
        taps = F.pad(taps, pads).reshape(*taps.shape[:3], *sizes)
        taps = taps.permute(self._order)  # (groups, rows, channels, *phases, *lags)
        dims = list(range(taps.ndim - len(self.grid), taps.ndim))
        transform = torch.fft.rfftn if self.real else torch.fft.fftn
        found: Tensor = transform(taps, s=self.grid, dim=dims)
        return found.reshape(self.groups, rows, columns, -1).permute(3, 0, 1, 2)

    def kernel(self, values: Tensor) -> Tensor:
        """The kernel of this support whose symbol is nearest to some values."""
        d = len(self.grid)
        found = values.permute(1, 2, 3, 0)
        held = [*self.grid[:-1], self.points // math.prod(self.grid[:-1])]
        found = found.reshape(*found.shape[:2], self.shape[1], *self.phases, *held)
        dims = list(range(found.ndim - d, found.ndim))
        inverse = torch.fft.irfftn if self.real else torch.fft.ifftn
        taps: Tensor = inverse(found, s=self.grid, dim=dims)
        for dim, lag in zip(dims, self.lags, strict=True):
            taps = taps.narrow(dim, 0, lag)
        order = self._order
        taps = taps.permute([order.index(dim) for dim in range(len(order))])
        whole = [lag * s for lag, s in zip(self.lags, self.phases, strict=True)]
        taps = taps.reshape(*self.shape[:2], *whole)
        for j, k in enumerate(self.shape[2:]):
            taps = taps.narrow(2 + j, 0, k)
        return taps * self.live

    @property
    def _order(self) -> list[int]:
        """From (groups, rows, channels, lag_1, phase_1, ...) to phases, then lags."""
        d = len(self.grid)
        lags, phases = ([3 + i + 2 * j for j in range(d)] for i in (0, 1))
        return [0, 1, 2, *phases, *lags]


def _lags(kernel: Sequence[int], phases: Sequence[int]) -> tuple[int, ...]:
    return tuple(-(-k // s) for k, s in zip(kernel, phases, strict=True))


def _own(axis: Axis) -> int | None:
    """The frequencies of an axis that is closed and no shorter than its kernel.

    Dilation permutes them if it shares no factor with the size. None for other axes.
    """
    alike = axis.dilation == 1 or (
        axis.stride == 1 and math.gcd(axis.dilation, axis.size) == 1
    )
    (lags,) = _lags([axis.kernel], [min(axis.phases, axis.kernel)])
    if not (alike and lags <= axis.output and Reads.of(axis).cyclic):
        return None
    return 1 if lags == 1 else axis.output

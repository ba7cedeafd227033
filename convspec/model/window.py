"""Padding and cuts as tables: which pixel each place of a padded axis shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from convspec.arrays import IntArray
from convspec.operators.axis import Axis
from convspec.operators.padding_mode import PADDING_MODES, most_padding

__all__ = ["Window", "window_of", "windows_of"]


@dataclass(frozen=True)
class Window:
    """What an axis shows of another.

    Attributes:
        size: Pixels of the other.
        before: Places in front of its first pixel; negative where pixels are cut.
        after: Places behind its last pixel.
        mode: What they show, a padding mode.
    """

    size: int
    before: int
    after: int
    mode: str = "zeros"

    @property
    def length(self) -> int:
        """Its places."""
        return self.before + self.size + self.after

    @property
    def is_all(self) -> bool:
        """Whether it is the whole axis and no more."""
        return self.before == self.after == 0

    @property
    def pads(self) -> bool:
        """Whether it shows more than the axis, and nothing less."""
        return min(self.before, self.after) >= 0 and not self.is_all

    @property
    def cuts(self) -> bool:
        """Whether it shows less, and nothing more."""
        return max(self.before, self.after) <= 0 and not self.is_all


def windows_of(
    places: Tensor, shape: Sequence[int], dim: int
) -> tuple[Window, ...] | None:
    """The window of each of the last axes; None if the entries are not moved so.

    Args:
        places: One more than the flat place of each entry's source, or 0; channels and
            the batch in front of the axes.
        shape: Of the source.
        dim: How many axes.
    """
    sizes, ahead = tuple(shape[-dim:]), int(np.prod(shape[:-dim]))
    outputs = tuple(places.shape[-dim:])
    flat = places.reshape(-1, *outputs)
    if len(flat) != ahead or min(*sizes, *outputs) < 1:
        return None
    pixels = int(np.prod(sizes))
    channels = torch.arange(ahead, dtype=torch.int64, device="cpu")
    shifts = pixels * channels.reshape(-1, *[1] * dim)
    first = flat[0]
    same = torch.where(first > 0, first + shifts, 0)  # every channel like the first
    if not torch.equal(flat, same):
        return None
    lines = _lines(first.numpy() - 1, sizes)
    if lines is None:
        return None
    found = [window_of(line, size) for line, size in zip(lines, sizes, strict=True)]
    windows = [window for window in found if window is not None]
    return tuple(windows) if len(windows) == dim else None


def _lines(image: IntArray, sizes: tuple[int, ...]) -> list[IntArray] | None:
    """The pixel that each place of an axis shows, -1 for none, if axes do not mix."""
    shown = image >= 0
    if not shown.any():
        return None
    pixels = np.stack(np.unravel_index(np.where(shown, image, 0), sizes))
    lines = []
    for j, own in enumerate(pixels):
        others = tuple(k for k in range(image.ndim) if k != j)
        lines.append(np.where(shown, own, -1).max(axis=others, initial=-1))
    live = np.ones((), dtype=bool)
    place = np.zeros((), dtype=np.int64)
    for line, size in zip(lines, sizes, strict=True):
        live = np.logical_and.outer(live, line >= 0)
        place = np.add.outer(place * size, np.maximum(line, 0))
    return lines if np.array_equal(np.where(live, place, -1), image) else None


def window_of(line: IntArray, size: int) -> Window | None:
    """The window that shows these pixels of an axis, in the first mode that does.

    Args:
        line: The pixel that each place shows, -1 for none.
        size: Of the axis.
    """
    candidates = np.flatnonzero(line == 0).tolist()
    if line[0] > 0:  # its first pixels were cut
        candidates.append(-int(line[0]))
    for before in candidates:
        after = len(line) - size - before
        if not _shows_all(line, size, before, after):
            continue
        for mode in PADDING_MODES:
            if _padded(size, before, after, mode, line):
                return Window(size, before, after, mode)
    return None


def _shows_all(line: IntArray, size: int, before: int, after: int) -> bool:
    """Whether the pixels that are not cut stand in their order in the middle."""
    first, last = max(0, -before), size - max(0, -after)
    start = max(0, before)
    kept = line[start : start + last - first]
    return last > first and np.array_equal(kept, np.arange(first, last))


def _padded(size: int, before: int, after: int, mode: str, line: IntArray) -> bool:
    """Whether the places beyond the axis show what the mode has there."""
    ahead, behind = max(0, before), max(0, after)
    most = most_padding(mode, size)
    if most is not None and max(ahead, behind) > most:
        return False
    whole = Axis(size, 1, 1, before=ahead, after=behind, mode=mode).padded
    cut = whole[max(0, -before) : len(whole) - max(0, -after)]
    return np.array_equal(cut, line)

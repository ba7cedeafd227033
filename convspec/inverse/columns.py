"""Products with Kronecker products of blocks, factor by factor."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

__all__ = ["along", "multiplied"]


def along(columns: Tensor, i: int, count: int, act: Callable[[Tensor], Tensor]) -> Tensor:
    """Act on the columns of factor i of ``count``, whatever the others hold.

    Args:
        columns: (groups, *frequencies, *widths, n).
        i: The factor.
        count: How many factors there are.
        act: From (groups, frequencies_i, width_i, all others) to that with another width.
    """
    wave, width = 1 + i, 1 + count + i
    found = columns.movedim((0, wave, width), (0, 1, 2))
    others = found.shape[3:]
    found = act(found.flatten(3))
    found = found.reshape(*found.shape[:3], *others)
    return found.movedim((0, 1, 2), (0, wave, width))


def multiplied(factors: Sequence[Tensor], columns: Tensor) -> Tensor:
    """``(F_1 (x) ... (x) F_k)`` times columns, as :meth:`Part.taken` returns them.

    Args:
        factors: (groups, frequencies, rows, width) each.
        columns: (groups, *frequencies, *widths, n).
    """
    for i, factor in enumerate(factors):
        columns = along(columns, i, len(factors), factor.__matmul__)
    return columns

"""The rank that is asked for, as a number or by the energy that is kept."""

from __future__ import annotations

import numpy as np

from convspec.arguments import integer, part, shown
from convspec.arrays import FloatArray

__all__ = ["chosen_rank"]


def chosen_rank(
    values: FloatArray, rank: int | None, energy: float | None, of: str
) -> int:
    """``rank``, or the least r whose first r columns have that share of all squares.

    Args:
        values: Singular values, (matrices, values), each row descending.
        rank: The rank.
        energy: Or the share.
        of: What is decomposed, in words.

    Raises:
        ValueError: If the rank is not one of these matrices, energy is not from 0 to 1,
            or not one of both is given.

    >>> chosen_rank(np.array([[3.0, 1.0], [1.0, 1.0]]), None, 0.8, "a matrix")
    1
    """
    most = values.shape[1]
    if (rank is None) == (energy is None):
        raise ValueError(
            f"give one of rank and energy; got rank={shown(rank)}, energy={shown(energy)}"
        )
    if rank is not None:
        count = integer("rank", rank, 1, f"at most {most}")
        if count > most:
            raise ValueError(
                f"rank must be at most {most}, the smaller side of {of}; "
                f"got {shown(rank)}"
            )
        return count
    assert energy is not None
    sums = np.cumsum((values**2).sum(axis=0))
    slack = values.size * float(np.finfo(np.float64).eps)
    return 1 + int(np.argmax(sums >= part(energy) * sums[-1] * (1 - slack)))

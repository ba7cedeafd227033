"""Connected components: rows and columns of a matrix that form its diagonal blocks."""

from __future__ import annotations

import numpy as np
import scipy
from scipy import sparse

from convspec.arrays import IntArray

__all__ = ["components"]


def components(
    rows: IntArray, columns: IntArray, shape: tuple[int, int]
) -> tuple[IntArray, IntArray]:
    """The component that each row and each column is in, of the graph of the entries.

    A matrix is, up to the order of its rows and columns, the direct sum of the blocks
    that these are. A row or column without entries is a component of its own.

    Args:
        rows: Of the entries; (e,).
        columns: Of the entries; (e,).
        shape: Of the matrix.

    Returns:
        Numbers from 0 up, (m,) and (n,).

    >>> left, right = components(np.array([0, 1, 2]), np.array([1, 0, 1]), (3, 2))
    >>> left.tolist(), right.tolist()
    ([0, 1, 0], [1, 0])
    """
    m, n = shape
    entries = np.ones(len(rows), dtype=np.int8)
    graph = sparse.coo_array((entries, (rows, columns + m)), shape=(m + n, m + n))
    _, labels = scipy.sparse.csgraph.connected_components(graph, directed=False)
    found: IntArray = labels.astype(np.int64)
    return found[:m], found[m:]

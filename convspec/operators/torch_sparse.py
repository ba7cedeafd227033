"""Sparse matrices of SciPy as sparse tensors of torch."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from convspec.arguments import shown
from convspec.limits import require_bytes

__all__ = ["require_layout", "sparse_tensor"]

# a pair of 64-bit indices for each entry, and the rows before they stand there
COO_BYTES = 24


def require_layout(layout: torch.layout) -> None:
    """Refuse layouts other than CSR and COO.

    Raises:
        ValueError: For those.
    """
    if layout not in (torch.sparse_csr, torch.sparse_coo):
        raise ValueError(
            "layout must be torch.sparse_csr or torch.sparse_coo; got "
            f"{shown(layout)}; torch converts between its others, "
            "op.to_torch_sparse().to_sparse_csc()"
        )


def sparse_tensor(
    matrix: sparse.csr_array, layout: torch.layout, max_bytes: float
) -> Tensor:
    """The matrix as a coalesced tensor on the CPU, which shares the memory if it can.

    Args:
        matrix: In CSR format; its indices are sorted in place.
        layout: ``torch.sparse_csr`` or ``torch.sparse_coo``.
        max_bytes: Byte limit, what the matrix holds included.

    Raises:
        TooLargeError: If it needs more than ``max_bytes``.
    """
    held = matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes
    more = COO_BYTES * matrix.nnz if layout == torch.sparse_coo else 0
    require_bytes(
        f"the sparse tensor ({matrix.nnz:,} entries)",
        held + more,
        max_bytes,
        "use torch.sparse_csr, or apply(), which needs no matrix"
        if more
        else "use apply(), which needs no matrix",
    )
    matrix.sum_duplicates()
    values = torch.from_numpy(matrix.data)
    # checked by SciPy; torch warns where nobody says whether it is to check again
    if layout == torch.sparse_csr:
        with warnings.catch_warnings():
            # of the layout in general, once in a process
            warnings.filterwarnings("ignore", "Sparse CSR tensor support", UserWarning)
            return torch.sparse_csr_tensor(
                torch.from_numpy(matrix.indptr),
                torch.from_numpy(matrix.indices),
                values,
                size=matrix.shape,
                dtype=values.dtype,
                check_invariants=False,
            )
    places = np.empty((2, matrix.nnz), dtype=np.int64)
    places[0] = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    places[1] = matrix.indices
    return torch.sparse_coo_tensor(
        torch.from_numpy(places),
        values,
        size=matrix.shape,
        dtype=values.dtype,
        check_invariants=False,
        is_coalesced=True,
    )

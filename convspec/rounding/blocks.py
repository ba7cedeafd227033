"""Singular values of a batch of small matrices."""

from __future__ import annotations

import math
import platform
from functools import cache
from pathlib import Path

import numpy as np
import scipy
import torch
from torch import Tensor

from convspec.arrays import FloatArray
from convspec.rounding import svd_error
from convspec.rounding.closed_form import CLOSED, closed_eigenvalues

__all__ = [
    "CHUNK_BYTES",
    "block_bytes",
    "block_values",
    "blocks_at_once",
    "gram_values",
    "numpy_is_faster",
    "root_values",
    "thin_values",
]

# blocks are decomposed this many bytes at a time, whatever the size of the whole
CHUNK_BYTES = 2**27


def block_bytes(groups: int, block_shape: tuple[int, int]) -> int:
    """What the blocks of one frequency take: evaluated, decomposed, and a copy."""
    return 48 * groups * math.prod(block_shape)


def blocks_at_once(groups: int, block_shape: tuple[int, int], free: int) -> int:
    """How many frequencies' blocks to hold at a time, with so many bytes free."""
    return max(1, min(CHUNK_BYTES, free) // block_bytes(groups, block_shape))


def block_values(blocks: Tensor, numpy: bool = False) -> Tensor:
    """Singular values of (..., r, c), descending: (..., min(r, c)), real.

    Args:
        blocks: The matrices.
        numpy: Whether NumPy decomposes them, see :func:`numpy_is_faster`.
    """
    if min(blocks.shape[-2:]) == 1:  # a row or a column: its length
        length: Tensor = torch.linalg.vector_norm(blocks, dim=(-2, -1))
        return length[..., None]
    if blocks.shape[-2] < blocks.shape[-1]:
        blocks = blocks.mT  # the same values, and LAPACK is faster on tall matrices
    try:
        if numpy:
            return torch.from_numpy(np.linalg.svd(blocks.numpy(), compute_uv=False))
        values: Tensor = torch.linalg.svdvals(blocks)
    except (np.linalg.LinAlgError, torch.linalg.LinAlgError):  # type: ignore[attr-defined]
        # divide and conquer can fail where the QR iteration does not
        values = torch.stack([_qr_values(block) for block in blocks.flatten(0, -3)])
        values = values.to(blocks.device).reshape(*blocks.shape[:-2], -1)
    return values


def gram_values(blocks: Tensor) -> tuple[Tensor, Tensor]:
    """Singular values of complex (..., r, c) from the smaller Gram, and their errors.

    ``sigma = sqrt(lambda)``, so if an eigenvalue is off by at most d, the value is by
    at most ``min(sqrt(d), d / (sigma + sqrt(sigma^2 - d)))``. With ``X = A + i B``, l
    rows and fewer columns, ``X^H X = A^T A + B^T B + i (A^T B - B^T A)``: sums of l real
    products, which err by ``(l + 2) eps ||X||_F^2`` in norm (Higham, Accuracy and
    Stability of Numerical Algorithms, 2nd ed., section 3.5); the eigenvalues by what
    :func:`convspec.rounding.svd_error` allows.

    Returns:
        values (..., min(r, c)), descending, and per block a bound on the error of each.
    """
    small, large = sorted(blocks.shape[-2:])
    tall = blocks if blocks.shape[-1] == small else blocks.mT  # X^T has the same values
    parts = torch.view_as_real(tall.resolve_conj().contiguous()).flatten(-2)
    eps = torch.finfo(parts.dtype).eps
    products = parts.mT @ parts  # (..., 2 small, 2 small)
    even, odd = products[..., 0::2, :], products[..., 1::2, :]
    real = even[..., 0::2] + odd[..., 1::2]
    gram = torch.complex(real, even[..., 1::2] - odd[..., 0::2]).to(blocks.dtype)
    values, errors = root_values(gram, (large + 2) * eps)
    tiny = torch.finfo(values.dtype).tiny
    faint = values[..., 0] < tiny**0.5 / eps
    if faint.any():  # of numbers this small products may have underflowed
        present = (blocks[faint] != 0).flatten(1).any(dim=1).to(errors)
        errors[faint] += (4 * large * small * tiny) ** 0.5 * present
    return values, errors


def root_values(
    gram: Tensor, relative: float, absolute: Tensor | float = 0.0
) -> tuple[Tensor, Tensor]:
    """Square roots of the eigenvalues of ``X^H X`` as computed, and their errors.

    Args:
        gram: Hermitian, complex; (..., s, s).
        relative: Bound on its error in norm, times the sum of its eigenvalues;
        absolute: and a bound on what more it may err, broadcast to (...), float64.

    Returns:
        values (..., s), descending, and per matrix a bound on the error of each.
    """
    eps = torch.finfo(gram.dtype).eps
    size = gram.shape[-1]
    squares = _eigenvalues(gram)
    values = squares.clamp(min=0).sqrt()
    off = relative * squares.double().abs().sum(dim=-1) + absolute
    off += svd_error(size, size, 1.0, eps) * squares.double().abs().amax(dim=-1)
    least = values[..., -1].double()
    below = (least**2 - off).clamp(min=0).sqrt()
    error = torch.minimum(off.sqrt(), off / (least + below).clamp(min=1e-300))
    return values, error + eps * values[..., 0]  # and the square root's own


def _eigenvalues(gram: Tensor) -> Tensor:
    """Eigenvalues of Hermitian (..., s, s), descending, as accurate as LAPACK's."""
    size = gram.shape[-1]
    if size not in CLOSED:
        found: Tensor = torch.linalg.eigvalsh(gram).flip(-1)
        return found
    squares, errors = closed_eigenvalues(gram.to(torch.complex128))
    allowed = svd_error(size, size, 1.0, torch.finfo(torch.float64).eps)
    refused = ~(errors <= allowed * squares.abs().amax(dim=-1))
    if refused.any():
        squares[refused] = torch.linalg.eigvalsh(gram[refused]).flip(-1).to(squares)
    return squares.to(gram.real.dtype)


def thin_values(blocks: Tensor, norms: FloatArray | float = 0.0) -> Tensor:
    """Singular values of complex (..., r, c) as accurate as an SVD's, one side small.

    From the Gram matrix where its error is within :func:`convspec.rounding.svd_error`,
    which it is for blocks of small condition number; an SVD of the others.

    Args:
        blocks: The matrices.
        norms: What else their norms may be taken for in that bound, broadcast to (...).
    """
    if min(blocks.shape[-2:]) == 1:
        return block_values(blocks)
    values, errors = gram_values(blocks)
    rows, columns = blocks.shape[-2:]
    allowed = svd_error(rows, columns, 1.0, torch.finfo(values.dtype).eps)
    known = torch.as_tensor(norms, device=values.device)
    refused = errors > allowed * torch.maximum(values[..., 0].double(), known)
    if refused.any():
        values[refused] = block_values(blocks[refused])
    return values


@cache
def numpy_is_faster() -> bool:
    """Whether NumPy's LAPACK beats torch's on this processor, for larger blocks.

    torch's own is Intel's MKL, which takes its slower paths on other makes: measured on
    AMD, 1.2 to 1.6 times the time of the OpenBLAS in NumPy for blocks of 64 to 512.
    That one has to be held to one thread; see :func:`convspec.run.threads.openblas`.
    """
    mkl = torch.backends.mkl.is_available()  # type: ignore[no-untyped-call]
    return mkl and "Intel" not in _processor()


def _processor() -> str:
    described = Path("/proc/cpuinfo")
    if described.exists():
        return described.read_text(errors="replace")
    return platform.processor()


def _qr_values(block: Tensor) -> Tensor:
    array = block.cpu().numpy()
    return torch.from_numpy(
        scipy.linalg.svd(array, compute_uv=False, lapack_driver="gesvd")
    )

"""Leading eigenvectors by a few Lanczos steps: places to look at, certified elsewhere."""

from __future__ import annotations

import torch
from torch import Tensor

from convspec.krylov.orthogonal import exhausted, orthogonalised

__all__ = ["largest_estimates", "largest_pair", "smallest_estimates"]

STEPS = 16
# from a good guess, to a rough vector
NEAR_STEPS = 8
RESTARTS = 12
# accuracies that single precision serves for
SINGLE_ACCURACY = 1e-4
# up to this side all eigenvalues are cheap
FULL_SIDE = 16


def largest_estimates(matrices: Tensor, steps: int = 8) -> Tensor:
    """Ritz values, which are below lambda_max but for rounding: (b, n, n) -> (b,).

    Args:
        matrices: Hermitian, positive semidefinite.
        steps: Dimension of the Krylov spaces.
    """
    side = matrices.shape[-1]
    tiny = torch.finfo(matrices.dtype).tiny
    if side <= steps:
        values: Tensor = torch.linalg.eigvalsh(matrices)[..., -1]
        return values
    generator = torch.Generator().manual_seed(side)
    start = torch.randn(side, generator=generator, dtype=torch.float64)
    basis = (start / start.norm()).to(matrices.dtype).expand(len(matrices), 1, side)
    images = basis[:, :0]
    scale = matrices.diagonal(dim1=-2, dim2=-1).real.amax(-1).clamp(min=tiny)
    for _ in range(steps):
        image = (matrices @ basis[:, -1:].mT).mT / scale[:, None, None]  # (b, 1, n)
        images = torch.cat([images, image], 1)
        size = torch.linalg.vector_norm(image, dim=-1, keepdim=True)
        image, _ = orthogonalised(image, basis)
        norm = torch.linalg.vector_norm(image, dim=-1, keepdim=True)
        # rounding is no direction: the space ends here
        image = torch.where(exhausted(norm, size, image.dtype), 0.0, image / norm)
        basis = torch.cat([basis, image], 1)
    projected = basis[:, :steps].conj() @ images.mT
    ritz: Tensor = torch.linalg.eigvalsh(projected)[..., -1]
    return ritz * scale


def smallest_estimates(matrices: Tensor, steps: int = 4) -> Tensor:
    """Rayleigh quotients after inverse iteration, at least lambda_min but for rounding.

    Args:
        matrices: (b, n, n), Hermitian, positive semidefinite.
        steps: Of inverse iteration.
    """
    side = matrices.shape[-1]
    trace = matrices.diagonal(dim1=-2, dim2=-1).real.sum(-1)
    shifted = matrices.clone()
    shifted.diagonal(dim1=-2, dim2=-1).add_((1e-13 * trace)[:, None])
    factor, info = torch.linalg.cholesky_ex(shifted)
    if side <= FULL_SIDE or bool(info.any()):
        values: Tensor = torch.linalg.eigvalsh(matrices)[..., 0]
        return values
    generator = torch.Generator().manual_seed(side)
    start = torch.randn(side, 1, generator=generator, dtype=torch.float64)
    vectors = start.to(matrices.dtype).expand(len(matrices), side, 1)
    for _ in range(steps):
        vectors = torch.cholesky_solve(vectors, factor)
        vectors = vectors / torch.linalg.vector_norm(vectors, dim=-2, keepdim=True)
    quotients: Tensor = (vectors.mH @ matrices @ vectors)[..., 0, 0].real
    return quotients


def largest_pair(F: Tensor, near: Tensor | None, accuracy: float) -> Tensor:
    """The unit vector v that maximises ``||F^H v||``, nearly: (n, m) -> (n,).

    Args:
        F: Complex, of any shape.
        near: A guess.
        accuracy: Relative residual to stop at.
    """
    side = F.shape[0]
    rough = accuracy > SINGLE_ACCURACY
    steps = min(NEAR_STEPS if rough and near is not None else STEPS, side)
    if near is None:
        generator = torch.Generator().manual_seed(side)
        near = torch.randn(side, generator=generator, dtype=torch.float64)
    dtype = torch.complex64 if rough else F.dtype
    A = F.to(dtype)
    vector = near.to(dtype)
    vector = vector / torch.linalg.vector_norm(vector)
    for _ in range(RESTARTS):
        vector, residual = _restart(A, vector, steps)
        if residual < accuracy:
            break
    return vector.to(F.dtype)


def _restart(F: Tensor, vector: Tensor, steps: int) -> tuple[Tensor, float]:
    """The Ritz vector of a Krylov space of ``F F^H`` and its relative residual."""
    basis = F.new_zeros((steps, len(vector)))
    images = F.new_zeros((steps, len(vector)))
    for j in range(steps):
        basis[j] = vector
        images[j] = vector = F @ (F.mH @ vector)
        vector = orthogonalised(vector[None], basis[: j + 1])[0][0]
        norm = torch.linalg.vector_norm(vector)
        if exhausted(norm, torch.linalg.vector_norm(images[j]), F.dtype):
            basis, images = basis[: j + 1], images[: j + 1]
            break
        vector = vector / norm
    values, vectors = torch.linalg.eigh(basis.conj() @ images.mT)
    ritz = vectors[:, -1] @ basis
    value = float(values[-1])
    residual = float((vectors[:, -1] @ images - value * ritz).norm())
    return ritz / ritz.norm(), residual / value if value > 0 else 0.0

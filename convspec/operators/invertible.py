"""What every linear map can be asked to undo; the answers are at home in ``inverse``."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from torch import Tensor

from convspec.isolation import isolated_class
from convspec.limits import DEFAULT_MAX_BYTES, Bytes

if TYPE_CHECKING:
    from convspec.inverse.pseudo_inverse import PseudoInverse
    from convspec.inverse.solve import LeastSquares
    from convspec.operators.linear_map import LinearMap

__all__ = ["Invertible"]


@isolated_class
class Invertible:
    """Solutions, least squares and the pseudo-inverse of a map."""

    def solve(
        self,
        y: Tensor,
        *,
        method: str = "auto",
        rtol: float = 1e-10,
        max_products: int = 20_000,
        max_bytes: Bytes = DEFAULT_MAX_BYTES,
    ) -> Tensor:
        """The x with ``A x = y``, of a square invertible map; differentiable.

        By factors of the blocks that A is a direct sum of (frequencies of circular
        axes, patches, residue classes), or of its sparse matrix, whichever is less work;
        where neither fits, by LSMR with waves as a preconditioner. One step of
        refinement follows, and ``||A x - y||`` is checked against
        ``||A|| ||x|| + ||y||``. All in double precision; gradients reach y and the
        weight.

        Args:
            y: (..., *output_shape), without the bias: subtract a layer's ``offset``.
            method: ``"direct"`` for factors, ``"krylov"`` for products alone.
            rtol: Of LSMR.
            max_products: Most products that LSMR may take, for an image.
            max_bytes: Byte limit of the factors.

        Returns:
            (..., *input_shape).

        Raises:
            NotApplicable: If A is not square, or singular.
            NotConverged: If A x is too far from y; ``best`` holds x.
            GeometryError: If y does not end in ``output_shape``.
            TooLargeError: If factors were asked for and do not fit ``max_bytes``.

        Source: Fong and Saunders, "LSMR", SIAM J. Sci. Comput. 33, 2011.

        Example:
            >>> import torch, convspec as cs
            >>> op = cs.ConvOperator(torch.tensor([[[-1.0, 2.0, -1.0]]]), 3, padding=1)
            >>> op.solve(torch.tensor([[1.0, 0.0, 0.0]])).mul(4).round()
            tensor([[3., 2., 1.]])
        """
        from convspec.inverse.solve import solved

        return solved(_map(self), y, method, rtol, max_products, max_bytes)

    def lstsq(
        self,
        y: Tensor,
        *,
        damp: float = 0.0,
        rank_rtol: float | None = None,
        method: str = "auto",
        rtol: float = 1e-10,
        max_products: int = 20_000,
        max_bytes: Bytes = DEFAULT_MAX_BYTES,
    ) -> LeastSquares:
        """The x of least ``||A x - y||^2 + damp^2 ||x||^2``, of those the shortest.

        By singular vectors of the blocks that A is a direct sum of, or by LSMR where
        that is too much work: then rtol says how near, and with damping waves
        precondition it.

        Args:
            y: (..., *output_shape), without the bias.
            damp: The regularisation of Tikhonov; 0 for none.
            rank_rtol: Singular values up to this part of the largest count as zero;
                ``max(m, n) eps`` unless told. Not by LSMR.
            method: ``"direct"`` for singular vectors, ``"krylov"`` for LSMR.
            rtol: Of LSMR.
            max_products: Most products that LSMR may take, for an image.
            max_bytes: Byte limit of the blocks.

        Returns:
            ``solution``, ``residual``, ``gradient``, ``rank`` and ``method``. Gradients
            reach y, not the weight.

        Raises:
            NotConverged: If LSMR does not get there; ``best`` holds the images.
            GeometryError: If y does not end in ``output_shape``.
            TooLargeError: If blocks were asked for and do not fit ``max_bytes``.

        Example:
            >>> import torch, convspec as cs
            >>> op = cs.ConvOperator(torch.tensor([[[1.0, 1.0]]]), 3)  # wide: 2 x 3
            >>> found = op.lstsq(torch.tensor([[3.0, 3.0]]))
            >>> found.solution.round(decimals=6), found.rank
            (tensor([[1., 2., 1.]]), 2)
        """
        from convspec.inverse.pseudo_inverse import pseudo_inverse
        from convspec.inverse.solve import least_squares

        given = damp, rank_rtol, method, rtol, max_products, max_bytes
        op = _map(self)
        return least_squares(pseudo_inverse(op, *given), op.H._checked("y", y))

    def pinv(
        self,
        *,
        damp: float = 0.0,
        rank_rtol: float | None = None,
        method: str = "auto",
        rtol: float = 1e-10,
        max_products: int = 20_000,
        max_bytes: Bytes = DEFAULT_MAX_BYTES,
    ) -> PseudoInverse:
        """The pseudo-inverse ``A^+ = V S^+ U^H`` as a map, from outputs to inputs.

        ``op.pinv() @ op`` projects on what A does not lose, ``op @ op.pinv()`` on its
        range. Blocks are decomposed once, at the first product. Arguments as for
        :meth:`lstsq`; with damping it is ``V S / (S^2 + damp^2) U^H``.

        Example:
            >>> import torch, convspec as cs
            >>> op = cs.ConvOperator(torch.tensor([[[1.0, 1.0]]]), 3)
            >>> op.pinv().to_dense().mul(3).round()
            tensor([[ 2., -1.],
                    [ 1.,  1.],
                    [-1.,  2.]])
        """
        from convspec.inverse.pseudo_inverse import pseudo_inverse

        given = damp, rank_rtol, method, rtol, max_products, max_bytes
        return pseudo_inverse(_map(self), *given)


def _map(op: Invertible) -> LinearMap:
    """What it is: the class of maps is the only one below."""
    return cast("LinearMap", op)

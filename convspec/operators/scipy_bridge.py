"""Matrix-free products as a SciPy ``LinearOperator``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import scipy
import torch
from torch import Tensor

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator

__all__ = ["linear_operator"]

Product = Callable[[Tensor], Tensor]


def linear_operator(
    shape: tuple[int, int], forward: Product, backward: Product, like: Tensor
) -> LinearOperator:
    """SciPy's view of A from its products with columns (n, j) and of A^H with (m, j).

    ``like`` gives dtype and device of the tensors that the products take.
    """

    def on_arrays(product: Product) -> Callable[[Any], npt.NDArray[Any]]:
        def multiply(v: Any) -> npt.NDArray[Any]:
            # a copy: SciPy hands over views with strides that torch refuses
            columns = torch.from_numpy(np.array(v, copy=True)).to(like.device)
            with torch.no_grad():
                block = product(columns.reshape(len(columns), -1))
            result: npt.NDArray[Any] = block.cpu().numpy()
            return result.reshape(len(result), *columns.shape[1:])

        return multiply

    return scipy.sparse.linalg.LinearOperator(
        shape,
        matvec=on_arrays(forward),
        rmatvec=on_arrays(backward),
        matmat=on_arrays(forward),
        rmatmat=on_arrays(backward),
        dtype=np.dtype(str(like.dtype).removeprefix("torch.")),
    )

"""Reading a weight or a bias: finite numbers in a dense tensor, of a dtype that works."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from convspec.errors import NotFiniteError, UnsupportedLayer

__all__ = ["finite_tensor"]

DTYPES = (
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
    torch.complex64,
    torch.complex128,
)


def finite_tensor(name: str, values: Tensor | npt.NDArray[Any]) -> Tensor:
    """The values as a tensor, integers in float64; inference tensors alone are copied.

    Args:
        name: ``"weight"`` or ``"bias"``, for messages.
        values: A tensor, an array, or nested lists of numbers.

    Raises:
        TypeError: If it holds no numbers.
        UnsupportedLayer: If it has no values (meta device), is sparse or quantized, or
            has an exotic dtype.
        NotFiniteError: If it holds NaN or infinity.
    """
    tensor = values if isinstance(values, Tensor) else _of_array(name, values)
    if tensor.is_meta:
        raise UnsupportedLayer(
            f"the {name} must have values; it is on the meta device; load the weights"
        )
    if tensor.is_nested:
        raise UnsupportedLayer(
            f"the {name} must be one dense tensor; got a nested one; call "
            ".to_padded_tensor(0.0), or take one of .unbind()"
        )
    if tensor.is_quantized:
        raise UnsupportedLayer(
            f"the {name} must not be quantized; got {tensor.dtype}; call .dequantize()"
        )
    if tensor.layout != torch.strided:
        raise UnsupportedLayer(
            f"the {name} must be a dense tensor; got {tensor.layout}; call .to_dense()"
        )
    if not (tensor.is_floating_point() or tensor.is_complex()):
        tensor = tensor.to(torch.float64)
    if tensor.dtype not in DTYPES:
        raise UnsupportedLayer(
            f"the {name} must be float16, bfloat16, float32, float64, complex64 or "
            f"complex128; got {tensor.dtype}; convert it with .to(torch.float32)"
        )
    if tensor.is_inference():  # autograd could not save it
        tensor = tensor.clone()
    bad = int((~torch.isfinite(tensor.detach())).sum())
    if bad:
        raise NotFiniteError(
            f"the {name} must be finite; {bad} of its {tensor.numel()} entries are NaN "
            "or infinite; repair or reload the weights"
        )
    return tensor


def _of_array(name: str, values: Any) -> Tensor:
    """A copy: torch refuses negative strides and warns of read-only memory."""
    try:
        return torch.from_numpy(np.array(values, order="C"))
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f"the {name} must be a torch.Tensor or a NumPy array of numbers; got "
            f"{type(values).__name__}: {error}"
        ) from error

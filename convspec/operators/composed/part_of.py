"""What maps that are made of others have in common: dtype, device, agreement."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

from convspec.errors import GeometryError
from convspec.operators.linear_map import LinearMap

__all__ = ["common_dtype", "matrix_of", "require_one_device", "require_same_shapes"]


def common_dtype(parts: Sequence[LinearMap]) -> torch.dtype:
    """What the dtypes of the parts promote to."""
    return reduce(torch.promote_types, [part.dtype for part in parts])


def require_one_device(a: LinearMap, b: LinearMap) -> None:
    """Refuse maps whose numbers are apart.

    Raises:
        ValueError: If they are on two devices.
    """
    if a.device != b.device:
        raise ValueError(
            f"maps that are composed must be on one device; {a!r} is on {a.device}, "
            f"{b!r} on {b.device}; move one with .to(device=...)"
        )


def require_same_shapes(a: LinearMap, b: LinearMap, sign: str) -> None:
    """Refuse maps that cannot be added.

    Raises:
        GeometryError: If their inputs or their outputs have two shapes.
    """
    if (a.input_shape, a.output_shape) != (b.input_shape, b.output_shape):
        raise GeometryError(
            f"a {sign} b takes maps of one input shape and one output shape; a is "
            f"{a!r}, b is {b!r}; pad, stride or reshape one of them alike"
        )


def matrix_of(matrix: Tensor) -> npt.NDArray[Any]:
    """A matrix for SciPy, in single precision at least."""
    plain = matrix.detach().cpu().resolve_conj()
    if plain.dtype in (torch.float16, torch.bfloat16):
        plain = plain.float()
    found: npt.NDArray[Any] = plain.numpy()
    return found

"""Maps of one image, their outputs on top of each other along the channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from scipy import sparse
from torch import Tensor

from convspec.errors import GeometryError
from convspec.isolation import isolated, isolated_class
from convspec.limits import DEFAULT_MAX_BYTES, Bytes, byte_limit
from convspec.operators.composed.of_parts import OfParts
from convspec.operators.composed.part_of import require_one_device
from convspec.operators.linear_map import LinearMap, require_map

__all__ = ["Beside", "Stacked", "stack"]


@isolated_class
@dataclass(frozen=True, eq=False, repr=False)
class Stacked(OfParts):
    """``[A_1; A_2; ...]``: one input, the channels of all outputs."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """That of each part."""
        return self.parts[0].input_shape

    @property
    def output_shape(self) -> tuple[int, ...]:
        """The channels of all parts."""
        channels = sum(part.output_shape[0] for part in self.parts)
        return (channels, *self.parts[0].output_shape[1:])

    @property
    def T(self) -> Beside:  # noqa: N802
        """``[A_1^T, A_2^T, ...]``."""
        return Beside(tuple(part.T for part in self.parts))

    @property
    def H(self) -> Beside:  # noqa: N802
        """``[A_1^H, A_2^H, ...]``."""
        return Beside(tuple(part.H for part in self.parts))

    @property
    def _held(self) -> int:
        return max(part._held for part in self.parts) + 2 * sum(self.shape)

    def _images(self, x: Tensor) -> Tensor:
        return torch.cat([part._images(x) for part in self.parts], dim=1)

    def to_sparse(self, *, max_bytes: Bytes = DEFAULT_MAX_BYTES) -> sparse.csr_array:
        """The sparse matrices on top of each other.

        Raises:
            TooLargeError: If one needs more than its share of ``max_bytes``.
        """
        max_bytes = byte_limit(max_bytes)
        share = max_bytes // len(self.parts)
        parts = [part.to_sparse(max_bytes=share) for part in self.parts]
        return sparse.csr_array(sparse.vstack(parts))


@isolated_class
@dataclass(frozen=True, eq=False, repr=False)
class Beside(OfParts):
    """``[A_1, A_2, ...]``: the sum of what each makes of its own channels."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The channels of all parts."""
        channels = sum(part.input_shape[0] for part in self.parts)
        return (channels, *self.parts[0].input_shape[1:])

    @property
    def output_shape(self) -> tuple[int, ...]:
        """That of each part."""
        return self.parts[0].output_shape

    @property
    def T(self) -> Stacked:  # noqa: N802
        """``[A_1^T; A_2^T; ...]``."""
        return Stacked(tuple(part.T for part in self.parts))

    @property
    def H(self) -> Stacked:  # noqa: N802
        """``[A_1^H; A_2^H; ...]``."""
        return Stacked(tuple(part.H for part in self.parts))

    @property
    def _held(self) -> int:
        return max(part._held for part in self.parts) + 2 * sum(self.shape)

    def _images(self, x: Tensor) -> Tensor:
        found: Tensor | None = None
        channels = [part.input_shape[0] for part in self.parts]
        for part, some in zip(self.parts, torch.split(x, channels, dim=1), strict=True):
            image = part._images(some)
            found = image if found is None else found + image
        assert found is not None
        return found

    def to_sparse(self, *, max_bytes: Bytes = DEFAULT_MAX_BYTES) -> sparse.csr_array:
        """The sparse matrices beside each other.

        Raises:
            TooLargeError: If one needs more than its share of ``max_bytes``.
        """
        max_bytes = byte_limit(max_bytes)
        share = max_bytes // len(self.parts)
        parts = [part.to_sparse(max_bytes=share) for part in self.parts]
        return sparse.csr_array(sparse.hstack(parts))


@isolated
def stack(maps: Sequence[LinearMap]) -> Stacked:
    """``[A_1; A_2; ...]``: the outputs of one input, channels on top of each other.

    Beside each other they are ``stack([a.H, b.H]).H``, which adds up what each makes of
    its own channels.

    Args:
        maps: One or more, with one input shape, and outputs that differ in channels only.

    Raises:
        TypeError: If one is no map.
        GeometryError: If the shapes do not go together.
        ValueError: If there are none, or on two devices.

    >>> import torch, convspec as cs
    >>> across = cs.ConvOperator(torch.tensor([[[[-1.0, 1.0]]]]), (2, 2), padding="same")
    >>> down = cs.ConvOperator(torch.tensor([[[[-1.0], [1.0]]]]), (2, 2), padding="same")
    >>> stack([across, down]).output_shape
    (2, 2, 2)
    """
    parts = tuple(maps) if isinstance(maps, Sequence) else (maps,)
    if not parts:
        raise ValueError("stack takes one or more maps; got none; give a list, [a, b]")
    for part in parts:
        require_map(part, "stack")
        first = parts[0]
        if (part.input_shape, part.output_shape[1:]) != (
            first.input_shape,
            first.output_shape[1:],
        ):
            raise GeometryError(
                "stack takes maps of one input shape, whose outputs differ in channels "
                f"only; got {first!r} and {part!r}; pad, stride or reshape one of them"
            )
        require_one_device(first, part)
    return Stacked(parts)

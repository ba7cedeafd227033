"""Sums of multiples of maps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from convspec.arguments import shown
from convspec.errors import NotFiniteError
from convspec.isolation import isolated_class
from convspec.limits import DEFAULT_MAX_BYTES, Bytes, byte_limit, require_bytes
from convspec.operators.composed.part_of import require_one_device, require_same_shapes
from convspec.operators.linear_map import LinearMap, Number

__all__ = ["Sum", "multiple", "number", "summed"]

Term = tuple[Number, LinearMap]


@isolated_class
@dataclass(frozen=True, eq=False, repr=False)
class Sum(LinearMap):
    """``c_1 A_1 + ... + c_p A_p``.

    Attributes:
        terms: A factor and a map each, one or more.
    """

    terms: tuple[Term, ...]

    @property
    def input_shape(self) -> tuple[int, ...]:
        """That of each part."""
        return self.terms[0][1].input_shape

    @property
    def output_shape(self) -> tuple[int, ...]:
        """That of each part."""
        return self.terms[0][1].output_shape

    @property
    def dtype(self) -> torch.dtype:
        """What those of the parts promote to; complex if a factor is."""
        found = reduce(torch.promote_types, [part.dtype for _, part in self.terms])
        turned = any(_is_complex(c) for c, _ in self.terms)
        return found.to_complex() if turned and not found.is_complex else found

    @property
    def device(self) -> torch.device:
        """That of the parts."""
        return self.terms[0][1].device

    @property
    def T(self) -> Sum:  # noqa: N802
        """The sum of the transposes."""
        return Sum(tuple((c, part.T) for c, part in self.terms))

    @property
    def H(self) -> Sum:  # noqa: N802
        """The sum of the adjoints, times the conjugates of the factors."""
        return Sum(tuple((_conjugate(c), part.H) for c, part in self.terms))

    def to(
        self,
        dtype: torch.dtype | None = None,
        device: str | torch.device | None = None,
    ) -> Sum:
        """The sum of the parts in another dtype or on another device."""
        return Sum(tuple((_moved(c, device), a.to(dtype, device)) for c, a in self.terms))

    @property
    def _held(self) -> int:
        return max(part._held for _, part in self.terms) + sum(self.shape)

    def _images(self, x: Tensor) -> Tensor:
        found: Tensor | None = None
        for c, part in self.terms:
            image = part._images(x)
            image = image if _is_one(c) else c * image
            found = image if found is None else found + image
        assert found is not None
        return found

    def to_sparse(self, *, max_bytes: Bytes = DEFAULT_MAX_BYTES) -> sparse.csr_array:
        """The sum of the sparse matrices.

        Raises:
            TooLargeError: If it may need more than ``max_bytes``.
        """
        max_bytes = byte_limit(max_bytes)
        found: sparse.csr_array | None = None
        for c, part in self.terms:
            matrix = part.to_sparse(max_bytes=max_bytes)
            matrix = matrix if _is_one(c) else matrix * _plain(c)
            entries = matrix.nnz + (0 if found is None else found.nnz)
            require_bytes(
                f"the sparse sum {self.shape[0]} x {self.shape[1]}",
                entries * (matrix.dtype.itemsize + 8),
                max_bytes,
                "use to_scipy() or apply(), which need no matrix",
            )
            found = matrix if found is None else found + matrix
        return sparse.csr_array(found)

    def __repr__(self) -> str:
        words = " + ".join(
            type(part).__name__ if _is_one(c) else f"{_plain(c):g} {type(part).__name__}"
            for c, part in self.terms
        )
        return f"<Sum {self._sizes}: {words}, {self.dtype}>"


def summed(a: LinearMap, b: object, sign: int) -> Sum:
    """``A + B`` or ``A - B``.

    Raises:
        TypeError: If b is no map.
        GeometryError: If their inputs or their outputs have two shapes.
        ValueError: If they are on two devices.
    """
    word = "+" if sign > 0 else "-"
    if not isinstance(b, LinearMap):
        raise TypeError(
            f"a {word} b takes two linear maps; got {type(b).__name__}; for a multiple "
            "of the identity write c * cs.identity(a)"
        )
    require_same_shapes(a, b, word)
    require_one_device(a, b)
    turned = tuple((c if sign > 0 else -c, part) for c, part in _terms(b))
    return Sum((*_terms(a), *turned))


def multiple(c: object, a: LinearMap) -> Sum:
    """``c A``.

    Raises:
        TypeError: If c is no number.
        NotFiniteError: If it is NaN or infinite.
        ValueError: If it is a tensor on another device.
    """
    if isinstance(c, Tensor) and c.device not in (a.device, torch.device("cpu")):
        raise ValueError(
            f"c * a takes a number where the map is, {a.device}; got one on {c.device}; "
            f"move it with .to({str(a.device)!r})"
        )
    factor = number(c)
    if _plain(factor) == -1 and not isinstance(factor, Tensor):
        return Sum(tuple((-each, part) for each, part in _terms(a)))
    return Sum(((factor, a),))


def number(c: object) -> Number:
    """A factor, as Python's number or a tensor without axes.

    Raises:
        TypeError: If it is none.
        NotFiniteError: If it is NaN or infinite.
    """
    found: Number | None = None
    if isinstance(c, Tensor) and c.ndim == 0 and c.dtype != torch.bool:
        found = c if c.is_floating_point() or c.is_complex() else int(c)
    elif isinstance(c, int | float | complex | np.number) and not isinstance(c, bool):
        found = c.item() if isinstance(c, np.number) else c
    if found is None:
        raise TypeError(
            f"c * a and a / c take a number c; got {shown(c)}; to multiply maps write "
            "a @ b, images a.apply(x)"
        )
    plain = _plain(found)
    if not (math.isfinite(plain.real) and math.isfinite(plain.imag)):
        raise NotFiniteError(f"the factor of a map must be finite; got {shown(c)}")
    return found if isinstance(found, Tensor) else plain


def _terms(a: LinearMap) -> tuple[Term, ...]:
    """Those of a sum; a multiple stays one, as products of factors would round."""
    if isinstance(a, Sum):
        return a.terms
    return ((1.0, a),)


def _plain(c: Number) -> float | complex:
    if isinstance(c, Tensor):
        value = c.detach().item()
        return complex(value) if isinstance(value, complex) else float(value)
    return c if isinstance(c, complex) else float(c)


def _is_one(c: Number) -> bool:
    return not isinstance(c, Tensor) and c == 1


def _is_complex(c: Number) -> bool:
    return c.is_complex() if isinstance(c, Tensor) else isinstance(c, complex)


def _conjugate(c: Number) -> Number:
    return c.conj() if isinstance(c, Tensor) else c.conjugate()


def _moved(c: Number, device: str | torch.device | None) -> Number:
    return c.to(device) if isinstance(c, Tensor) and device is not None else c

"""Kernels as the matrices of their operators, where these are small.

At a border the operator is no compression of a torus that its kernel could be clipped on:
padding reads pixels twice, and zeros take some away. On a small image that matters, and
there the matrix itself is clipped.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from convspec.operators.operator import ConvOperator

__all__ = ["MAX_FLOPS", "Matrix"]

# operations of one decomposition, some 700 rows and columns: a quarter of a second
MAX_FLOPS = 1e10


@dataclass(frozen=True)
class Matrix:
    """The operators of kernels of one shape, over the root of what squares grow by.

    Attributes:
        op: An operator of double precision; its weight does not matter.
    """

    op: ConvOperator

    @property
    def flops(self) -> float:
        """Of a Gram matrix and its eigenvectors, about."""
        small, large = sorted(self.op.shape)
        return (4.0 * large + 25.0 * small) * small**2 * (4 if self._complex else 1)

    @property
    def _complex(self) -> bool:
        return self.op.dtype.is_complex

    @cached_property
    def root(self) -> float:
        """``sup ||A(K)||_F / ||K||_F``, by how often two taps share a pixel."""
        shared = [np.linalg.norm(axis.overlap, 2) for axis in self.op.geometry.axes]
        return math.sqrt(max(1.0, math.prod(float(most) for most in shared)))

    @property
    def times(self) -> Tensor:
        """The one matrix counts once."""
        return torch.ones(1, 1, dtype=torch.float64, device=self.op.device)

    def values(self, kernel: Tensor) -> Tensor:
        """The matrix of a kernel, over the root; (m, n)."""
        return self.op.with_weight(kernel).to_dense(max_bytes=math.inf) / self.root

    def kernel(self, values: Tensor) -> Tensor:
        """The adjoint of :meth:`values`: sums of the entries at which a tap stands."""
        with torch.enable_grad():
            kernel = torch.zeros_like(self.op.weight).requires_grad_()
            (found,) = torch.autograd.grad(self.values(kernel), kernel, values)
        return found

"""Differentiable penalties of an operator's spectrum, for training."""

from convspec.penalties.extremes import condition, norm
from convspec.penalties.moments import orthogonality, spread

__all__ = ["condition", "norm", "orthogonality", "spread"]

"""How far rounding can move a computed number, and numbers moved to the safe side."""

from convspec.rounding.definite import certified_below
from convspec.rounding.directed import down, down_nonnegative, gamma, up
from convspec.rounding.lapack import svd_error
from convspec.rounding.norms import frobenius_above, frobenius_below, norm_above
from convspec.rounding.svd import norm_enclosure, verified_singular_values

__all__ = [
    "certified_below",
    "down",
    "down_nonnegative",
    "frobenius_above",
    "frobenius_below",
    "gamma",
    "norm_above",
    "norm_enclosure",
    "svd_error",
    "up",
    "verified_singular_values",
]

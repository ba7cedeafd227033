"""How far rounding can move a computed number, and numbers moved to the safe side."""

from convspec.rounding.apriori import sum_error, svd_error, symbol_error
from convspec.rounding.convolution import convolution_error
from convspec.rounding.definite import certified_below
from convspec.rounding.directed import down, down_nonnegative, gamma, up
from convspec.rounding.norms import frobenius_above, frobenius_below, norm_above
from convspec.rounding.svd import norm_enclosure, verified_singular_values
from convspec.rounding.waves import symbol_ball

__all__ = [
    "certified_below",
    "convolution_error",
    "down",
    "down_nonnegative",
    "frobenius_above",
    "frobenius_below",
    "gamma",
    "norm_above",
    "norm_enclosure",
    "sum_error",
    "svd_error",
    "symbol_ball",
    "symbol_error",
    "up",
    "verified_singular_values",
]

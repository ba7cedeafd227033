"""How far rounding can move a computed number, and numbers moved to the safe side."""

from convspec.rounding.apriori import sum_error, svd_error, symbol_error
from convspec.rounding.directed import down, gamma, up

__all__ = ["down", "gamma", "sum_error", "svd_error", "symbol_error", "up"]

"""Sums over all singular values of operators too large to decompose."""

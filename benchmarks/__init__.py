"""Timed comparisons of convspec with the usual ways; run ``python -m benchmarks``."""

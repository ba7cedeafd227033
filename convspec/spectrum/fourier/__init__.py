"""Exact spectra of operators on a torus, frequency by frequency."""

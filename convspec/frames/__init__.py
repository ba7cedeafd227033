"""Convolutions as filter banks: frame bounds, dual filters, checkerboards."""

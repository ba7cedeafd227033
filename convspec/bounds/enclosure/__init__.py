"""The spectral norm between two certified numbers, for one size of input."""

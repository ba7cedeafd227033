"""The spectral norm between two certified numbers."""

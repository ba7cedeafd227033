"""The distribution of the singular values of large operators."""

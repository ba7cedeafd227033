"""Krylov subspaces of tensors: orthogonal bases, Lanczos recurrences, estimates."""

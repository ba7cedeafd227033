"""A few singular values of any operator by Krylov subspaces."""

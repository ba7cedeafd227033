"""Lipschitz constants of whole networks, between two ends."""

"""Lipschitz constants of whole networks, between certified ends."""

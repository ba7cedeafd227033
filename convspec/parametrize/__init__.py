"""Layers that keep a promise about their operator while they are trained."""

from convspec.parametrize.spectral_norm import spectral_norm

__all__ = ["spectral_norm"]

"""Kernels and operators near given ones whose singular values keep to an interval."""

from convspec.clipping.circulant import clip_spectrum
from convspec.clipping.clip import Clipped, clip

__all__ = ["Clipped", "clip", "clip_spectrum"]

"""Singular values of convolution operators."""

from convspec.spectrum.choose import Plan, explain, spectrum
from convspec.spectrum.result import Spectrum

__all__ = ["Plan", "Spectrum", "explain", "spectrum"]

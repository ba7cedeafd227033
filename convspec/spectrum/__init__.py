"""Singular values of convolution operators."""

from convspec.spectrum.choose import explain, spectrum
from convspec.spectrum.plan import Plan
from convspec.spectrum.result import Spectrum

__all__ = ["Plan", "Spectrum", "explain", "spectrum"]

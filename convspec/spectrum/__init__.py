"""Singular values of convolution operators."""

from convspec.spectrum.choose import explain, spectrum
from convspec.spectrum.density import spectral_density, symbol_density
from convspec.spectrum.density_estimate import Estimate
from convspec.spectrum.density_result import Density
from convspec.spectrum.envelope import spectral_envelope
from convspec.spectrum.envelope_result import Envelope
from convspec.spectrum.plan import Plan
from convspec.spectrum.result import Spectrum

__all__ = [
    "Density",
    "Envelope",
    "Estimate",
    "Plan",
    "Spectrum",
    "explain",
    "spectral_density",
    "spectral_envelope",
    "spectrum",
    "symbol_density",
]

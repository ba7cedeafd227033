"""Singular values of convolution operators."""

from convspec.quantity.estimate import Estimate
from convspec.spectrum.density.density import spectral_density, symbol_density
from convspec.spectrum.density.result import Density
from convspec.spectrum.envelope.envelope import spectral_envelope
from convspec.spectrum.envelope.result import Envelope
from convspec.spectrum.plan import Plan
from convspec.spectrum.response import FrequencyResponse, frequency_response
from convspec.spectrum.result import Spectrum
from convspec.spectrum.spectrum import explain, spectrum

__all__ = [
    "Density",
    "Envelope",
    "Estimate",
    "FrequencyResponse",
    "Plan",
    "Spectrum",
    "explain",
    "frequency_response",
    "spectral_density",
    "spectral_envelope",
    "spectrum",
    "symbol_density",
]

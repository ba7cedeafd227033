"""The linear operator of a convolution layer, its exact spectrum, and what it says."""

from convspec import bounds, plot
from convspec.bounds import Bound, spectral_norm, worst_case_conditioning, worst_case_norm
from convspec.classic import from_toeplitz, im2col, to_matrix
from convspec.errors import (
    ConvSpecError,
    GeometryError,
    NotApplicable,
    NotConverged,
    NotFiniteError,
    TooLargeError,
    UnreadableModel,
    UnsupportedLayer,
)
from convspec.operator import ConvOperator
from convspec.report import LayerReport, ModelReport, analyze
from convspec.spectrum import (
    Density,
    Envelope,
    Estimate,
    FrequencyResponse,
    Plan,
    Spectrum,
    explain,
    frequency_response,
    spectral_density,
    spectral_envelope,
    spectrum,
    symbol_density,
)
from convspec.symbol import Symbol

__version__ = "0.1.0"

__all__ = [
    "Bound",
    "ConvOperator",
    "ConvSpecError",
    "Density",
    "Envelope",
    "Estimate",
    "FrequencyResponse",
    "GeometryError",
    "LayerReport",
    "ModelReport",
    "NotApplicable",
    "NotConverged",
    "NotFiniteError",
    "Plan",
    "Spectrum",
    "Symbol",
    "TooLargeError",
    "UnreadableModel",
    "UnsupportedLayer",
    "analyze",
    "bounds",
    "explain",
    "frequency_response",
    "from_toeplitz",
    "im2col",
    "plot",
    "spectral_density",
    "spectral_envelope",
    "spectral_norm",
    "spectrum",
    "symbol_density",
    "to_matrix",
    "worst_case_conditioning",
    "worst_case_norm",
]

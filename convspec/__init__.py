"""The linear operator of a convolution layer, its exact spectrum, and what it says."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from convspec import bounds
from convspec.bounds import spectral_norm, worst_case_conditioning, worst_case_norm
from convspec.errors import (
    ConvSpecError,
    GeometryError,
    Interrupted,
    LostWorker,
    NotApplicable,
    NotConverged,
    NotFiniteError,
    TooLargeError,
    UnreadableModel,
    UnsupportedLayer,
)
from convspec.operators.classic import from_toeplitz, im2col, to_matrix
from convspec.operators.composed.identity import identity
from convspec.operators.composed.stacked import stack
from convspec.operators.linear_map import LinearMap
from convspec.operators.operator import ConvOperator
from convspec.operators.symbol import Symbol
from convspec.quantity.bound import Bound
from convspec.quantity.enclosure import Enclosure
from convspec.quantity.estimate import Estimate
from convspec.spectrum import (
    Density,
    Envelope,
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
from convspec.version import __version__ as __version__

__all__ = [
    "Bound",
    "Checkerboard",
    "Clipped",
    "ConvOperator",
    "ConvSpecError",
    "Cost",
    "Density",
    "Enclosure",
    "Envelope",
    "Estimate",
    "Finding",
    "Forecast",
    "FrameBounds",
    "FrequencyResponse",
    "GeometryError",
    "Interrupted",
    "LayerReport",
    "LinearMap",
    "LostWorker",
    "LowRank",
    "ModelReport",
    "NetworkBound",
    "NotApplicable",
    "NotConverged",
    "NotFiniteError",
    "OpenedModel",
    "Plan",
    "SavedReport",
    "Spectrum",
    "Subspace",
    "Sweep",
    "Symbol",
    "TooLargeError",
    "UnreadableModel",
    "UnsupportedLayer",
    "analyze",
    "bounds",
    "certified_accuracy",
    "certified_radius",
    "check",
    "checkerboard",
    "clip",
    "clip_spectrum",
    "dual_frame",
    "estimate",
    "explain",
    "frame_bounds",
    "frequency_response",
    "from_toeplitz",
    "identity",
    "im2col",
    "lipschitz",
    "log_abs_det",
    "low_rank",
    "null_space",
    "open_model",
    "parametrize",
    "penalties",
    "plot",
    "range_space",
    "read_report",
    "read_sweep",
    "spectral_density",
    "spectral_envelope",
    "spectral_norm",
    "spectrum",
    "stack",
    "sweep",
    "symbol_density",
    "to_matrix",
    "to_operator",
    "verify",
    "worst_case_conditioning",
    "worst_case_frame_bounds",
    "worst_case_norm",
]

if TYPE_CHECKING:
    from convspec import parametrize, penalties, plot
    from convspec.clipping.circulant import clip_spectrum
    from convspec.clipping.clip import Clipped, clip
    from convspec.compression.low_rank import low_rank
    from convspec.compression.result import LowRank
    from convspec.files.open import open_model
    from convspec.forecast.cost import Cost
    from convspec.forecast.forecast import Forecast
    from convspec.frames.checkerboard import Checkerboard, checkerboard
    from convspec.frames.dual import dual_frame
    from convspec.frames.frame_bounds import frame_bounds
    from convspec.frames.result import FrameBounds
    from convspec.frames.worst_case import worst_case_frame_bounds
    from convspec.inverse.log_abs_det import log_abs_det
    from convspec.inverse.subspace import Subspace, null_space, range_space
    from convspec.model.source import OpenedModel
    from convspec.network.lipschitz import lipschitz
    from convspec.network.radius import certified_accuracy, certified_radius
    from convspec.network.result import NetworkBound
    from convspec.network.to_operator import to_operator
    from convspec.network.verify import verify
    from convspec.report import LayerReport, ModelReport
    from convspec.report.analyze import analyze
    from convspec.report.check import Finding, check
    from convspec.report.estimate import estimate
    from convspec.report.saved import SavedReport, read_report
    from convspec.sweeps.parquet import read_sweep
    from convspec.sweeps.result import Sweep
    from convspec.sweeps.run import sweep

# what is imported on first use: Matplotlib alone takes half a second
LATER = {
    "Checkerboard": "convspec.frames.checkerboard",
    "FrameBounds": "convspec.frames.result",
    "LowRank": "convspec.compression.result",
    "checkerboard": "convspec.frames.checkerboard",
    "dual_frame": "convspec.frames.dual",
    "frame_bounds": "convspec.frames.frame_bounds",
    "low_rank": "convspec.compression.low_rank",
    "worst_case_frame_bounds": "convspec.frames.worst_case",
    "Clipped": "convspec.clipping.clip",
    "clip": "convspec.clipping.clip",
    "clip_spectrum": "convspec.clipping.circulant",
    "LayerReport": "convspec.report",
    "NetworkBound": "convspec.network.result",
    "certified_accuracy": "convspec.network.radius",
    "certified_radius": "convspec.network.radius",
    "lipschitz": "convspec.network.lipschitz",
    "log_abs_det": "convspec.inverse.log_abs_det",
    "null_space": "convspec.inverse.subspace",
    "range_space": "convspec.inverse.subspace",
    "Subspace": "convspec.inverse.subspace",
    "to_operator": "convspec.network.to_operator",
    "verify": "convspec.network.verify",
    "ModelReport": "convspec.report",
    "OpenedModel": "convspec.model.source",
    "analyze": "convspec.report",
    "open_model": "convspec.files.open",
    "Finding": "convspec.report.check",
    "SavedReport": "convspec.report.saved",
    "check": "convspec.report.check",
    "estimate": "convspec.report.estimate",
    "Cost": "convspec.forecast.cost",
    "Forecast": "convspec.forecast.forecast",
    "read_report": "convspec.report.saved",
    "Sweep": "convspec.sweeps.result",
    "read_sweep": "convspec.sweeps.parquet",
    "sweep": "convspec.sweeps.run",
}
ROOMS = {"parametrize", "penalties", "plot"}


def __getattr__(name: str) -> Any:
    if name in ROOMS:
        return import_module(f"convspec.{name}")
    if name in LATER:
        return getattr(import_module(LATER[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(globals().keys() | LATER.keys() | ROOMS)

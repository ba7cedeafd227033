"""A model's convolutions, row by row."""

from convspec.report.analyze import analyze
from convspec.report.layer import LayerReport
from convspec.report.model import ModelReport

__all__ = ["LayerReport", "ModelReport", "analyze"]

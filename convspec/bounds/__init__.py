"""Enclosures of sigma_1: what a convolution can amplify at most."""

from convspec.bounds.result import Bound
from convspec.bounds.worst_case import (
    supremum,
    worst_case_conditioning,
    worst_case_norm,
)
from convspec.bounds.worst_case_result import Conditioning, WorstCase

__all__ = [
    "Bound",
    "Conditioning",
    "WorstCase",
    "supremum",
    "worst_case_conditioning",
    "worst_case_norm",
]

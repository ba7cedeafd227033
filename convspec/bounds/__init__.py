"""Enclosures of sigma_1: what a convolution can amplify at most."""

from convspec.bounds.berezin_lieb import schatten
from convspec.bounds.conditioning import worst_case_conditioning
from convspec.bounds.gram import gram_iteration
from convspec.bounds.gram_zero import gram_iteration_zero
from convspec.bounds.iteration import krylov, power_iteration
from convspec.bounds.lipbound import lip_bound
from convspec.bounds.result import Conditioning, WorstCase
from convspec.bounds.sampled import sampled_symbol
from convspec.bounds.schur import frobenius, one_inf
from convspec.bounds.spectral_norm.norm import spectral_norm
from convspec.bounds.supremum import supremum
from convspec.bounds.table import BoundTable, table
from convspec.bounds.tensor import tensor_norm
from convspec.bounds.unfolding import fantastic_four, reshaped_kernel, tsuzuku
from convspec.bounds.worst_case import worst_case_norm
from convspec.quantity.bound import Bound

__all__ = [
    "Bound",
    "BoundTable",
    "Conditioning",
    "WorstCase",
    "fantastic_four",
    "frobenius",
    "gram_iteration",
    "gram_iteration_zero",
    "krylov",
    "lip_bound",
    "one_inf",
    "power_iteration",
    "reshaped_kernel",
    "sampled_symbol",
    "schatten",
    "spectral_norm",
    "supremum",
    "table",
    "tensor_norm",
    "tsuzuku",
    "worst_case_conditioning",
    "worst_case_norm",
]

"""Enclosures of sigma_1: what a convolution can amplify at most."""

from convspec.bounds.result import Bound

__all__ = ["Bound"]

"""Pictures of operators and spectra.

Every function takes the data first and ``ax`` by keyword, draws on it (or on a new
figure's axes) and returns it. Nothing is computed that the library has not computed,
nothing is saved, no style is changed.
"""

from convspec.plot.layers import layers
from convspec.plot.operator import operator
from convspec.plot.spectrum import compare, spectrum

__all__ = ["compare", "layers", "operator", "spectrum"]

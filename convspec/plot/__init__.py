"""Pictures of operators, spectra, bounds and networks.

Every function takes the data first and ``ax`` by keyword, draws on it (or on a new
figure's axes) and returns it. Nothing is computed that the library has not computed,
nothing is saved, no style is changed. For paper, one may opt into a style:
``plt.style.use("convspec.convspec")``.
"""

from convspec.plot.bounds import bounds
from convspec.plot.density import density
from convspec.plot.gains import gains
from convspec.plot.layers import layers
from convspec.plot.lipschitz import lipschitz
from convspec.plot.operator import operator
from convspec.plot.response import frequency_response
from convspec.plot.spectrum import compare, envelope, spectrum
from convspec.plot.training import training
from convspec.plot.vectors import singular_vectors

__all__ = [
    "bounds",
    "compare",
    "density",
    "envelope",
    "frequency_response",
    "gains",
    "layers",
    "lipschitz",
    "operator",
    "singular_vectors",
    "spectrum",
    "training",
]

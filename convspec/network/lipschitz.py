"""The Lipschitz constant of a network, between certified ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from convspec.arguments import integer, shown
from convspec.errors import ConvSpecError
from convspec.isolation import isolated
from convspec.model.source import OpenedModel
from convspec.network.asked import opened, seconds_of, units
from convspec.network.attempts import LOWER_SHARE, Attempts
from convspec.network.depth import attained_along, depths
from convspec.network.domain import domain_of
from convspec.network.lower import Pair, attained, images_of
from convspec.network.reading import network_of
from convspec.network.result import NetworkBound
from convspec.progress import BestSoFar, best_so_far, told

__all__ = ["METHODS", "lipschitz"]

METHODS = ("auto", "scalar", "ellipsoid", "dense")
SECONDS = 60.0
# relative, for the rounding of a distance in other units
ROUNDED = 1e-12
# weights that a model computes in single precision are others in double precision
CONTRADICTION = 1e-6


@isolated
def lipschitz(
    model: nn.Module | OpenedModel,
    input_shape: Sequence[int] | None = None,
    *,
    method: str = "auto",
    seconds: float | None = None,
    domain: tuple[Any, Any] | None = None,
    scale: Sequence[float] | float | None = None,
    starts: Tensor | None = None,
    lower: bool = True,
    progress: BestSoFar | bool | None = None,
    seed: int = 0,
) -> NetworkBound:
    """Enclose ``L = sup_{x, y} |f(x) - f(y)| / |x - y|`` of a network f, l2 to l2.

    f is the model in evaluation mode, as a map of one image; of several outputs, of all
    together. The upper end is certified, rounding included, and the least of

    * the product of the norms of all layers, batch norms apart; residual sums add, joins
      add squares;
    * the same after linear layers in a row were made one;
    * of small networks, activations taken as half of themselves and a remainder (LipLT),
      linear maps composed through all skips and joins before norms are taken;
    * an ellipsoid of differences carried from input to output (LipSDP, frequency by
      frequency on a torus that holds the images and their padding): with a first choice
      of its multipliers, and with those found in the time there is;
    * the same on plain vectors, for small networks.

    The lower end is attained by two inputs that are kept. Who interrupts the search
    (``KeyboardInterrupt``) is given what was found by then; a step says so.

    Args:
        model: The model, or what :func:`convspec.open_model` gives.
        input_shape: Of one input, without the batch.
        method: ``"scalar"`` for products alone, ``"ellipsoid"`` and ``"dense"`` for one
            of the others beside them; ``"auto"`` for all that apply.
        seconds: About how long to try, 60 unless told; whatever is found by then holds.
        domain: (low, high) between which inputs lie, each a number, one for each channel
            or a tensor of the input's shape: the constant is that of pairs of such
            inputs. Products of data (squeeze-and-excitation, gates) and functions like
            ``exp`` have one only there, and activations may have fewer slopes. None for
            all inputs.
        scale: Unit of each channel of the input, such as the ``std`` of a normalisation:
            differences are then measured before the division by it.
        starts: (b, *input_shape), inputs from which the search for the pair may start.
        lower: Whether a pair is searched.
        progress: True for a line on a terminal or in a notebook; or a function that is
            told of each bound as it is found: the method and the bound.
        seed: Of the search for the pair.

    Returns:
        Both ends, all steps, the pair.

    Raises:
        UnsupportedLayer: If an operation has no constant; it is named with its module
            and its line, and what has one on a domain alone says so.
        UnreadableModel: If the model does not run on the shape, or none is known.
        TypeError: If the model is none, or progress neither a function nor a
            truth value.
        ValueError: If an argument is none of what it may be.

    Source: the product is Szegedy et al., "Intriguing properties of neural networks",
    ICLR 2014; LipLT is Fazlyab, Entesari, Roy and Chellappa, NeurIPS 2023; the inequality
    behind the ellipsoid is Fazlyab, Robey, Hassani, Morari and Pappas, NeurIPS 2019, its
    layerwise elimination Xu and Sivaranjani, NeurIPS 2024.

    >>> layer = nn.Linear(2, 2, bias=False, dtype=torch.float64)
    >>> _ = layer.weight.data.copy_(torch.tensor([[3.0, 0.0], [0.0, 4.0]]))
    >>> bound = lipschitz(nn.Sequential(layer, nn.ReLU()), (2,), seconds=1)
    >>> 4 <= bound.upper < 4.0001, 3.99 < bound.lower <= 4
    (True, True)
    """
    if method not in METHODS:
        names = ", ".join(map(repr, METHODS))
        raise ValueError(f"method must be one of {names}; got {shown(method)}")
    limit = seconds_of(seconds, SECONDS)
    module, shape = opened(model, input_shape, "lipschitz")
    weights = units(scale, shape)
    images_of(starts, shape)  # refused before the work rather than behind it
    integer("seed", seed, 0)
    pair: Pair | None = None
    note = ""
    with told(progress, best_so_far) as tell:
        network = network_of(module, shape, domain_of(domain, shape))
        work = Attempts(network, shape, weights, limit, tell)
        work.run(method)
        if lower and not work.stopped:
            with work.interruptible("a pair"):
                share = max(1.0, LOWER_SHARE * limit)
                try:
                    pair = attained(
                        module,
                        shape,
                        starts=starts,
                        domain=network.domain,
                        seconds=share,
                        seed=seed,
                    )
                except ConvSpecError as error:  # the upper end holds nevertheless
                    note = f"no pair of inputs: {error}"
    found = work.outcome()
    if note:
        found = replace(found, warnings=(*found.warnings, note))
    if pair is None:
        return replace(found, depth=depths(network.graph, work.constants, {}))
    end = _rescaled(pair, weights) if weights else pair.lower
    if end > found.upper * (1 + CONTRADICTION):
        raise ConvSpecError(
            f"an end that is certified must be one; {found.upper!r} by "
            f"{found.best.name!r} is less than a pair attains, {end!r}: a fault of "
            "convspec; please report it with the model"
        )
    try:
        seen = attained_along(module, network.graph, pair.x, pair.y)
    except (ConvSpecError, MemoryError):
        seen = {}
    return replace(
        found,
        lower=min(end, found.upper),
        pair=(pair.x, pair.y),
        depth=depths(network.graph, work.constants, seen),
    )


def _rescaled(pair: Pair, scale: tuple[float, ...]) -> float:
    """The ratio of a pair whose distance is measured in other units."""
    units_ = torch.tensor(scale, dtype=torch.float64, device="cpu")
    difference = pair.x - pair.y
    units_ = units_.reshape(-1, *[1] * (difference.ndim - 1))
    plain = float(torch.linalg.vector_norm(difference))
    other = float(torch.linalg.vector_norm(difference * units_))
    return pair.lower * (plain / other) * (1 - ROUNDED) if other else 0.0

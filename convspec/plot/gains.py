"""The Lipschitz constants of a network's tensors along its depth."""

from __future__ import annotations

import math

from matplotlib.axes import Axes

from convspec.arguments import shown
from convspec.errors import NotApplicable
from convspec.isolation import isolated
from convspec.network.result import NetworkBound
from convspec.plot.canvas import axes_or_new, finish, legend_below
from convspec.plot.palette import ENCLOSED, EXACT

__all__ = ["gains"]

END = 5.0  # points, of the marks at the network's output


@isolated
def gains(bound: NetworkBound, *, ax: Axes | None = None) -> Axes:
    """Decimal logarithms of how far apart tensors come, layer by layer.

    The upper line is certified: the product of norms up to each tensor. The lower one is
    what the pair of inputs that was found attains there; it is a lower end for each
    tensor, as far as float64 rounds. At the right both ends of the network's own
    constant. Where the lines part the norms of layers are not met by one input together.

    Args:
        bound: What ``convspec.lipschitz`` gives.
        ax: Axes to draw on.

    Raises:
        NotApplicable: If the bound has no record of its tensors, as of a certificate.
        TypeError: Of anything else.
    """
    if not isinstance(bound, NetworkBound):
        raise TypeError(
            f"gains draws a NetworkBound; got {shown(bound)}; pass what "
            "convspec.lipschitz(model, input_shape) gives"
        )
    if not bound.depth:
        raise NotApplicable(
            "gains needs the tensors along the network, which a certificate does not "
            "hold; pass what convspec.lipschitz(model, input_shape) gives",
            "gains",
        )
    ax = axes_or_new(ax)
    places = range(1, 1 + len(bound.depth))
    upper = [_log(each.upper) for each in bound.depth]
    ax.plot(places, upper, color=EXACT, label="certified: product of norms")
    if any(each.attained is not None for each in bound.depth):
        lower = [_log(each.attained or 0.0) for each in bound.depth]
        ax.plot(places, lower, color=ENCLOSED, label="attained by the pair")
    end = len(bound.depth)
    for value, color, words in (
        (bound.upper, EXACT, f"certified: {bound.best.name}"),
        (bound.lower, ENCLOSED, ""),
    ):
        if 0 < value < math.inf:
            label = words or "_attained"
            ax.plot([end], [_log(value)], "o", color=color, markersize=END, label=label)
    ax.axhline(0.0, color="0.8", linewidth=0.6, zorder=0.5)
    ax.set_xlim(0.5, end + 0.5)
    ax.set_xlabel("tensor, in the order of computing")
    ax.set_ylabel("log10 of its Lipschitz constant")
    finish(ax, grid="y")
    legend_below(ax, ncols=1)
    return ax


def _log(value: float) -> float:
    return math.log10(value) if 0 < value < math.inf else math.nan

"""What published methods and ours say of the constants of small digit networks.

``python -m benchmarks networks-compared [NAME ...]``. Numbers are judged before times are
told: no upper end may be less than the norm of the best masks found
(:func:`benchmarks.published_constants.best_masks`), and our ends may not contradict any
other. A method that fails is named.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import convspec as cs
from benchmarks.digit_networks import DIGIT_NETWORKS, chain, digit_network
from benchmarks.problem import Unavailable
from benchmarks.published_constants import (
    Matrix,
    auto_lip,
    best_masks,
    greedy_seq_lip,
    lip_lt,
    lip_sdp,
)
from convspec.quantity.decimals import rounded_down, rounded_up

__all__ = ["SEEDS", "Compared", "compared", "compared_heading", "compared_text"]

SEEDS = (0, 1, 2)
SECONDS = 10.0
# significant digits of our ends
DIGITS = 6
# hidden units up to which the semidefinite program is solved
MOST_UNITS = 100
# of the semidefinite program's solver, and of norms in float64
SOLVED, ROUNDED = 1e-6, 1e-12
METHODS: dict[str, Callable[[Sequence[Matrix]], float]] = {
    "AutoLip": auto_lip,
    "SeqLip": greedy_seq_lip,
    "LipLT": lip_lt,
    "LipSDP": lip_sdp,
}
LEGEND = """\
AutoLip and LipLT: norms by power iteration, estimates from below. SeqLip: greedy, no
bound, < where below masks that were found. LipSDP: to the solver's tolerance. masks:
what no bound from slopes in [0, 1] can be less than. convspec: both ends, the upper one
certified. Seconds in brackets.
"""
# what the greedy search finds of masks is no upper end, and not judged as one
UPPER = ("AutoLip", "LipLT", "LipSDP")


@dataclass(frozen=True)
class Compared:
    """One network under all methods.

    Attributes:
        name: Of the network.
        seed: Of its training.
        values: What each method gives; without those that did not run.
        seconds: It took, ours included.
        missing: Why others did not run.
        masks: The norm of the best masks.
        lower: Our lower end.
        upper: Our upper end.
    """

    name: str
    seed: int
    values: dict[str, float]
    seconds: dict[str, float]
    missing: dict[str, str]
    masks: float
    lower: float
    upper: float

    @property
    def wrong(self) -> tuple[str, ...]:
        """Methods whose number another one refutes."""
        found = [
            name
            for name in UPPER
            if self.values.get(name, self.masks) < self.masks * (1 - SOLVED)
        ]
        known = [self.values[name] for name in UPPER if name in self.values]
        ours = self.masks * (1 - ROUNDED) <= self.upper and self.lower <= self.upper
        ours = ours and all(self.lower <= each * (1 + SOLVED) for each in known)
        return tuple(found) if ours else (*found, "convspec")

    @property
    def below(self) -> bool:
        """Whether greedy SeqLip says less than masks that were found."""
        return self.values["SeqLip"] < self.masks * (1 - ROUNDED)


def compared(name: str, seed: int, seconds: float | None = None) -> Compared:
    """Train a network and apply all methods to it.

    Args:
        name: Of the network.
        seed: Of its training.
        seconds: For ours; as many as the table's unless told.

    Raises:
        Unavailable: Without scikit-learn.
    """
    network = DIGIT_NETWORKS[name]
    net = digit_network(name, seed)
    weights = chain(net, network.shape)
    values, times, missing = dict[str, float](), dict[str, float](), dict[str, str]()
    units = sum(len(each) for each in weights[:-1])
    for method, apply in METHODS.items():
        if apply is lip_sdp and units > MOST_UNITS:
            missing[method] = f"{units} units"
            continue
        begun = time.perf_counter()
        try:
            values[method] = apply(weights)
        except Unavailable as reason:
            missing[method] = str(reason).partition(";")[0]
            continue
        times[method] = time.perf_counter() - begun
    begun = time.perf_counter()
    bound = cs.lipschitz(net, network.shape, seconds=seconds or SECONDS)
    times["convspec"] = time.perf_counter() - begun
    masks = best_masks(weights)
    return Compared(name, seed, values, times, missing, masks, bound.lower, bound.upper)


def compared_heading() -> str:
    """What the columns are."""
    heads = [f"{'network':26} seed", *(f"{name:>15}" for name in METHODS)]
    return "\n".join([LEGEND, " ".join([*heads, f"{'masks':>9} {'convspec':>26}"])])


def compared_text(found: Compared) -> str:
    """The line of a network, with seconds in brackets, and what is to be known."""
    cells = [f"{DIGIT_NETWORKS[found.name].title:26} {found.seed:4}"]
    cells += [_cell(found, method) for method in METHODS]
    lines = [" ".join([*cells, f"{found.masks:9.4f} {_ends(found):>26}"])]
    lines += [f"  {name}: {why}" for name, why in found.missing.items()]
    lines += [f"  WRONG: {name}" for name in found.wrong]
    return "\n".join(lines)


def _cell(found: Compared, method: str) -> str:
    if method not in found.values:
        return f"{'not run':>15}"
    mark = "<" if method == "SeqLip" and found.below else ""
    return f"{mark}{found.values[method]:.4f} ({found.seconds[method]:.1f})".rjust(15)


def _ends(found: Compared) -> str:
    """Ours, rounded outward."""
    low = rounded_down(found.lower, DIGITS, zeros=True)
    high = rounded_up(found.upper, DIGITS, zeros=True)
    return f"[{low}, {high}] ({found.seconds['convspec']:.0f})"

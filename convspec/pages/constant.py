"""The Lipschitz constant of a network as one HTML page that needs no other file."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from convspec.errors import NotApplicable
from convspec.network.certificate import Certificate
from convspec.network.result import NetworkBound
from convspec.pages.figures import of_constant
from convspec.pages.ladder import at_least, at_most, distance, rungs
from convspec.pages.rendered import heading, rendered
from convspec.quantity.decimals import rounded_up
from convspec.report.print import shape
from convspec.rounding.directed import up
from convspec.version import __version__

__all__ = ["MOST_OUTPUTS", "constant_page"]

TITLE = "A network"
# of a network whose pairs of outputs are in the page
MOST_OUTPUTS = 20
PAIR_DIGITS = 4
TILE_DIGITS = 4


@dataclass(frozen=True)
class Saying:
    """A sentence of the page about the constant.

    Attributes:
        what: It is about: an end, or a condition.
        badge: How well it is known; empty for conditions.
        kind: Of the badge, which has its colour.
        words: The sentence.
    """

    what: str
    badge: str
    kind: str
    words: str


@dataclass(frozen=True)
class Pairs:
    """Constants of pairs of outputs.

    Attributes:
        count: How many outputs there are.
        rows: Their constants, rounded up, empty on the diagonal; none of many outputs.
        largest: The largest of all, rounded up.
    """

    count: int
    rows: list[list[str]]
    largest: str


def constant_page(bound: NetworkBound, title: str | None = None) -> str:
    """The page, with its style and figure inside, and no script.

    Raises:
        MissingExtra: Without jinja2.
        TypeError: If the title is no string.
    """
    title = heading(title, TITLE, repr(TITLE))
    return rendered(
        "constant.html",
        styles=("report.css", "constant.css"),
        title=title,
        tiles=_tiles(bound),
        sayings=[*_ends(bound), *_conditions(bound)],
        rungs=rungs(bound),
        figures=list(of_constant(bound)),
        pairs=_pairs(bound),
        root=at_most(up(math.sqrt(2.0) * bound.upper, 2), PAIR_DIGITS),
        warnings=bound.warnings,
        certificate=bound.certificate,
        facts=_facts(bound.certificate),
        best=bound.best.name,
        version=__version__,
    )


def _tiles(bound: NetworkBound) -> list[tuple[str, str]]:
    """The numbers at the head of the page, each with its words."""
    tiles = [(at_most(bound.upper, TILE_DIGITS), "certified, for all inputs")]
    if bound.pair is not None:
        tiles.append((at_least(bound.lower, TILE_DIGITS), "attained by two inputs"))
    if bound.lower > 0 and math.isfinite(bound.upper):
        factor = up(bound.upper / bound.lower)
        tiles.append((rounded_up(factor, 3), "upper end over lower end, at most"))
    seconds = sum(step.seconds for step in bound.steps)
    return [*tiles, (f"{seconds:.1f} s", "for the upper end")]


def _ends(bound: NetworkBound) -> list[Saying]:
    """What the two ends mean."""
    upper = Saying(
        f"L {at_most(bound.upper)}",
        "certified",
        "exact",
        "Any two inputs x and y, images or not, have outputs at most this times |x - y| "
        "apart. What the computation of the bound has rounded is in it. It is of the "
        f"step {bound.best.name!r}: {bound.best.words}.",
    )
    if not math.isfinite(bound.upper):
        words = "No step has given a finite bound; the table says why."
        upper = Saying("L", "unknown", "", words)
    if bound.pair is None:
        words = (
            "No pair of inputs is kept here, so that nothing is said of how far the "
            "upper end is from the constant."
        )
        return [upper, Saying("L \N{GREATER-THAN OR EQUAL TO} 0", "no pair", "", words)]
    lower = Saying(
        f"L {at_least(bound.lower)}",
        "attained",
        "other",
        f"Two inputs, {distance(bound)} apart as the model takes them, are driven apart "
        "by this factor, so that no smaller constant is true. What their evaluation "
        "rounded is estimated, enlarged and taken off. They are kept in bound.pair. The "
        "search for them has no guarantee to find the largest ratio: the constant may "
        "be anywhere between the ends.",
    )
    return [upper, lower]


def _conditions(bound: NetworkBound) -> list[Saying]:
    """Of what function, and in which units."""
    units = (
        "Differences of inputs are measured as they enter the model. If images are "
        "normalised before that, these are differences of normalised images; scale= of "
        "cs.lipschitz measures them before."
    )
    if bound.scale:
        numbers = ", ".join(f"{unit:g}" for unit in bound.scale)
        units = (
            f"Differences of inputs are measured before a division by {numbers}, by "
            "channel: in the units of images that are not normalised yet."
        )
    return [
        Saying("input units", "", "", units),
        Saying(
            "network",
            "",
            "",
            "The model in evaluation mode, as a map of one image, without the rounding "
            "of its own arithmetic; of several outputs, all of them together.",
        ),
        Saying(
            "what it does not say",
            "",
            "",
            "How steep the network is at images. The constant is a supremum over all "
            "inputs, most of which are no images, and networks that were not trained to "
            "have a small one have a large one.",
        ),
    ]


def _pairs(bound: NetworkBound) -> Pairs | None:
    """Constants of pairs of outputs, if there are any."""
    try:
        matrix = bound.pairs()
    except NotApplicable:
        return None
    count = len(matrix)
    if count < 2:
        return None
    rows = _rounded(matrix) if count <= MOST_OUTPUTS else []
    return Pairs(count, rows, rounded_up(float(matrix.max()), PAIR_DIGITS))


def _rounded(matrix: Tensor) -> list[list[str]]:
    return [
        [
            "" if i == j else rounded_up(float(value), PAIR_DIGITS, zeros=True)
            for j, value in enumerate(row)
        ]
        for i, row in enumerate(matrix)
    ]


def _facts(held: Certificate | None) -> list[tuple[str, str]]:
    """Of the certificate: what it claims, and of which network."""
    if held is None:
        return []
    torus = shape(held.base) if held.base else "none, plain vectors"
    return [
        ("claims", f"L {at_most(held.upper)}"),
        ("input shape", shape(held.input_shape)),
        ("torus", torus),
        ("multipliers", f"{sum(len(x) for x, _ in held.multipliers.values()):,}"),
    ]

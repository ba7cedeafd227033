"""Lower ends of a network's Lipschitz constant: two inputs that anybody can re-evaluate.

For any two inputs ``|f(x) - f(y)| / |x - y| <= L``. That is the one thing claimed here:
sampled slopes choose the inputs, and are in no end. The ratio is evaluated in float64, in
which the model's function is the same, and what the evaluation rounded is taken off.

The model's own rounding is estimated, not proven (:mod:`convspec.network.judged`), as its
code is not known; the estimates are enlarged, and inputs are kept so far apart that they
are small beside ``|f(x) - f(y)|``.

Sources: Weng et al., "Evaluating the robustness of neural networks: an extreme value
theory approach", ICLR 2018, for local slopes; Virmaux and Scaman, "Lipschitz regularity
of deep neural networks", NeurIPS 2018, for how far sampled slopes stay below.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from convspec.arguments import integer, shown
from convspec.errors import GeometryError, NotFiniteError, UnreadableModel
from convspec.isolation import isolated
from convspec.network.climb import Apart, Found, candidates, climbed, looked_at, sharpened
from convspec.network.domain import Domain
from convspec.network.evaluated import ImageMap, alone, home, length, plain_sizes
from convspec.network.judged import Judge
from convspec.run.budget import Budget

__all__ = ["Pair", "attained", "images_of", "re_evaluated"]

# climbs, those of them from starts, and points whose first singular vector is computed
CLIMBS = 5
FRESH = 3
SHARPENED = 3
# share of the seconds for the search, before its finds are judged in float64, and of that
# for looking at points to start from
SEARCH, LOOKING = 0.8, 0.3


@dataclass(frozen=True, eq=False)
class Pair:
    """Two inputs of a network and how far it drives them apart.

    Attributes:
        x: An image in float64, without the batch axis.
        y: Another.
        ratio: ``|f(x) - f(y)| / |x - y|`` as float64 gives it.
        lower: The ratio less its rounding, which is estimated and enlarged: a lower end
            of the Lipschitz constant.
        slope: The largest ``|J v| / |v|`` seen in the search, in its precision. It
            estimates a lower end, and is none.
        words: How the pair was found.
    """

    x: Tensor
    y: Tensor
    ratio: float
    lower: float
    slope: float
    words: str


@isolated
def attained(
    model: nn.Module,
    shape: tuple[int, ...],
    *,
    starts: Tensor | None = None,
    domain: Domain | None = None,
    seconds: float | None = None,
    steps: int = 200,
    seed: int = 0,
) -> Pair:
    """The best found pair of inputs: ``L >= |f(x) - f(y)| / |x - y|``, l2 to l2.

    f is the model in evaluation mode; of several outputs, all together. Constants, noise
    of several scales and the user's images are looked at with a few power steps of the
    Jacobian. From the best of them pairs climb by Adam, closer and closer together, and
    along the first singular vectors of the best points inputs are set apart as far as the
    ratio lasts. It is an optimisation without a guarantee to find the largest ratio, and
    each ratio is a lower end nevertheless, up to rounding, which is estimated.

    The search runs in the model's dtype on its device, on copies; the ratio is evaluated
    in float64 on the CPU. The model stays as it is, and so does the random state. Forward
    hooks are part of what a model computes, and run.

    Args:
        model: The network. It must be differentiable and compute in its input's dtype.
        shape: Of an image, without the batch axis, which is 1.
        starts: Images to start from, (k, *shape) or one of ``shape``.
        domain: Where both inputs are to lie; None for everywhere.
        seconds: Wall time to stop at, about; what is found by then depends on the
            machine. No limit unless told.
        steps: Of each ascent.
        seed: Of noise and directions.

    Raises:
        GeometryError: If shape or starts are no images' shapes.
        NotFiniteError: If starts hold NaN or infinity.
        UnreadableModel: If the model does not run, has no gradient, gives no finite
            number, or two different outputs for one input.
        UnsupportedLayer: If a layer has no weight yet.
        TypeError: If the model is no module.
        ValueError: If seconds, steps or seed are out of range.

    Example:
        >>> import torch
        >>> net = torch.nn.Linear(2, 2, bias=False, dtype=torch.float64)
        >>> net.weight.data = torch.tensor([[3.0, 0.0], [4.0, 0.0]], dtype=torch.float64)
        >>> pair = attained(net, (2,))
        >>> f"{pair.lower:.9f}", pair.lower < 5.0
        ('5.000000000', True)
    """
    sizes = plain_sizes(shape)
    images = images_of(starts, sizes)
    count = integer("steps", steps, 0, "0 for no ascent")
    generator = torch.Generator(device="cpu").manual_seed(integer("seed", seed, 0))
    limit = _limit(seconds)
    budget, search = Budget(math.inf, 0, limit), Budget(math.inf, 0, SEARCH * limit)
    with alone(model):
        dtype, device = home(model)
        f = ImageMap(model, sizes, dtype, device, domain)
        points, far = _searched(f, images, count, generator, search)
        sharp = [sharpened(f, found, search) for found in points[-SHARPENED:]]
        pair = _judged(Judge(model, sizes, domain), sharp, far, budget)
        cut = ", cut short by seconds" if search.short_of or budget.short_of else ""
        return replace(pair, words=pair.words + cut)


@isolated
def re_evaluated(model: nn.Module, pair: Pair) -> float:
    """``|f(x) - f(y)| / |x - y|`` of a pair, in float64 on a copy of the model.

    It shares nothing with the search: who is given a pair and a model can check the
    ratio. ``pair.lower`` must not exceed it.

    Raises:
        UnreadableModel: If the model does not run on the pair.
        TypeError: If the model is no module.

    Example:
        >>> import torch
        >>> pair = attained(torch.nn.ReLU(), (3,))
        >>> re_evaluated(torch.nn.ReLU(), pair) == pair.ratio
        True
    """
    with alone(model), torch.no_grad():
        f = ImageMap(model, tuple(pair.x.shape), torch.float64, torch.device("cpu"))
        x, y = f.image(pair.x), f.image(pair.y)
        return length(f(x) - f(y)) / length(x - y)


def _searched(
    f: ImageMap,
    starts: Tensor | None,
    steps: int,
    generator: torch.Generator,
    budget: Budget,
) -> tuple[list[Found], list[Apart]]:
    """Points by slope, and pairs."""
    seen: list[Found] = []
    looking = Budget(math.inf, 0, LOOKING * budget.seconds)
    for words, x in candidates(f, starts, generator):
        found = looked_at(f, words, x, generator)
        seen += [] if found is None else [found]
        if seen and not looking.allows():
            break
    if not seen:
        raise UnreadableModel(
            "the model must give finite outputs; at zeros, constants and noise it gives "
            "NaN or infinity; pass images of its domain as starts="
        )
    return _ascended(f, seen, steps, budget)


def _ascended(
    f: ImageMap, seen: list[Found], steps: int, budget: Budget
) -> tuple[list[Found], list[Apart]]:
    """Points by slope, and pairs: climbs from the best starts, then from the best yet."""
    far: list[Apart] = []
    points, tried = list(seen), list[Found]()
    for number in range(CLIMBS if steps else 0):
        pool = seen if number < FRESH else points
        left = [point for point in pool if point not in tried]
        if not (left and budget.allows()):
            break
        tried.append(max(left, key=_slope))
        best, pair = climbed(f, tried[-1], steps, budget)
        points += [best] if best not in points else []
        far += [] if pair is None else [pair]
    return sorted(points, key=_slope), far


def _judged(judge: Judge, points: list[Found], far: list[Apart], budget: Budget) -> Pair:
    """The best pair of those that climbed and those along singular vectors."""
    trials = [judge.between(words, x, y) for words, x, y, _ in far]
    for found in sorted(points, key=_slope)[::-1]:
        if trials and not budget.allows():
            break
        trials += judge.along(found.words, found.x, found.v)
    best, lower = judge.best(trials, budget)
    slope = max(map(_slope, points))
    return Pair(best.x, best.y, best.ratio, lower, slope, best.words)


def _slope(found: Found) -> float:
    return found.slope


def _limit(seconds: float | None) -> float:
    """Seconds as a limit; inf for None.

    Raises:
        ValueError: If they are not a positive number.
    """
    if seconds is None:
        return math.inf
    if (
        isinstance(seconds, bool)
        or not isinstance(seconds, int | float)
        or not seconds > 0
    ):
        raise ValueError(
            f"seconds must be a positive number; got {shown(seconds)}; None for no limit"
        )
    return float(seconds)


def images_of(starts: Tensor | None, shape: tuple[int, ...]) -> Tensor | None:
    """The user's images as a batch.

    Raises:
        TypeError: If they are no tensor of real numbers.
        GeometryError: If they have another shape.
        NotFiniteError: If they hold NaN or infinity.
    """
    if starts is None:
        return None
    if not isinstance(starts, Tensor) or starts.is_complex():
        raise TypeError(
            f"starts must be a tensor of real numbers; got {shown(starts)}; stack images "
            "with torch.stack"
        )
    images = starts.detach()
    images = images[None] if tuple(images.shape) == shape else images
    if tuple(images.shape[1:]) != shape:
        raise GeometryError(
            f"starts must have shape {shape}, or one axis more in front; got "
            f"{tuple(starts.shape)}; shape= is of one image"
        )
    if not bool(images.isfinite().all()):
        raise NotFiniteError(
            "starts must be finite; got NaN or infinity; leave those images out"
        )
    return images

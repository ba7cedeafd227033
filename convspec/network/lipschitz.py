"""The Lipschitz constant of a network, between certified ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from convspec.arguments import shown
from convspec.errors import ConvSpecError, UnreadableModel
from convspec.isolation import isolated
from convspec.model.inputs import example_inputs, plain_shape
from convspec.model.source import OpenedModel, ReadModel, runnable
from convspec.network.certificate import Certificate, digest_of
from convspec.network.ellipsoid.layout import Layout, with_cuts
from convspec.network.ellipsoid.multipliers import Multipliers
from convspec.network.ellipsoid.nonlinear import Infeasible
from convspec.network.ellipsoid.proof import Proven, prove
from convspec.network.ellipsoid.propagation import Propagation
from convspec.network.ellipsoid.search import Search
from convspec.network.fuse import folded, fused
from convspec.network.graph import Graph, graph_of
from convspec.network.lower import attained
from convspec.network.norms import Norms
from convspec.network.result import NetworkBound, Step
from convspec.network.scalar import constants, joined
from convspec.rounding.directed import up

__all__ = ["METHODS", "lipschitz", "verify"]

METHODS = ("auto", "scalar", "ellipsoid", "dense")
SECONDS = 60.0
# entries of all tensors up to which plain vectors are tried
DENSE_ENTRIES = 3000
# of the seconds, for the pair of inputs
LOWER_SHARE = 0.2
# room for the rounding of another machine in what a certificate claims
ROOM = 1e-9


@isolated
def lipschitz(
    model: nn.Module | OpenedModel,
    input_shape: Sequence[int] | None = None,
    *,
    method: str = "auto",
    seconds: float | None = None,
    scale: Sequence[float] | float | None = None,
    starts: Tensor | None = None,
    lower: bool = True,
    progress: Callable[[str, float], None] | None = None,
    seed: int = 0,
) -> NetworkBound:
    """Enclose ``L = sup_{x, y} |f(x) - f(y)| / |x - y|`` of a network f, l2 to l2.

    f is the model in evaluation mode, as a map of one image; of several outputs, of all
    together. The upper end is certified, rounding included, and the least of

    * the product of the norms of all layers, batch norms apart; residual sums add, joins
      add squares;
    * the same after linear layers in a row were made one;
    * an ellipsoid of differences carried from input to output (LipSDP, frequency by
      frequency on a torus that holds the images and their padding): with a first choice
      of its multipliers, and with those found in the time there is;
    * the same on plain vectors, for small networks.

    The lower end is attained by two inputs that are kept.

    Args:
        model: The model, or what :func:`convspec.open_model` gives.
        input_shape: Of one input, without the batch.
        method: ``"scalar"`` for products alone, ``"ellipsoid"`` and ``"dense"`` for one
            of the others beside them; ``"auto"`` for all that apply.
        seconds: About how long to try, 60 unless told; whatever is found by then holds.
        scale: Unit of each channel of the input, such as the ``std`` of a normalisation:
            differences are then measured before the division by it.
        starts: (b, *input_shape), inputs from which the search for the pair may start.
        lower: Whether a pair is searched.
        progress: Told of each bound as it is found: the method and the bound.
        seed: Of the search for the pair.

    Returns:
        Both ends, all steps, the pair.

    Raises:
        UnsupportedLayer: If an operation has no constant; it is named with its module
            and its line.
        UnreadableModel: If the model does not run on the shape.
        ValueError: If an argument is none of what it may be.

    Source: the product is Szegedy et al., "Intriguing properties of neural networks",
    ICLR 2014; the inequality behind the ellipsoid is Fazlyab, Robey, Hassani, Morari and
    Pappas, NeurIPS 2019, its layerwise elimination Xu and Sivaranjani, NeurIPS 2024.

    >>> layer = nn.Linear(2, 2, bias=False, dtype=torch.float64)
    >>> _ = layer.weight.data.copy_(torch.tensor([[3.0, 0.0], [0.0, 4.0]]))
    >>> bound = lipschitz(nn.Sequential(layer, nn.ReLU()), (2,), seconds=1)
    >>> 4 <= bound.upper < 4.0001, 3.99 < bound.lower <= 4
    (True, True)
    """
    if method not in METHODS:
        names = ", ".join(map(repr, METHODS))
        raise ValueError(f"method must be one of {names}; got {shown(method)}")
    if seconds is not None and not seconds > 0:
        raise ValueError(f"seconds must be positive; got {shown(seconds)}")
    module, shape = _opened(model, input_shape)
    weights = _scale(scale, shape)
    work = _Work(seconds or SECONDS, progress)
    graph = graph_of(module, example_inputs(module, shape)[0])
    work.scalars(graph, weights)
    if method != "scalar":
        work.ellipsoids(graph, method, shape, weights)
    found = work.outcome(graph)
    if not lower:
        return found
    pair = attained(
        module,
        shape,
        starts=starts,
        seconds=max(1.0, LOWER_SHARE * work.seconds),
        seed=seed,
    )
    end = pair.lower
    if weights:
        end = _rescaled(pair.x, pair.y, pair.lower, weights)
    return replace(found, lower=min(end, found.upper), pair=(pair.x, pair.y))


@isolated
def verify(path: str, model: nn.Module | OpenedModel) -> NetworkBound:
    """Check a certificate against a model in one passage, without any search.

    Args:
        path: Of a file that ``NetworkBound.save`` wrote.
        model: The model that it is of.

    Returns:
        The bound, proven again.

    Raises:
        UnreadableModel: If the file is damaged, of another network, or does not prove
            what it claims.
    """
    held = Certificate.load(path)
    module, shape = _opened(model, held.input_shape)
    begun = time.perf_counter()
    graph = with_cuts(folded(graph_of(module, example_inputs(module, shape)[0])))
    if digest_of(graph) != held.digest:
        raise UnreadableModel(
            "a certificate holds for one network; the model's layers or weights are not "
            f"those of {path}"
        )
    layout = Layout.torus(graph, held.base) if held.base else Layout.dense(graph)
    if held.base and tuple(held.base) != Layout.torus(graph).lattices[0].sizes:
        raise UnreadableModel(f"the torus of {path} does not hold the network")
    norms = Norms()
    propagation = Propagation(graph, layout, remembers=False, scale=held.scale)
    try:
        proven = prove(propagation, held.as_multipliers(norms))
    except (Infeasible, KeyError, RuntimeError, IndexError) as error:
        raise UnreadableModel(
            f"{path} does not prove what it claims: a multiplier does not serve"
        ) from error
    if not proven.upper <= held.upper:
        raise UnreadableModel(
            f"{path} does not prove what it claims: it gives {proven.upper!r}, and "
            f"claims {held.upper!r}"
        )
    seconds = time.perf_counter() - begun
    step = Step("certificate", held.upper, seconds, "checked in one passage")
    return NetworkBound(0.0, held.upper, (step,), certificate=held, _pairs=proven.pairs)


def _opened(
    model: nn.Module | OpenedModel, input_shape: Sequence[int] | None
) -> tuple[nn.Module, tuple[int, ...]]:
    """A module, and the shape of its input."""
    inner: object = model
    if isinstance(model, OpenedModel):
        inner, input_shape = model.model, input_shape or model.input_shape
    if isinstance(inner, ReadModel):
        raise UnreadableModel(
            f"{inner.title} has no graph that runs; give the module, a .pt2 file or a "
            "factory"
        )
    if input_shape is None:
        raise TypeError("lipschitz needs input_shape, without the batch: (3, 224, 224)")
    shape = plain_shape(input_shape)
    if shape and isinstance(shape[0], tuple):
        raise UnreadableModel(
            "lipschitz takes models of one input; give those of several one tensor, "
            "and split it inside of a module"
        )
    return runnable(inner), shape


def _scale(
    scale: Sequence[float] | float | None, shape: tuple[int, ...]
) -> tuple[float, ...]:
    """A positive number for each channel; empty for none."""
    if scale is None:
        return ()
    several = tuple(scale) if isinstance(scale, Sequence) else (scale,) * shape[0]
    if len(several) != shape[0] or not all(each > 0 for each in several):
        raise ValueError(
            f"scale must be a positive number for each of {shape[0]} channels; got "
            f"{shown(scale)}"
        )
    return tuple(map(float, several))


def _rescaled(x: Tensor, y: Tensor, lower: float, scale: tuple[float, ...]) -> float:
    """The ratio of a pair whose distance is measured in other units."""
    units = torch.tensor(scale, dtype=torch.float64, device="cpu")
    difference = x - y
    units = units.reshape(-1, *[1] * (difference.ndim - 1))
    plain = torch.linalg.vector_norm(difference)
    return float(lower * plain / torch.linalg.vector_norm(difference * units)) * (
        1 - 1e-12
    )


@dataclass
class _Work:
    """Bounds as they are found."""

    seconds: float
    progress: Callable[[str, float], None] | None
    steps: list[Step] = field(default_factory=list)
    norms: Norms = field(default_factory=Norms)
    certificate: Certificate | None = None
    pairs: Tensor | None = None

    def add(self, step: Step) -> bool:
        """Whether it is the least so far."""
        least = min((each.upper for each in self.steps), default=float("inf"))
        self.steps.append(step)
        if self.progress is not None:
            self.progress(step.name, min(step.upper, least))
        return step.upper < least

    def scalars(self, graph: Graph, scale: tuple[float, ...]) -> None:
        """Products of norms."""
        unit = up(1 / min(scale)) if scale else 1.0
        for name, each, words in (
            ("product", graph, "norms of all layers"),
            ("fused", fused(graph), "linear layers in a row are one"),
        ):
            begun = time.perf_counter()
            found = constants(each, self.norms)
            upper = up(joined([found[place] for place in each.outputs]) * unit)
            self.add(Step(name, upper, time.perf_counter() - begun, words))

    def ellipsoids(
        self, graph: Graph, method: str, shape: tuple[int, ...], scale: tuple[float, ...]
    ) -> None:
        """Ellipsoids on a torus, and on plain vectors where those are short."""
        graph = with_cuts(folded(graph))
        left = (1 - LOWER_SHARE) * self.seconds
        sizes = sum(torch.Size(node.shape).numel() for node in graph.nodes)
        image = len(shape) > 1
        short = sizes <= DENSE_ENTRIES
        if method in ("auto", "ellipsoid") and image:
            share = left / 2 if short and method == "auto" else left
            self._ellipsoid(graph, "ellipsoid", shape, scale, share, True)
        if method == "dense" or (method == "auto" and (short or not image)):
            self._ellipsoid(graph, "dense ellipsoid", shape, scale, left / 2, False)

    def _ellipsoid(
        self,
        graph: Graph,
        name: str,
        shape: tuple[int, ...],
        scale: tuple[float, ...],
        seconds: float,
        torus: bool,
    ) -> None:
        began = time.perf_counter()
        try:
            layout = Layout.torus(graph) if torus else Layout.dense(graph)
            search = Search(graph, layout, self.norms, scale=scale)
            digest = digest_of(graph)
            base = layout.lattices[0].sizes
            count = 0

            def told(passed: float, proven: Proven, fixed: Multipliers) -> None:
                nonlocal count
                words = "first multipliers" if not count else "multipliers searched"
                kind = f"first {name}" if not count else name
                count += 1
                where = "x".join(map(str, base)) if base else "vectors"
                step = Step(kind, proven.upper, passed, f"{words}, {where}")
                claimed = up(proven.upper * (1 + ROOM))
                if self.add(step):
                    self.certificate = Certificate(
                        claimed, digest, shape, base, scale, fixed.found, fixed.taken
                    )
                    self.pairs = proven.pairs

            search.run(seconds, told)
        except (ConvSpecError, Infeasible, MemoryError) as error:
            passed = time.perf_counter() - began
            why = str(error) or "its multipliers do not serve"
            self.add(Step(name, float("inf"), passed, f"does not apply: {why}"))

    def outcome(self, graph: Graph) -> NetworkBound:
        """The least of all."""
        upper = min(step.upper for step in self.steps)
        held = self.certificate
        proven = [step.upper for step in self.steps if "ellipsoid" in step.name]
        if not proven or min(proven) > upper:
            held = None
        return NetworkBound(
            0.0,
            upper,
            tuple(self.steps),
            warnings=graph.warnings,
            certificate=held,
            _pairs=self.pairs,
        )

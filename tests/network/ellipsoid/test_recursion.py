"""Proven ends of images against the recursion in forty digits, frequency by frequency.

The oracle keeps every tensor in one stack with a full covariance at each frequency of the
whole torus: no leaves, no halves of spectra, no forms, and no rounding to speak of.
"""

from __future__ import annotations

import itertools

import mpmath
import pytest
import torch
from torch import Tensor, nn

from convspec.network.ellipsoid.layout import Layout
from convspec.network.ellipsoid.multipliers import Multipliers
from convspec.network.ellipsoid.prepared import prepared
from convspec.network.ellipsoid.proof import estimate, prove
from convspec.network.ellipsoid.propagation import Propagation
from convspec.network.graph import Graph, Node, graph_of
from convspec.network.kinds import Axes, Bounded, Entrywise, Filter, Rows, Sum
from convspec.network.norms import Norms

DIGITS = 40
Matrix = mpmath.matrix


class Stack:
    """Covariances of all tensors at each frequency of a torus of one axis."""

    def __init__(self, width: int, size: int) -> None:
        self.known = [mpmath.eye(width) for _ in range(size)]
        self.rows = {0: range(width)}

    def read(self, place: int) -> list[Matrix]:
        """Selections of a tensor."""
        total, rows = self.known[0].rows, self.rows[place]
        found = mpmath.zeros(len(rows), total)
        for j, row in enumerate(rows):
            found[j, row] = 1
        return [found] * len(self.known)

    def append(self, place: int, maps: list[Matrix], more: Matrix | None = None) -> None:
        """A tensor ``A q`` with so much more of its own."""
        total, width = self.known[0].rows, maps[0].rows
        for j, (known, map_) in enumerate(zip(self.known, maps, strict=True)):
            cross = map_ * known
            own = cross * map_.H + (mpmath.zeros(width) if more is None else more)
            found = mpmath.zeros(total + width)
            found[:total, :total] = known
            found[total:, :total] = cross
            found[:total, total:] = cross.H
            found[total:, total:] = own
            self.known[j] = found
        self.rows[place] = range(total, total + width)

    def alone(self, place: int, known: list[Matrix]) -> None:
        """One tensor in place of all."""
        self.known, self.rows = known, {place: range(known[0].rows)}


def wave(j: int, place: int, size: int) -> mpmath.mpc:
    return mpmath.expjpi(mpmath.mpf(2 * j * place) / size)


def symbols(kind: Filter, size: int) -> list[Matrix]:
    """``sum_t W_t exp(i w (d t - before))`` with groups written out."""
    (axis,), weight = kind.op.geometry.axes, kind.op.weight
    outputs, columns, taps = weight.shape
    inputs = kind.op.geometry.c_in
    each = outputs // kind.op.groups
    found = []
    for j in range(size):
        one = mpmath.zeros(outputs, inputs)
        for o, i, t in itertools.product(range(outputs), range(columns), range(taps)):
            lag = axis.dilation * t - axis.before
            number = mpmath.mpf(float(weight[o, i, t]))
            one[o, o // each * columns + i] += number * wave(j, lag, size)
        found.append(one)
    return found


def in_digits(graph: Graph, size: int, multipliers: dict[int, list]) -> mpmath.mpf:
    """``sqrt(lambda_max)`` of the outputs over all frequencies."""
    stack = Stack(graph.nodes[0].shape[1], size)
    for place, node in enumerate(graph.nodes[1:], 1):
        take(stack, graph, place, node, multipliers.get(place, []))
    (output,) = graph.outputs
    top = mpmath.mpf(0)
    for known, read in zip(stack.known, stack.read(output), strict=True):
        own = read * known * read.H
        top = max(top, max(mpmath.eighe((own + own.H) / 2, eigvals_only=True)))
    return mpmath.sqrt(top)


def take(stack: Stack, graph: Graph, place: int, node: Node, given: list) -> None:
    kind, size = node.kind, len(stack.known)
    if place in stack.rows:  # with another of its stride
        return
    reads = [stack.read(each) for each in node.inputs]
    before = graph.nodes[node.inputs[0]].shape
    if isinstance(kind, Sum):
        maps = [
            sum((f * r for f, r in zip(kind.factors, some, strict=True)), 0 * some[0])
            for some in zip(*reads, strict=True)
        ]
        stack.append(place, maps)
    elif isinstance(kind, Filter):
        maps = [a * e for a, e in zip(symbols(kind, size), reads[0], strict=True)]
        stride = kind.op.geometry.axes[0].stride
        if stride == 1:
            stack.append(place, maps)
            return
        strided(stack, graph, stride)
    elif isinstance(kind, Entrywise):
        activate(stack, place, kind, reads[0], given)
    elif isinstance(kind, Bounded):
        wide = mpmath.mpf(kind.constant) ** 2 * mpmath.diag(given)
        stack.alone(place, [wide] * size)
    elif isinstance(kind, Axes) and set(kind.matrices) == {2}:  # of rows, all pixels
        mean = mpmath.zeros(before[1])
        row = [mpmath.mpf(1) / before[2]] * before[2]
        for j, (known, read) in enumerate(zip(stack.known, reads[0], strict=True)):
            q = sum(r * wave(j, p, size) for p, r in enumerate(row))
            mean += abs(q) ** 2 * (read * known * read.H) / size
        stack.alone(place, [mean.apply(mpmath.re)])
    elif isinstance(kind, Rows):
        pixels = kind.matrix.reshape(len(kind.matrix), before[1], -1)
        head = mpmath.zeros(len(pixels))
        for j, (known, read) in enumerate(zip(stack.known, reads[0], strict=True)):
            one = mpmath.zeros(len(pixels), before[1])
            for o, i, p in itertools.product(*map(range, pixels.shape)):
                one[o, i] += mpmath.mpf(float(pixels[o, i, p])) * wave(j, p, size)
            one = one * read
            head += one * known * one.H / size
        stack.alone(place, [head.apply(mpmath.re)])
    else:
        raise AssertionError(kind)


def strided(stack: Stack, graph: Graph, stride: int) -> None:
    """All convolutions of a stride that read the stack, which forgets the rest."""
    size = len(stack.known)
    maps: list[list[Matrix]] = [[] for _ in range(size)]
    widths = {}
    for place, node in enumerate(graph.nodes):
        kind = node.kind
        if not isinstance(kind, Filter) or node.inputs[0] not in stack.rows:
            continue
        if kind.op.geometry.axes[0].stride != stride:
            continue
        widths[place] = node.shape[1]
        reads = stack.read(node.inputs[0])
        for row, a, e in zip(maps, symbols(kind, size), reads, strict=True):
            row.append(a * e)
    own = []
    for row, known in zip(maps, stack.known, strict=True):
        joint = mpmath.matrix([line for each in row for line in each.tolist()])
        own.append(joint * known * joint.H)
    few, first = size // stride, 0
    stack.known = [
        sum((own[v + a * few] for a in range(stride)), 0 * own[0]) / stride
        for v in range(few)
    ]
    stack.rows = {}
    for place, width in widths.items():
        stack.rows[place] = range(first, first + width)
        first += width


def activate(
    stack: Stack, place: int, kind: Entrywise, reads: list[Matrix], given: list
) -> None:
    """``S + S E^H (Lambda - Z)^-1 E S``, and ``m z + h psi`` of covariance Lambda."""
    lower, upper = (
        mpmath.mpf(float(kind.lower.min())),
        mpmath.mpf(float(kind.upper.max())),
    )
    middle, half = (lower + upper) / 2, (upper - lower) / 2
    wide = mpmath.diag(given)
    for j, (known, read) in enumerate(zip(stack.known, reads, strict=True)):
        rows = read * known
        inverse = mpmath.inverse(wide - rows * read.H)
        stack.known[j] = known + rows.H * inverse * rows
    stack.append(place, [middle * read for read in reads], half**2 * wide)


class Residual(nn.Module):
    """``y + f(relu(y))``."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.ReLU(), *layers)

    def forward(self, y: Tensor) -> Tensor:
        return y + self.inner(y)


class Down(nn.Module):
    """Two strided branches that know different things of their input."""

    def __init__(self, c: int, wide: int) -> None:
        super().__init__()
        self.conv = conv(c, wide, 3, stride=2, padding=1)
        self.short = conv(c, wide, 1, stride=2)

    def forward(self, y: Tensor) -> Tensor:
        return torch.relu(self.conv(torch.relu(y))) + self.short(y)


class Mean(nn.Module):
    def forward(self, y: Tensor) -> Tensor:
        return y.mean(2)


def conv(*numbers: int, **more: int) -> nn.Module:
    return nn.Conv1d(*numbers, dtype=torch.float64, **more)


def depthwise(width: int, kernel: int, **more: int) -> nn.Module:
    return conv(width, width, kernel, groups=width, padding=kernel // 2, **more)


def networks() -> dict[str, tuple[nn.Module, tuple[int, int]]]:
    torch.manual_seed(0)
    act = nn.ReLU
    return {
        "chain": (
            nn.Sequential(conv(1, 2, 3, padding=1), act(), conv(2, 2, 2), act()),
            (1, 4),
        ),
        "depthwise": (
            nn.Sequential(
                conv(1, 2, 3, padding=1),
                act(),
                depthwise(2, 3),
                act(),
                depthwise(2, 3),
                act(),
                conv(2, 1, 1),
            ),
            (1, 5),
        ),
        "depthwise on inputs": (
            nn.Sequential(depthwise(2, 3), act(), depthwise(2, 3), nn.LeakyReLU(0.5)),
            (2, 5),
        ),
        "residual": (
            nn.Sequential(
                Residual(conv(2, 3, 3, padding=1), act(), conv(3, 2, 3, padding=1)),
                Residual(depthwise(2, 3)),
                act(),
                conv(2, 1, 3, padding=1),
            ),
            (2, 4),
        ),
        "strided": (
            nn.Sequential(
                conv(2, 3, 3, stride=2, padding=1),
                act(),
                conv(3, 2, 4, stride=3, padding=2, dilation=2),
                act(),
                conv(2, 2, 1),
            ),
            (2, 9),
        ),
        "strided branches": (
            nn.Sequential(
                conv(1, 2, 3, padding=1), act(), Down(2, 3), Residual(depthwise(3, 3))
            ),
            (1, 7),
        ),
        "pooled in between": (
            nn.Sequential(
                conv(2, 2, 3, padding=1),
                act(),
                nn.AvgPool1d(2),
                act(),
                Residual(conv(2, 2, 3, padding=1)),
            ),
            (2, 6),
        ),
        "strided leaves": (
            nn.Sequential(
                depthwise(2, 3, stride=2),
                act(),
                depthwise(2, 3, stride=2),
                act(),
                conv(2, 5, 2, stride=2),
            ),
            (2, 9),
        ),
        "two pixels": (
            nn.Sequential(conv(2, 3, 1), act(), Residual(conv(3, 3, 1)), conv(3, 2, 2)),
            (2, 2),
        ),
        "down to two pixels": (
            nn.Sequential(
                conv(1, 2, 3, stride=2, padding=1),
                act(),
                Down(2, 3),
                act(),
                Residual(conv(3, 2, 1), act(), conv(2, 3, 1)),
                Mean(),
            ),
            (1, 6),
        ),
        "leaves of two pixels": (
            nn.Sequential(
                depthwise(2, 3, stride=2),
                act(),
                depthwise(2, 3, stride=2),
                act(),
                conv(2, 2, 1),
                act(),
                nn.Flatten(),
                nn.Linear(4, 3, dtype=torch.float64),
            ),
            (2, 6),
        ),
        "more channels than aliases": (
            nn.Sequential(conv(1, 5, 3, stride=2, padding=1), act(), conv(5, 1, 1)),
            (1, 7),
        ),
        "a map with a constant": (
            nn.Sequential(
                conv(1, 2, 3, padding=1),
                act(),
                nn.Conv1d(2, 2, 2, dtype=torch.float64),
                nn.Softmax(2),
                conv(2, 2, 3, padding=1),
                act(),
                Mean(),
            ),
            (1, 7),
        ),
        "means and a matrix": (
            nn.Sequential(
                conv(2, 3, 3, stride=2, padding=1),
                act(),
                Residual(depthwise(3, 3)),
                Mean(),
            ),
            (2, 6),
        ),
        "all pixels": (
            nn.Sequential(
                conv(1, 2, 3, padding=1),
                act(),
                nn.Flatten(),
                nn.Linear(10, 3, dtype=torch.float64),
            ),
            (1, 5),
        ),
    }


def after_descent(propagation: Propagation, steps: int) -> Multipliers:
    multipliers = Multipliers(Norms())
    value = estimate(propagation.run(multipliers))
    if steps:
        optimiser = torch.optim.Adam(multipliers.searched, lr=0.05)
    for _ in range(steps):
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        value = estimate(propagation.run(multipliers))
    with torch.no_grad():
        propagation.run(multipliers)
    return multipliers.as_fixed()


@pytest.mark.parametrize("steps", [0, 12], ids=["first", "searched"])
@pytest.mark.parametrize("name", networks())
def test_images_are_carried_as_in_many_digits(name: str, steps: int) -> None:
    model, shape = networks()[name]
    x = torch.zeros(1, *shape, dtype=torch.float64)
    made = prepared(graph_of(model.eval(), x), True)
    propagation = Propagation(made, Layout.torus(made))
    fixed = after_descent(propagation, steps)
    found = prove(propagation, fixed)
    (size,) = propagation.layout.lattices[0].sizes
    with mpmath.workdps(DIGITS):
        numbers = {
            place: [mpmath.ldexp(mpmath.mpf(float(one)), exponent) for one in known]
            for place, (known, exponent) in fixed.found.items()
        }
        exact = in_digits(made, size, numbers)
        assert exact <= found.upper <= exact * (1 + mpmath.mpf("1e-7"))

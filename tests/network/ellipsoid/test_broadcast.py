"""Factors and means whose shapes are near to those of channels, but others."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from convspec.errors import NotApplicable
from convspec.network.ellipsoid.layout import Layout
from convspec.network.ellipsoid.multipliers import Multipliers
from convspec.network.ellipsoid.prepared import prepared
from convspec.network.ellipsoid.proof import prove
from convspec.network.ellipsoid.propagation import Propagation
from convspec.network.ellipsoid.search import Search
from convspec.network.ellipsoid.tori import Tori
from convspec.network.graph import Graph, Node, graph_of
from convspec.network.kinds import Axes
from convspec.network.norms import Norms


class Linear(nn.Module):
    """A function of images and a convolution of ones."""

    def __init__(
        self, function: Callable[[Tensor, nn.Module], Tensor], weight: Tensor
    ) -> None:
        super().__init__()
        self.function = function
        outputs, inputs, *kernel = weight.shape
        self.conv = nn.Conv2d(
            inputs, outputs, tuple(kernel), bias=False, dtype=torch.float64
        )
        self.conv.weight.data.copy_(weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, self.conv)


def ones(*shape: int) -> Tensor:
    return torch.ones(*shape, dtype=torch.float64)


def first_bound(graph: Graph, layout: Layout) -> float:
    """With the first multipliers; factors of pixels take some."""
    found: list[float] = []
    search = Search(Tori(graph, layout, Norms()))
    search.run(1e-9, lambda passed, proven, fixed: found.append(proven.upper))
    return found[0]


def first(count: int) -> Tensor:
    """A kernel that reads the first channel alone."""
    return torch.eye(count, dtype=torch.float64)[:1, :, None, None]


LARGE = torch.tensor([1.0, 1.0, 10.0], dtype=torch.float64)
PAIR = ones(1, 2, 1, 1)

NETWORKS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "means along one of two axes": (
        Linear(lambda x, f: f(x).mean(2), ones(1, 1, 1, 2)),
        (1, 3, 4),
    ),
    "means along the other axis": (
        Linear(lambda x, f: f(x).mean(3), ones(1, 1, 2, 1)),
        (1, 4, 3),
    ),
    "means along both": (
        Linear(lambda x, f: f(x).mean((2, 3)), ones(2, 1, 2, 2)),
        (1, 3, 4),
    ),
    "factors along columns": (Linear(lambda x, f: f(x * LARGE), first(3)), (3, 3, 3)),
    "factors along columns, of two axes": (
        Linear(lambda x, f: f(x * LARGE[None]), first(3)),
        (3, 3, 3),
    ),
    "factors along rows": (
        Linear(lambda x, f: f(x * LARGE[None, :, None]), first(3)),
        (3, 3, 3),
    ),
    "factors of channels": (
        Linear(lambda x, f: f(x * LARGE[:, None, None]), ones(1, 3, 1, 1)),
        (3, 3, 3),
    ),
    "factors of channels, with a batch": (
        Linear(lambda x, f: f(x * LARGE[None, :, None, None]), ones(1, 3, 1, 1)),
        (3, 3, 3),
    ),
    "one channel broadcast to two": (
        Linear(lambda x, f: f(x * PAIR), ones(1, 2, 1, 1)),
        (1, 3, 3),
    ),
    "one channel broadcast to two outputs": (
        Linear(lambda x, f: f(x) * PAIR, ones(1, 1, 1, 1)),
        (1, 3, 3),
    ),
}


@pytest.mark.parametrize("layout", [Layout.torus, Layout.dense], ids=["torus", "dense"])
@pytest.mark.parametrize("name", NETWORKS)
def test_shapes_that_look_like_channels(name: str, layout: Callable[..., Layout]) -> None:
    """The largest singular value of the Jacobian, or a refusal."""
    model, shape = NETWORKS[name]
    x = torch.zeros(1, *shape, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(model, x).reshape(-1, x.numel())
    exact = float(torch.linalg.matrix_norm(jacobian, 2))
    made = prepared(graph_of(model.eval(), x), True)
    try:
        found = first_bound(made, layout(made))
    except NotApplicable:
        return
    assert exact * (1 - 1e-12) <= found <= exact * 2


def test_matrices_of_axes_of_any_strides() -> None:
    """Those of means are views, on which ``torch.kron`` may fail."""
    matrices = {
        2: torch.ones(3, 2, dtype=torch.float64).mT[:, ::2],
        3: torch.ones(4, 1, dtype=torch.float64).expand(4, 2).mT,
    }
    node = Node(Axes(matrices), (0,), (1, 2, 2, 2))
    made = Graph((Node(None, (), (1, 2, 2, 4)), node), (1,))
    propagation = Propagation(made, Layout.dense(made))
    found = prove(propagation, Multipliers(Norms(), fixed=True)).upper
    assert 4 * math.sqrt(2) * (1 - 1e-15) <= found <= 4 * math.sqrt(2) * (1 + 1e-9)

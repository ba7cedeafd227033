"""torchvision's networks with random weights of He's, where the package is installed."""

from __future__ import annotations

from functools import cache
from importlib import import_module

import torch
from torch import nn

from benchmarks.networks import he
from benchmarks.problem import Unavailable

__all__ = ["torchvision_network"]

# its wheel is built for CUDA: over a CPU build of torch two operators lack
MISSING = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


def torchvision_network(name: str) -> nn.Module:
    """One of ``torchvision.models``, in evaluation mode.

    Raises:
        Unavailable: If torchvision is not there; ``make test-networks`` installs it.
    """
    _declare()
    try:
        models = import_module("torchvision.models")
    except ImportError as error:
        raise Unavailable(f"torchvision is needed: {error}") from error
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        given = {"init_weights": True} if name == "googlenet" else {}  # it warns
        model: nn.Module = models.get_model(name, weights=None, **given)
    return he(model)


@cache
def _declare() -> torch.library.Library:
    """Declare the operators that lack; kept alive, since they go with it."""
    library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for schema in MISSING:
        library.define(schema)  # type: ignore[no-untyped-call]
    return library

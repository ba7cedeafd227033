"""A network as a map between vectors, on a copy of it: values, ``J v``, ``J^T u``.

Users' models are run on copies, so that they stay as they are. A copy in float64 holds
the very function of the model, as float32 weights are float64 numbers; what it rounds is
estimated from what a copy in float32 rounds, which is 2^29 times as much.
"""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten

from convspec.arguments import is_integer, shown
from convspec.errors import GeometryError, UnreadableModel, UnsupportedLayer
from convspec.isolation import full_precision
from convspec.network.domain import Domain
from convspec.operators.layers import is_lazy, layer_type

__all__ = ["ImageMap", "Jacobian", "alone", "copied", "home", "length", "plain_sizes"]

# share of |x| that a finite difference moves, where nothing else is possible
STEP = 1e-3


class ImageMap:
    """A copy of a model as a map of one image to all of its outputs, as one vector.

    Attributes:
        shape: Of an image, without the batch axis.
        dtype: Of images; float32 or float64.
        device: Where it runs.
        ends: Of the domain, images; None for all images.
    """

    def __init__(
        self,
        model: nn.Module,
        shape: tuple[int, ...],
        dtype: torch.dtype,
        device: torch.device,
        domain: Domain | None = None,
    ) -> None:
        self.shape, self.dtype, self.device = shape, dtype, device
        self.ends: tuple[Tensor, Tensor] | None = None
        if domain is not None:
            box = domain.range(shape)
            self.ends = self.image(box.low[0]), self.image(box.high[0])
        self._model = copied(model, dtype, device)

    def __call__(self, x: Tensor) -> Tensor:
        """All outputs at the image x, flattened and concatenated; (m,).

        Raises:
            UnreadableModel: If the model does not run on it, or not in this dtype.
        """
        try:
            # a new tensor, as layers may write into their input
            output = self._model(x.unsqueeze(0).clone())
        except RecursionError:
            raise
        except Exception as error:
            raise UnreadableModel(
                f"the model must run on inputs of shape {(1, *self.shape)} in "
                f"{self.dtype}; it raised {type(error).__name__}: {error}; pass a "
                "fitting shape, without the batch, and convert nothing inside of it"
            ) from error
        return self._joined(output)

    def image(self, x: Tensor) -> Tensor:
        """The image in the dtype and on the device of the copy."""
        return x.detach().to(dtype=self.dtype, device=self.device)

    def inside(self, x: Tensor) -> Tensor:
        """The image nearest to x in the domain, in this dtype's rounding of its ends."""
        return x if self.ends is None else torch.clamp(x, *self.ends)

    def _joined(self, output: Any) -> Tensor:
        flat = [each for each in tree_flatten(output)[0] if isinstance(each, Tensor)]
        real = [torch.view_as_real(x) if x.is_complex() else x for x in flat]
        real = [x.flatten() for x in real if x.is_floating_point()]
        kinds = {x.dtype for x in real}
        if kinds != {self.dtype}:
            given = sorted(map(str, kinds)) or "no tensor of real numbers"
            raise UnreadableModel(
                f"the model must compute in the dtype of its input; given {self.dtype} "
                f"it returns {given}; convert nothing to a fixed dtype inside of it"
            )
        return torch.cat(real)


class Jacobian:
    """The Jacobian of a map at one point, from one run of the model.

    ``J^T u`` is linear in u, and v times its derivative in u is ``J v``. That takes as
    long as forward differentiation, loads nothing else of torch, and asks of a layer only
    that its backward pass has a derivative; where it has none a finite difference serves.

    Raises:
        UnreadableModel: If no gradient flows through the model.
    """

    def __init__(self, f: ImageMap, x: Tensor) -> None:
        self._f, self._x = f, x.detach().clone().requires_grad_()
        self._value = f(self._x)
        if not self._value.requires_grad:
            raise UnreadableModel(
                "the model must be differentiable in its input; its outputs have no "
                "gradient; remove detach() and no_grad() on the way"
            )
        self._u = torch.zeros_like(self._value).requires_grad_()
        (self._back,) = torch.autograd.grad(
            self._value, self._x, self._u, create_graph=True
        )

    def pushed(self, v: Tensor) -> Tensor:
        """``J v``, (m,)."""
        try:
            (found,) = torch.autograd.grad(self._back, self._u, v, retain_graph=True)
        except RuntimeError:
            with torch.no_grad():
                size = length(self._x) or math.sqrt(v.numel())
                step = STEP * size / (length(v) or 1.0)
                found = (self._f(self._x + step * v) - self._value) / step
        return found.detach()

    def pulled(self, u: Tensor) -> Tensor:
        """``J^T u``, an image."""
        (found,) = torch.autograd.grad(self._value, self._x, u, retain_graph=True)
        return found.detach()


def home(model: nn.Module) -> tuple[torch.dtype, torch.device]:
    """The dtype and device in which to search: the model's, float32 if shorter.

    A model without numbers of its own is searched in float64.
    """
    held = [*model.parameters(), *model.buffers()]
    real = [x for x in held if x.is_floating_point() or x.is_complex()]
    device = real[0].device if real else torch.device("cpu")
    wide = not real or any(x.dtype in (torch.float64, torch.complex128) for x in real)
    dtype = torch.float64 if wide else full_precision(torch.float32, device)
    return dtype, device


@contextmanager
def alone(model: nn.Module) -> Iterator[None]:
    """Runs of the model inside leave the random state; gradients are recorded.

    Raises:
        TypeError: If it is no module.
        UnsupportedLayer: If a layer has no weight yet.
    """
    _require_weights(model)
    devices = {x.device for x in model.parameters() if x.device.type == "cuda"}
    with ExitStack() as stack:
        stack.enter_context(torch.enable_grad())
        stack.enter_context(torch.random.fork_rng(devices=list(devices)))
        if "torch._dynamo" in sys.modules:  # slow to import, where nothing was compiled
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        yield


def plain_sizes(shape: Sequence[int]) -> tuple[int, ...]:
    """The shape of one image in plain integers.

    Raises:
        GeometryError: If it is not positive integers.
    """
    sizes = tuple(shape) if isinstance(shape, Sequence) else ()
    if not sizes or not all(is_integer(n) and n > 0 for n in sizes):
        raise GeometryError(
            "shape must be positive integers without the batch, such as (3, 224, 224); "
            f"got {shown(shape)}"
        )
    return tuple(int(n) for n in sizes)


def length(x: Tensor) -> float:
    """``|x|_2`` in float64, scaled so that no square overflows or vanishes."""
    largest = float(x.detach().abs().max()) if x.numel() else 0.0
    if largest == 0 or not math.isfinite(largest):
        return largest
    return largest * float(torch.linalg.vector_norm(x.detach().double() / largest))


@torch.no_grad()  # or the copied weights of scripted modules are results
def copied(model: nn.Module, dtype: torch.dtype, device: torch.device) -> nn.Module:
    """A copy in evaluation mode, its numbers converted, without backward hooks."""
    made = [x for m in model.modules() for x in vars(m).values() if isinstance(x, Tensor)]
    # computed tensors refuse to be copied, and are computed anew or constant
    memo = {id(x): x.detach().clone() for x in made}
    try:
        found = copy.deepcopy(model, memo)
    except Exception as error:
        raise UnreadableModel(
            "the model must allow copy.deepcopy, as it is run on a copy; that raised "
            f"{type(error).__name__}: {error}; remove what cannot be copied from it"
        ) from error
    found = found.double() if dtype == torch.float64 else found.float()
    found = found.to(device=device)
    for parameter in found.parameters():  # scripted modules have no requires_grad_
        parameter.requires_grad_(False)
    for module in found.modules():
        module._backward_hooks.clear()
        module._backward_pre_hooks.clear()
        for name, value in list(vars(module).items()):
            if isinstance(value, Tensor) and value.is_floating_point():
                setattr(module, name, value.to(dtype=dtype, device=device))
    return _evaluating(found)


def _require_weights(model: object) -> None:
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"the model must be a torch.nn.Module; got {type(model).__name__}; wrap a "
            "function in a module whose forward calls it"
        )
    for name, module in model.named_modules():
        if is_lazy(module):
            raise UnsupportedLayer(
                f"layers must have their weights; {name or layer_type(module)!r} is lazy "
                "and has none yet; run the model on an input of the right shape first"
            )


def _evaluating(model: nn.Module) -> nn.Module:
    """The model in evaluation mode; exported parts keep theirs, as they refuse."""
    try:
        return model.eval()
    except NotImplementedError:
        for module in model.modules():
            if "train" not in vars(module):
                module.training = False
        return model

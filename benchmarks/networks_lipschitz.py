"""Lipschitz constants of networks: what each way of bounding them gives, and how fast.

``python -m benchmarks networks [NAME ...]``. The product of all layers' norms is what
AutoLip (Virmaux and Scaman, 2018) computes, here with certified norms; greedy SeqLip and
power iterations are no bounds and are left out.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from torch import nn

import convspec as cs
from benchmarks.mtcnn import pnet, rnet
from benchmarks.networks import ResNet, UNet, craft, he
from benchmarks.problem import Unavailable
from benchmarks.torchvision_networks import torchvision_network
from convspec.demo.weights import load_mobilenet

__all__ = ["CONSTANTS", "Constant", "constant_of", "constants_text"]


@dataclass(frozen=True)
class Constant:
    """A network whose constant is bounded.

    Attributes:
        title: What it is.
        build: The model.
        shape: Of its input.
        seconds: It is given.
        aim: Logarithm to the base 10 of the bound that is aimed at; None for none.
        domain: Of the inputs; None for all.
    """

    title: str
    build: Callable[[], nn.Module]
    shape: tuple[int, ...]
    seconds: float
    aim: float | None = None
    domain: tuple[float, float] | None = None


CONSTANTS = {
    "pnet": Constant("MTCNN PNet, trained", pnet, (3, 12, 12), 60, math.log10(545)),
    "rnet": Constant("MTCNN RNet, trained", rnet, (3, 24, 24), 60, math.log10(3400)),
    "mobilenet": Constant(
        "MobileNetV2, trained", load_mobilenet, (3, 224, 224), 600, 17.0
    ),
    "resnet18": Constant(
        "ResNet-18, He", lambda: he(ResNet((2, 2, 2, 2), 1)), (3, 224, 224), 600
    ),
    "unet": Constant(
        "U-Net, widths 16 to 64, He", lambda: he(UNet((16, 32, 64), 2)), (1, 64, 64), 300
    ),
    "craft": Constant("VGG-16-BN of CRAFT, trained", craft, (3, 64, 64), 420),
    "resnet50": Constant(
        "ResNet-50", partial(torchvision_network, "resnet50"), (3, 32, 32), 600
    ),
    "densenet121": Constant(
        "DenseNet-121", partial(torchvision_network, "densenet121"), (3, 32, 32), 600
    ),
    "googlenet": Constant(
        "GoogLeNet", partial(torchvision_network, "googlenet"), (3, 32, 32), 420
    ),
    "efficientnet": Constant(
        "EfficientNet-B0, inputs in [0, 1]",
        partial(torchvision_network, "efficientnet_b0"),
        (3, 32, 32),
        300,
        domain=(0.0, 1.0),
    ),
}


@dataclass(frozen=True)
class Found:
    """What was found of one network.

    Attributes:
        name: Of the network.
        bound: Both ends and all steps.
        seconds: Of the call.
    """

    name: str
    bound: cs.NetworkBound
    seconds: float


def constant_of(name: str, seconds: float | None = None) -> Found:
    """Bound a network in this process.

    Raises:
        Unavailable: If its weights cannot be had.
    """
    network = CONSTANTS[name]
    try:
        model = network.build()
    except cs.UnreadableModel as error:
        raise Unavailable(str(error)) from error
    begun = time.perf_counter()
    bound = cs.lipschitz(
        model,
        network.shape,
        seconds=seconds or network.seconds,
        domain=network.domain,
    )
    return Found(name, bound, time.perf_counter() - begun)


def constants_text(found: Iterable[Found]) -> str:
    """A network, its steps, and its aim."""
    lines = []
    for each in found:
        network = CONSTANTS[each.name]
        lines.append(f"{network.title}, {each.seconds:.0f} s")
        lines += [
            f"  {step.name:22} 10^{math.log10(step.upper):7.3f} {step.seconds:7.1f} s"
            for step in each.bound.steps
            if math.isfinite(step.upper) and step.upper > 0
        ]
        if each.bound.lower > 0:
            lines.append(f"  {'lower end':22} 10^{math.log10(each.bound.lower):7.3f}")
        if network.aim is not None:
            lines.append(f"  {'aim':22} 10^{network.aim:7.3f}")
    return "\n".join(lines)

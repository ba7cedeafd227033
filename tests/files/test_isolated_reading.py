"""What the process has set does not reach what is read."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from convspec.files.checkpoint import Checkpoint
from convspec.files.exported_file import example_shape, read_exported
from convspec.files.loading import load_weights
from convspec.files.weights_file import read_weights

STATES: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "inference": torch.inference_mode,
    "no_grad": torch.no_grad,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "meta": lambda: torch.device("meta"),
    "errstate": lambda: np.errstate(all="raise"),
}


@pytest.mark.parametrize("state", STATES)
def test_what_is_read_is_the_same(tmp_path: Path, state: str) -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(2, 3, 3, 3, generator=generator, dtype=torch.float32)
    parts = {"a.weight_g": weight[:, :1, :1, :1].exp(), "a.weight_v": weight}
    net = nn.Conv2d(3, 2, 3, dtype=torch.float32)
    wanted = {"weight": weight, "bias": torch.ones(2, dtype=torch.float32)}
    load_weights(net, wanted)
    image = torch.ones(1, 3, 8, 8, dtype=torch.float32)
    torch.export.save(torch.export.export(net, (image,)), tmp_path / "a.pt2")
    torch.save(wanted, tmp_path / "a.pth")
    torch.save(wanted, tmp_path / "b.pth", _use_new_zipfile_serialization=False)
    torch.save(parts, tmp_path / "parts.pth")
    save_file(wanted, tmp_path / "a.safetensors")
    usual = Checkpoint.open(tmp_path / "parts.pth").trace(None).calls[0].conv.weight
    with STATES[state]():
        found = [read_weights(tmp_path / f) for f in ("a.pth", "b.pth", "a.safetensors")]
        program = read_exported(tmp_path / "a.pt2")
        shape = example_shape(program)
        call = Checkpoint.open(tmp_path / "parts.pth").trace(None).calls[0]
        load_weights(net, found[0])
    for each in (*found, program.state_dict, net.state_dict()):
        assert all(torch.equal(each[name], t) for name, t in wanted.items())
        assert not any(tensor.is_inference() for tensor in each.values())
    assert shape == (3, 8, 8)
    assert usual is not None
    assert call.conv.weight is not None
    assert torch.equal(call.conv.weight, usual)

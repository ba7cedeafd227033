"""State dicts as models: kernels, and the geometry that a file gives them."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, spectral_norm, weight_norm

from convspec.errors import NotFiniteError, UnreadableModel
from convspec.files.checkpoint import Checkpoint
from convspec.model.sites import Call

F32, F64 = torch.float32, torch.float64


def filled(*shape: int, dtype: torch.dtype = F64) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(*shape, generator=generator, dtype=F64).to(dtype)


def saved(tmp_path: Path, state: dict[str, Any]) -> Path:
    path = tmp_path / "weights.pth"
    torch.save(state, path)
    return path


def opened(tmp_path: Path, state: dict[str, Any], toml: str | None = None) -> Any:
    path = saved(tmp_path, state)
    if toml is None:
        return Checkpoint.open(path).trace(None)
    geometry = tmp_path / "geometry.toml"
    geometry.write_text(toml)
    return Checkpoint.open(path, geometry=geometry).trace(None)


def refusal(tmp_path: Path, state: dict[str, Any], toml: str | None = None) -> str:
    with pytest.raises(UnreadableModel) as caught:
        opened(tmp_path, state, toml)
    said = str(caught.value)
    assert said.isprintable()
    file = "weights.pth" if toml is None else "geometry.toml"
    assert said.startswith(f"{tmp_path / file} must ")
    return said


def names(calls: list[Call]) -> list[str]:
    return [call.name for call in calls]


def test_kernels_of_a_bare_state_dict(tmp_path: Path) -> None:
    state = {
        "features.0.weight": filled(4, 3, 3, 3),
        "features.0.bias": filled(4),
        "features.1.weight": filled(4),
        "audio.weight": filled(2, 2, 7, dtype=F32),
        "video.weight": filled(2, 2, 3, 3, 3, dtype=torch.float16),
        "waves.weight": filled(2, 2, 3).to(torch.complex128),
        "head.weight": filled(2, 4),
        "steps.weight": torch.ones(1, 1, 3, dtype=torch.int64),
        "many.weight": filled(1, 1, 1, 1, 1, 1),
        "nothing.weight": filled(0, 3, 3),
        "positions": filled(1, 5, 8),
        "blur.kernel": filled(1, 1, 3, 3),
    }
    trace = opened(tmp_path, state)
    kinds = {call.name: call.type for call in trace.calls}
    assert kinds == {
        "features.0": "conv2d",
        "audio": "conv1d",
        "video": "conv3d",
        "waves": "conv1d",
        "blur.kernel": "conv2d",
    }
    for call in trace.calls:
        key = call.name if "kernel" in call.name else f"{call.name}.weight"
        weight, dim = state[key], state[key].ndim - 2
        assert torch.equal(call.conv.weight, weight)
        assert call.conv.weight.dtype == weight.dtype
        assert call.input_size == ()
        given = call.conv.given
        assert given.stride == given.dilation == (1,) * dim
        assert given.padding == ((0, 0),) * dim
        assert (given.groups, given.transposed, given.padding_mode) == (1, False, "zeros")
    assert [call.kernel for call in trace.calls] == [0, 1, 2, 3, 4]
    (note,) = trace.notes
    assert "stride 1, no padding, one group, not transposed" in note
    assert trace.unused == []


def test_without_names_of_weights_all_kernels_count(tmp_path: Path) -> None:
    state = {"a": filled(1, 1, 3), "b.c": filled(1, 1, 3, 3), "d": filled(3)}
    assert names(opened(tmp_path, state).calls) == ["a", "b.c"]


def test_a_file_without_kernels_is_refused(tmp_path: Path) -> None:
    said = refusal(tmp_path, {"head.weight": filled(2, 2), "bias": filled(3)})
    assert "none of its 2 tensors" in said


def test_two_tensors_of_one_layer_keep_their_names(tmp_path: Path) -> None:
    state = {"a.weight": filled(1, 1, 3), "a.weight_orig": filled(1, 1, 3)}
    assert names(opened(tmp_path, state).calls) == ["a.weight", "a.weight_orig"]


@pytest.mark.parametrize("dim", [0, 1, 2, None])
@pytest.mark.parametrize("new", [True, False], ids=["parametrized", "hooked"])
@pytest.mark.parametrize("layer", [nn.Conv2d, nn.ConvTranspose2d])
def test_weight_norm_is_multiplied_out(
    tmp_path: Path, dim: int | None, new: bool, layer: type[nn.Conv2d]
) -> None:
    torch.manual_seed(0)
    plain = layer(3, 4, (3, 5), dtype=F64)
    norm: Any = parametrizations.weight_norm if new else weight_norm
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = norm(plain, dim=dim)
    with torch.no_grad():  # so that magnitudes are none of the directions' norms
        for name, parameter in module.named_parameters():
            if name.endswith(("_g", "original0")):
                parameter.mul_(2.5)
        module(torch.ones(1, 3, 9, 9, dtype=F64))
        wanted = module.weight.detach().clone()
    trace = opened(tmp_path, nn.ModuleDict({"conv": module}).state_dict())
    (call,) = trace.calls
    assert call.name == "conv"
    torch.testing.assert_close(call.conv.weight, wanted, rtol=1e-14, atol=0)
    assert trace.notes[0] == "weight norm was multiplied out in conv.weight"


def test_parts_that_do_not_fit_are_left_and_said(tmp_path: Path) -> None:
    state = {
        "a.weight_g": filled(2, 1, 1),
        "a.weight_v": filled(3, 1, 3),
        "b.weight": filled(1, 1, 3),
    }
    trace = opened(tmp_path, state)
    assert names(trace.calls) == ["b"]
    assert trace.notes[0] == "a.weight_v is as it was trained: a.weight_g does not fit it"


@pytest.mark.parametrize("new", [True, False], ids=["parametrized", "hooked"])
def test_spectral_norm_is_left_and_said(tmp_path: Path, new: bool) -> None:
    norm: Any = parametrizations.spectral_norm if new else spectral_norm
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = norm(nn.Conv2d(3, 4, 3, dtype=F64))
    state = nn.ModuleDict({"conv": module}).state_dict()
    raw = state["conv.parametrizations.weight.original" if new else "conv.weight_orig"]
    trace = opened(tmp_path, state)
    (call,) = trace.calls
    assert call.name == "conv"
    assert torch.equal(call.conv.weight, raw)
    assert trace.notes[0].startswith("as trained, before what their layers make of them")


FULL = """
[[layer]]
names = "features.*"
stride = 2
padding = [1, 0]
dilation = 1
groups = 2
padding_mode = "circular"
size = [8, 9]

[[layer]]
names = "*.up"
transposed = true
stride = [2, 1]
output_padding = [1, 0]
size = 5

[[layer]]
names = "features.same"
padding = "same"
dilation = [1, 2]
"""


def test_geometry_is_that_of_torch(tmp_path: Path) -> None:
    state = {
        "features.0.weight": filled(4, 1, 3, 3),
        "features.same.weight": filled(4, 2, 2, 3),
        "head.up.weight": filled(2, 3, 3, 3),
        "rest.weight": filled(2, 2, 3, 3),
    }
    trace = opened(tmp_path, state, FULL)
    first, same, up, rest = trace.calls
    assert (first.type, up.type) == ("conv2d", "conv_transpose2d")
    assert first.conv.given.padding == ((1, 1), (0, 0))
    layer = nn.Conv2d(
        2, 4, 3, 2, (1, 0), groups=2, padding_mode="circular", bias=False, dtype=F64
    )
    assert_operator(first, layer, 2)
    up_layer = nn.ConvTranspose2d(
        2, 3, 3, (2, 1), output_padding=(1, 0), bias=False, dtype=F64
    )
    assert_operator(up, up_layer, 2)
    # the last entry that matches says all
    assert same.input_size == ()
    assert same.conv.given.stride == (1, 1)
    assert same.conv.given.padding == ((0, 1), (2, 2))
    assert same.conv.given.groups == 1
    assert rest.input_size == ()
    assert any("without a size: features.same, rest" in note for note in trace.notes)
    assert any("are assumed" in note for note in trace.notes)


def test_a_padding_mode_for_each_axis(tmp_path: Path) -> None:
    toml = """
[[layer]]
names = "*"
padding = 1
padding_mode = ["zeros", "circular"]
size = [4, 5]
"""
    (call,) = opened(tmp_path, {"a.weight": filled(2, 1, 3, 3)}, toml).calls
    op = call.operator()
    assert [axis.mode for axis in op.geometry.axes] == ["zeros", "circular"]


def assert_operator(call: Call, layer: nn.Module, channels: int) -> None:
    """The matrix is that of torch's layer, run on images of one pixel."""
    weight, size = call.conv.weight, call.input_size
    assert weight is not None
    pixels = channels * math.prod(size)
    images = torch.eye(pixels, dtype=F64).reshape(pixels, channels, *size)
    with torch.no_grad():
        layer.weight.copy_(weight)  # type: ignore[operator, union-attr]
        wanted = layer(images).reshape(pixels, -1).T
    torch.testing.assert_close(torch.as_tensor(call.operator().to_dense()), wanted)


def test_a_size_and_nothing_else_is_given(tmp_path: Path) -> None:
    toml = '[[layer]]\nnames = "*"\nsize = 7'
    trace = opened(tmp_path, {"a.weight": filled(2, 2, 3)}, toml)
    assert trace.calls[0].input_size == (7,)
    assert trace.notes == []
    assert_operator(trace.calls[0], nn.Conv1d(2, 2, 3, bias=False, dtype=F64), 2)


def test_values_that_are_not_finite_are_kept_until_an_operator_is_made(
    tmp_path: Path,
) -> None:
    weight = filled(1, 1, 3)
    weight[0, 0] = torch.tensor([math.nan, math.inf, 5e-324], dtype=F64)
    toml = '[[layer]]\nnames = "*"\nsize = 7'
    (call,) = opened(tmp_path, {"a.weight": weight}, toml).calls
    found = call.conv.weight.flatten().tolist()
    assert math.isnan(found[0])
    assert found[1:] == [math.inf, 5e-324]
    with pytest.raises(NotFiniteError):
        call.operator()


WRONG = {
    'names = "*"\nstrides = 2': "have no keys but",
    'names = "*"\nstride = 0': "integers from 1 on",
    'names = "*"\nstride = true': "integers from 1 on",
    'names = "*"\nstride = 1.5': "integers from 1 on",
    'names = "*"\nstride = []': "integers from 1 on",
    'names = "*"\nstride = [1, 2, 3]': "'a'",
    'names = "*"\npadding = -1': "integers from 0 on",
    'names = "*"\npadding = "full"': "integers from 0 on",
    'names = "*"\npadding = "same"\nstride = 2': "stride",
    'names = "*"\ndilation = [[1]]': "integers from 1 on",
    'names = "*"\ngroups = 0': "positive number",
    'names = "*"\ngroups = 3': "groups",
    'names = "*"\npadding_mode = "wrap"': "zeros",
    'names = "*"\npadding_mode = []': "zeros",
    'names = "*"\ntransposed = 1': "true or false",
    'names = "*"\noutput_padding = 1': "output_padding",
    'names = "*"\nsize = 0': "integers from 1 on",
    'names = "*"\nsize = 2': "'a'",
    'names = "*"\nsize = [2, 2, 2]': "size",
    'names = "b.*"\nstride = 2': "'b.*' matches none of a",
    'names = ""': "name layers",
    "names = 3": "name layers",
    "stride = 3": "name layers",
    "names = ": "TOML",
}


@pytest.mark.parametrize("entry", WRONG)
def test_geometry_that_no_layer_has(tmp_path: Path, entry: str) -> None:
    said = refusal(tmp_path, {"a.weight": filled(2, 2, 3, 3)}, f"[[layer]]\n{entry}")
    assert WRONG[entry] in said


@pytest.mark.parametrize(
    "toml",
    ["", "layer = 3", "layer = []", "[layer]\nnames = 'a'", "x = 1", "\0", "layer"],
)
def test_files_that_hold_no_layers(tmp_path: Path, toml: str) -> None:
    refusal(tmp_path, {"a.weight": filled(2, 2, 3, 3)}, toml)


def test_a_geometry_file_that_is_none(tmp_path: Path) -> None:
    path = saved(tmp_path, {"a.weight": filled(2, 2, 3)})
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    for file in ("none.toml", ".", "bytes.toml"):
        with pytest.raises(UnreadableModel, match="must"):
            Checkpoint.open(path, geometry=tmp_path / file)


def test_what_a_checkpoint_cannot_tell_is_refused(tmp_path: Path) -> None:
    checkpoint = Checkpoint.open(saved(tmp_path, {"a.weight": filled(2, 2, 3)}))
    assert checkpoint.title == "checkpoint"
    asked: dict[str, dict[str, Any]] = {
        r"input_shape = \(3, 8\)": {"input_shape": (3, 8)},
        "linear=True": {"input_shape": None, "linear": True},
        "fold_batch_norm=True": {"input_shape": None, "fold_batch_norm": True},
    }
    for said, arguments in asked.items():
        with pytest.raises(UnreadableModel, match=said):
            checkpoint.trace(**arguments)


def test_notes_tell_what_reading_undid(tmp_path: Path) -> None:
    held = {"state_dict": {"a.weight": filled(1, 1, 3)}, "epoch": 3}
    notes = opened(tmp_path, held).notes
    assert notes[:2] == [
        "the weights were in state_dict",
        "left out, beside it: epoch",
    ]


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_prefixes_of_wrappers_are_taken_away(prefix: str, tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save({f"{prefix}a.weight": torch.ones(2, 1, 3)}, path)
    trace = Checkpoint.open(path).trace()
    assert [call.name for call in trace.calls] == ["a"]
    assert any("the prefix" in note for note in trace.notes)

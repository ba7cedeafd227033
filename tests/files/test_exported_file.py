"""Exported programs from files: the same program, and nothing else that would run."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.utils._pytree import tree_leaves

from convspec.errors import UnreadableModel
from convspec.files.exported_file import example_shape, read_exported
from convspec.model.trace import trace_calls
from tests.hostile_files import Edit, Touches, replacing, rewritten, zip_bomb

F32 = torch.float32
MODEL = "models/model.json"
WEIGHTS = "model_weights_config.json"


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.GELU(approximate="tanh"),
            nn.Conv2d(4, 6, 3, stride=2, groups=2, padding="valid"),
        )
        self.head = nn.Linear(6, 2)
        self.register_buffer("scale", torch.tensor([2.0, 3.0], dtype=F32))

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            shifted = x * 2 - 1.5
        features = self.features(shifted).clamp(max=float("inf"))
        scale: Any = self.scale
        return self.head(features.mean((2, 3))) * scale


def exported(net: nn.Module, *inputs: Any, **arguments: Any) -> Any:
    return torch.export.export(net.eval(), inputs, **arguments)


def image(height: int = 16, width: int = 16) -> Tensor:
    generator = torch.Generator().manual_seed(height)
    return torch.randn(1, 3, height, width, generator=generator, dtype=F32)


@pytest.fixture(scope="module")
def net() -> Net:
    torch.manual_seed(0)
    return Net().eval()


@pytest.fixture(scope="module")
def saved(net: Net, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("exported") / "net.pt2"
    torch.export.save(exported(net, image()), path)
    return path


@pytest.fixture(scope="module")
def symbolic(net: Net, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("symbolic") / "net.pt2"
    sizes = {n: torch.export.Dim(f"n{n}", min=8, max=64) for n in (2, 3)}
    torch.export.save(exported(net, image(16, 20), dynamic_shapes=(sizes,)), path)
    return path


def refusal(path: Path, **arguments: Any) -> str:
    with pytest.raises(UnreadableModel) as caught:
        read_exported(path, **arguments)
    said = str(caught.value)
    assert said.startswith(f"{path} must ")
    assert said.isprintable()
    return said


def test_it_is_the_same_program(net: Net, saved: Path) -> None:
    program = read_exported(saved)
    with torch.no_grad():
        assert torch.equal(program.module()(image()), net(image()))
    found = program.state_dict
    assert all(torch.equal(found[k], t) for k, t in net.state_dict().items())
    assert example_shape(program) == (3, 16, 16)


def test_its_calls_are_those_of_the_model(net: Net, saved: Path) -> None:
    ours = trace_calls(read_exported(saved).module(), (image(),)).calls
    theirs = trace_calls(net, (image(),)).calls
    assert [c.input_size for c in ours] == [c.input_size for c in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert one.conv.given == other.conv.given
        assert one.name == other.name
        assert one.conv.weight is not None
        assert other.conv.weight is not None
        assert torch.equal(one.conv.weight, other.conv.weight)


def test_symbolic_sizes_run_at_others(net: Net, symbolic: Path) -> None:
    program = read_exported(symbolic)
    assert example_shape(program) == (3, 16, 20)
    with torch.no_grad():
        for size in ((8, 64), (33, 9)):
            assert torch.equal(program.module()(image(*size)), net(image(*size)))


def test_shapes_of_several_inputs_and_of_none(tmp_path: Path) -> None:
    class Two(nn.Module):
        def forward(self, x: Tensor, more: dict[str, Tensor]) -> dict[str, Any]:
            return {"sum": x + more["other"].mean((1, 2)), "all": (x, [x])}

    class Times(nn.Module):
        def forward(self, x: Tensor, n: int) -> Tensor:
            return x * n

    inputs = torch.ones(1, 3, dtype=F32), {"other": torch.ones(1, 4, 5, dtype=F32)}
    torch.export.save(exported(Two(), *inputs), tmp_path / "a.pt2")
    program = read_exported(tmp_path / "a.pt2")
    assert example_shape(program) == ((3,), (4, 5))
    assert torch.equal(program.module()(*inputs)["sum"], torch.full((1, 3), 2.0))
    torch.export.save(exported(Times(), inputs[0], 3), tmp_path / "b.pt2")
    assert example_shape(read_exported(tmp_path / "b.pt2")) is None


class Applied(nn.Module):
    """A function of an input and of modules."""

    def __init__(self, function: Callable[..., Any], *modules: nn.Module) -> None:
        super().__init__()
        self.function = function
        self.inner = nn.ModuleList(modules)

    def forward(self, x: Tensor) -> Any:
        return self.function(x, *self.inner)


def in_bfloat16(x: Tensor, layer: nn.Module) -> Any:
    with torch.autocast("cpu", torch.bfloat16):
        return layer(x)


def halves(x: Tensor) -> Tensor:
    return x.view(x.shape[0], x.shape[1], x.shape[2] // 2, 2, x.shape[3]).mean(3)


PROGRAMS: dict[str, Callable[[], nn.Module]] = {
    "even": lambda: Applied(halves),
    "branch": lambda: Applied(
        lambda x: torch.cond(x.sum() > 0, lambda y: y + 1, lambda y: y - 1, (x,))
    ),
    "number": lambda: Applied(lambda x: x * x.sum().item()),
    "dict": lambda: Applied(lambda x: {"out": x, "aux head": [x + 1, (x,)]}),
    "autocast": lambda: Applied(in_bfloat16, nn.Conv2d(3, 3, 3)),
    "fft": lambda: Applied(lambda x: torch.fft.rfft2(x, norm="ortho").abs()),
    "einsum": lambda: Applied(lambda x: torch.einsum("bchw,bdhw->bcd", x, x)),
    "index": lambda: Applied(lambda x: x[:, torch.tensor([0, 2])].roll(1, 2)),
    "circular": lambda: nn.Conv2d(3, 3, 3, padding=1, padding_mode="circular"),
    "transposed": lambda: nn.ConvTranspose2d(3, 3, 3, stride=2),
    "weight norm": lambda: parametrizations.weight_norm(nn.Conv2d(3, 3, 3)),
    "spectral norm": lambda: parametrizations.spectral_norm(nn.Conv2d(3, 3, 3)),
    "pieces": lambda: nn.Sequential(
        nn.GroupNorm(1, 3),
        nn.SiLU(),
        nn.InstanceNorm2d(3),
        nn.ReflectionPad2d(1),
        nn.Upsample(scale_factor=2, mode="bilinear"),
        nn.AdaptiveAvgPool2d(4),
        nn.MaxPool2d(2),
        nn.Dropout(0.1),
    ),
}


@pytest.mark.filterwarnings("ignore:.*treespec, LeafSpec.*:FutureWarning")
@pytest.mark.parametrize("decomposed", [False, True], ids=["traced", "decomposed"])
@pytest.mark.parametrize("kind", PROGRAMS)
def test_programs_of_many_kinds(tmp_path: Path, kind: str, decomposed: bool) -> None:
    torch.manual_seed(0)
    even = {2: 2 * torch.export.Dim("half", min=2, max=50)}
    dynamic = {"dynamic_shapes": {"x": even}} if kind == "even" else {}
    program = exported(PROGRAMS[kind](), image(), **dynamic)
    if decomposed:
        program = program.run_decompositions()
    torch.export.save(program, tmp_path / "a.pt2")
    found = read_exported(tmp_path / "a.pt2")
    inputs = [image(), image(10, 16)] if kind == "even" else [image()]
    with torch.no_grad():
        for x in inputs:
            ours, theirs = (tree_leaves(p.module()(x)) for p in (found, program))
            assert len(ours) == len(theirs)
            assert all(map(torch.equal, ours, theirs))


def test_constants_and_shared_weights(tmp_path: Path) -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = nn.Conv1d(2, 2, 3, padding=1)
            self.two = nn.Conv1d(2, 2, 3, padding=1)
            self.two.weight = self.one.weight
            self.constant = torch.tensor([[1.0], [2.0]], dtype=F32)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.two(self.one(x)) * self.constant
            return out

    net, x = Shared(), torch.randn(1, 2, 9, dtype=F32)
    torch.export.save(exported(net, x), tmp_path / "a.pt2")
    module = read_exported(tmp_path / "a.pt2").module()
    assert torch.equal(module(x), net(x))


def test_weights_that_are_not_finite_are_kept(tmp_path: Path) -> None:
    net = nn.Conv1d(1, 1, 3, dtype=torch.float64)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[[torch.nan, -torch.inf, 5e-324]]]).double())
        net.weight[0, 0, 2] = 5e-324
    x = torch.ones(1, 1, 5, dtype=torch.float64)
    torch.export.save(exported(net, x), tmp_path / "a.pt2")
    found = read_exported(tmp_path / "a.pt2").state_dict["weight"].detach().numpy()
    assert found.tobytes() == net.weight.detach().numpy().tobytes()


def test_programs_of_a_gpu_come_to_the_cpu(net: Net, saved: Path, tmp_path: Path) -> None:
    there = '"device": {"type": "cpu", "index": null}'
    edit = replacing(there, there.replace("cpu", "cuda").replace("null", "0"))
    path = rewritten(saved, tmp_path / "a.pt2", {MODEL: edit, WEIGHTS: edit})
    with torch.no_grad():
        assert torch.equal(read_exported(path).module()(image()), net(image()))


def pickled(made: Path) -> bytes:
    buffer = io.BytesIO()
    torch.save({"x": Touches(made)}, buffer)
    return buffer.getvalue()


def test_sample_inputs_are_not_read(net: Net, saved: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    evil = {"sample_inputs/model.pt": lambda _: pickled(made)}
    path = rewritten(saved, tmp_path / "a.pt2", evil)
    with torch.no_grad():
        assert torch.equal(read_exported(path).module()(image()), net(image()))
    assert not made.exists()
    assert runs(path, made)


def runs(path: Path, made: Path) -> bool:
    """Whether torch's own reader, and running what it read, creates a file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.suppress(Exception):
            torch.export.load(path).module()(image())
    return made.exists()


def test_pickled_weights_are_refused(saved: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"

    def edit(content: bytes) -> bytes:
        held = json.loads(content)
        held["config"]["features.0.weight"]["use_pickle"] = True
        return json.dumps(held).encode()

    edits = {WEIGHTS: edit, "weights/weight_0": lambda _: pickled(made)}
    path = rewritten(saved, tmp_path / "a.pt2", edits)
    assert "pickled" in refusal(path)
    assert not made.exists()
    assert runs(path, made)


@pytest.mark.parametrize("kind", ["opaque_obj_0", "custom_obj_0", "tensor_0"])
def test_pickled_constants_are_refused(saved: Path, tmp_path: Path, kind: str) -> None:
    made = tmp_path / "made"
    entry = {
        "path_name": kind,
        "is_param": False,
        "use_pickle": True,
        "tensor_meta": None,
    }
    content = pickled(made) if kind == "tensor_0" else pickle.dumps(Touches(made))
    path = rewritten(
        saved,
        tmp_path / "a.pt2",
        {"constants_config.json": replacing("{}", json.dumps({"x": entry}))},
        {f"data/constants/{kind}": content},
    )
    refusal(path)
    assert not made.exists()
    if kind != "custom_obj_0":  # which torch hands to its own unpickler
        assert runs(path, made)


@pytest.mark.parametrize("where", ["weights", "constants"])
def test_older_members_are_left_out(
    net: Net, saved: Path, tmp_path: Path, where: str
) -> None:
    made = tmp_path / "made"
    more = {f"data/{where}/model.pt": pickled(made)}
    path = rewritten(saved, tmp_path / "a.pt2", more=more)
    with torch.no_grad():
        assert torch.equal(read_exported(path).module()(image()), net(image()))
    assert not made.exists()
    assert runs(path, made)


def test_compiled_code_is_left_out(net: Net, saved: Path, tmp_path: Path) -> None:
    more = {"data/aotinductor/model/x.so": b"\x7fELF"}
    path = rewritten(saved, tmp_path / "a.pt2", more=more)
    with torch.no_grad():
        assert torch.equal(read_exported(path).module()(image()), net(image()))


def test_guards_are_left_out(net: Net, saved: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    code = f"__import__('os').mkdir('{made}') is None"
    edit = replacing('"guards_code": []', f'"guards_code": [{json.dumps(code)}]')
    path = rewritten(saved, tmp_path / "a.pt2", {MODEL: edit})
    with torch.no_grad():
        assert torch.equal(read_exported(path).module()(image()), net(image()))
    assert not made.exists()
    assert runs(path, made)


def edited(change: Callable[[dict[str, Any]], None]) -> Edit:
    """The graph of a program, changed."""

    def edit(content: bytes) -> bytes:
        held = json.loads(content)
        change(held["graph_module"]["graph"])
        return json.dumps(held).encode()

    return edit


def test_sizes_are_not_evaluated(symbolic: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"

    def change(graph: dict[str, Any]) -> None:
        size = graph["tensor_values"]["x"]["sizes"][2]["as_expr"]
        size["expr_str"] = f"__import__('os').mkdir('{made}') or Integer(3)"

    path = rewritten(symbolic, tmp_path / "a.pt2", {MODEL: edited(change)})
    assert "is more than one" in refusal(path)
    assert not made.exists()
    assert runs(path, made)


def test_operators_do_not_write_files(saved: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"

    def change(graph: dict[str, Any]) -> None:
        node = next(n for n in graph["nodes"] if n["name"] == "gelu")
        node["target"] = "torch.ops.aten.from_file.default"
        node["inputs"] = [
            {"name": "filename", "arg": {"as_string": str(made)}, "kind": 1},
            {"name": "shared", "arg": {"as_bool": True}, "kind": 1},
            {"name": "size", "arg": {"as_int": 8}, "kind": 1},
        ]

    path = rewritten(saved, tmp_path / "a.pt2", {MODEL: edited(change)})
    assert "torch.ops.aten.from_file.default" in refusal(path)
    assert not made.exists()
    assert runs(path, made)


def test_operators_are_not_looked_up(saved: Path, tmp_path: Path) -> None:
    """torch 2.13 refuses it too, but only after it has found what to call."""
    edit = replacing("torch.ops.aten.gelu.default", "torch.os.mkdir")
    path = rewritten(saved, tmp_path / "a.pt2", {MODEL: edit})
    assert "torch.os.mkdir" in refusal(path)


NAMES: dict[str, Callable[[str], tuple[str, str]]] = {
    "node": lambda code: ('"gelu"', json.dumps(f"gelu = {code}; gelu")),
    "input": lambda code: ('{"name": "x"}', f'{{"name": {json.dumps(f"x={code}")}}}'),
    "argument": lambda code: ('["x"]', json.dumps([f"x={code}"])),
    "parameter": lambda code: (
        '"features.0.weight"',
        json.dumps(f'features.0.weight" + str({code}) + "'),
    ),
}


@pytest.mark.parametrize("kind", NAMES)
def test_names_do_not_become_code(saved: Path, tmp_path: Path, kind: str) -> None:
    made = tmp_path / "made"
    old, new = NAMES[kind](f"__import__('os').mkdir('{made}')")
    path = rewritten(saved, tmp_path / "a.pt2", {MODEL: replacing(old, new)})
    assert "no name" in refusal(path)
    assert not made.exists()


def test_arguments_of_other_classes_are_refused(saved: Path, tmp_path: Path) -> None:
    old, new = "builtins.dict", "collections.defaultdict"
    path = rewritten(saved, tmp_path / "a.pt2", {MODEL: replacing(old, new)})
    assert "collections.defaultdict" in refusal(path)


def test_tensors_larger_than_what_is_held(saved: Path, tmp_path: Path) -> None:
    def edit(content: bytes) -> bytes:
        held = json.loads(content)
        meta = held["config"]["features.0.weight"]["tensor_meta"]
        meta["sizes"], meta["strides"] = [{"as_int": 2**40}], [{"as_int": stride}]
        return json.dumps(held).encode()

    stride = 1
    path = rewritten(saved, tmp_path / "a.pt2", {WEIGHTS: edit})
    assert "larger than what is held" in refusal(path)
    stride = 0
    path = rewritten(saved, tmp_path / "b.pt2", {WEIGHTS: edit})
    assert "they have 4 TiB" in refusal(path)
    empty = {"weights/weight_0": lambda _: b""}
    path = rewritten(saved, tmp_path / "c.pt2", empty)
    assert "larger than what is held" in refusal(path)


def test_other_files(saved: Path, tmp_path: Path) -> None:
    torch.save({"w": torch.ones(1, dtype=F32)}, tmp_path / "a.pth")
    assert "another archive" in refusal(tmp_path / "a.pth")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(nn.ReLU()).save(str(tmp_path / "a.pt"))
    refusal(tmp_path / "a.pt")
    with zipfile.ZipFile(tmp_path / "old.pt2", "w") as archive:
        archive.writestr("serialized_exported_program.json", "{}")
    assert "2.7" in refusal(tmp_path / "old.pt2")
    with zipfile.ZipFile(tmp_path / "so.pt2", "w") as archive:
        archive.writestr("m/data/aotinductor/model/x.so", "")
    assert "compiled" in refusal(tmp_path / "so.pt2")
    (tmp_path / "empty.pt2").touch()
    assert "empty" in refusal(tmp_path / "empty.pt2")
    assert "directory" in refusal(tmp_path)
    (tmp_path / "text.pt2").write_text("graph")
    assert "no zip" in refusal(tmp_path / "text.pt2")
    assert "10.5 GiB" in refusal(zip_bomb(tmp_path / "bomb.pt2"))
    assert "max_bytes" in refusal(saved, max_bytes=1000)
    with pytest.raises(TypeError, match="max_bytes"):
        read_exported(saved, max_bytes=True)

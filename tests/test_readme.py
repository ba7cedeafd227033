"""The README says what is so: its examples run, its figures and files exist."""

import re
from pathlib import Path

import pytest

from tests.examples import assert_examples_print

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
TEXT = README.read_text(encoding="utf-8")
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")


def test_examples_print_what_the_readme_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # some save files
    blocks = PYTHON.findall(TEXT)
    assert len(blocks) > 5
    assert_examples_print(blocks, README.name)
    for name in ("spectrum.png", "layers.png", "report.html"):
        assert (tmp_path / name).stat().st_size > 5_000


@pytest.mark.parametrize("target", sorted(set(LINK.findall(TEXT))))
def test_what_the_readme_links_to_exists(target: str) -> None:
    assert (ROOT / target).exists()


def test_make_has_the_targets_that_the_readme_names() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"make ([a-z-]+)", TEXT))
    assert named
    for target in named:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target

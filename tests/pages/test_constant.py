"""The page of a network's constant: both ends, all steps, and names that are text."""

from __future__ import annotations

import base64
import dataclasses
import errno
import hashlib
import math
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from urllib.parse import unquote

import pytest
import torch

import convspec as cs
from convspec.extras import MissingExtra
from convspec.network.result import NetworkBound, Step
from convspec.pages.constant import MOST_OUTPUTS
from convspec.report.print import printable
from tests.html_report import CONTROL, FOREIGN, IMAGE, QUOTED, SCRIPT, Element, read_page
from tests.network.networks import IMAGE as SHAPE
from tests.network.networks import convolutional

pytest.importorskip("jinja2")

UPPER, LOWER = 45.678912, 3.2112345
HOSTILE = (IMAGE, SCRIPT, QUOTED, FOREIGN, CONTROL)
STEPS = (
    Step("product", 1234.5678, 0.1, "norms of all layers"),
    Step("ellipsoid", math.inf, 0.2, f"does not apply: {IMAGE} is {SCRIPT}; {CONTROL}"),
    Step("dense ellipsoid", UPPER, 1.0, f"multipliers searched, {QUOTED}"),
    Step("a pair", math.inf, 0.3, "interrupted: what was found before holds"),
)


def made(count: int = 3, **changes: object) -> NetworkBound:
    """A bound with hostile words, of so many outputs."""
    pairs = torch.full((count, count), 60.00001, dtype=torch.float64)
    pairs.fill_diagonal_(0.0)
    pair = torch.zeros(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    found = NetworkBound(LOWER, UPPER, STEPS, pair, (), HOSTILE, _pairs=pairs)
    return dataclasses.replace(found, **changes)


@pytest.fixture(scope="module")
def proven() -> NetworkBound:
    """With a certificate."""
    return cs.lipschitz(convolutional(), SHAPE, seconds=1)


@pytest.fixture(scope="module")
def text() -> str:
    return made().to_html(title=SCRIPT)


@pytest.fixture(scope="module")
def tree(text: str) -> Element:
    return read_page(text)


def table(tree: Element) -> list[list[str]]:
    rows = tree.one("table", id="ladder").one("tbody").all("tr")
    return [[x.text for x in row.all() if x.tag in ("th", "td")] for row in rows]


def svg(tree: Element) -> ET.Element:
    head, data = str(tree.one("img").attributes["src"]).split(",", 1)
    assert head == "data:image/svg+xml"
    return ET.fromstring(unquote(data))


# -- what it says -----------------------------------------------------------------------


def test_ends_are_in_words_and_rounded_outward(tree: Element) -> None:
    said = tree.one("section", id="meaning")
    upper, lower, *conditions = [x.text for x in said.one("dl").all("dt")]
    assert upper == "L \u2264 45.6790 certified"
    assert lower == "L \u2265 3.21123 attained"
    assert conditions == ["input units", "network", "what it does not say"]
    assert "evaluation mode" in said.text
    assert "Two inputs, 1.41 apart" in said.text
    assert [x.one("b").text for x in tree.one("ul", **{"class": "tiles"}).all("li")] == [
        "\u2264 45.68",
        "\u2265 3.211",
        "14.3",  # 14.22, up
        "1.6 s",
    ]


def test_every_step_is_a_row_and_the_reason_is_whole(tree: Element) -> None:
    assert table(tree) == [
        ["product", "\u2264 1234.57", "0.1 s", "norms of all layers"],
        ["ellipsoid", "-", "0.2 s", " ".join(printable(STEPS[1].words).split())],
        ["dense ellipsoid", "\u2264 45.6790", "1.0 s", STEPS[2].words],
        ["a pair", "-", "0.3 s", STEPS[3].words],
        ["a pair", "\u2265 3.21123", "", "two inputs 1.41 apart"],
    ]
    rows = tree.one("table", id="ladder").one("tbody").all("tr")
    kinds = [row.attributes["class"] for row in rows]
    assert kinds == ["upper", "none", "best", "none", "pair"]


def test_ends_of_a_search_are_above_and_below(proven: NetworkBound) -> None:
    page = read_page(proven.to_html())
    assert page.one("h1").text == "A network"
    rows = table(page)
    assert len(rows) == len(proven.steps) + 1
    for row, step in zip(rows, proven.steps, strict=False):
        shown = float(row[1].removeprefix("\u2264 "))
        assert step.upper <= shown <= step.upper * (1 + 1e-5)
    shown = float(rows[-1][1].removeprefix("\u2265 "))
    assert proven.lower * (1 - 1e-5) <= shown <= proven.lower


def test_units_are_told(tree: Element) -> None:
    assert "as they enter the model" in tree.text
    scaled = read_page(made(scale=(0.229, 0.224)).to_html())
    assert "before a division by 0.229, 0.224, by channel" in scaled.text
    assert "as they enter the model" not in scaled.text


def test_without_a_pair_nothing_is_claimed_from_below() -> None:
    page = read_page(made(lower=0.0, pair=None).to_html())
    assert "no pair" in page.one("section", id="meaning").text
    assert "attained" not in page.text
    assert len(table(page)) == len(STEPS)


def test_without_a_finite_bound_nothing_is_claimed_from_above() -> None:
    steps = (Step("product", math.inf, 0.1, "norms of all layers"),)
    page = read_page(made(steps=steps, upper=math.inf, _pairs=None).to_html())
    assert "No step has given a finite bound" in page.text
    assert "certified" not in page.one("section", id="meaning").one("dl").text
    assert "nan" not in page.text


@pytest.mark.parametrize("upper", [0.0, 1e-320, 1e-300, 1e300, 1.7e308])
@pytest.mark.parametrize("lower", [0.0, 1e-310])
def test_numbers_of_all_sizes(lower: float, upper: float) -> None:
    steps = (Step("product", upper, 0.1, "norms"),)
    page = read_page(made(lower=min(lower, upper), upper=upper, steps=steps).to_html())
    shown = float(table(page)[0][1].removeprefix("\u2264 "))
    assert upper <= shown
    assert "nan" not in page.text


# -- pairs of outputs -------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 3, MOST_OUTPUTS])
def test_few_pairs_are_a_table(count: int) -> None:
    section = read_page(made(count).to_html()).one("section", id="pairs")
    rows = section.one("table").one("tbody").all("tr")
    cells = [[x.text for x in row.all("td")] for row in rows]
    assert len(cells) == count
    for i, row in enumerate(cells):
        assert row == ["" if i == j else "60.01" for j in range(count)]
    assert "\u2264 64.60" in section.text  # sqrt(2) 45.678912 = 64.5997...


def test_many_pairs_are_a_sentence() -> None:
    section = read_page(made(MOST_OUTPUTS + 1).to_html()).one("section", id="pairs")
    assert section.all("table") == []
    assert f"There are {MOST_OUTPUTS + 1} outputs" in section.text


def test_no_pairs_no_section() -> None:
    page = read_page(made(_pairs=None).to_html())
    assert page.all("section", id="pairs") == []


# -- to check it ------------------------------------------------------------------------


def test_certificates_are_named_with_their_network(proven: NetworkBound) -> None:
    section = read_page(proven.to_html()).one("section", id="check")
    held = proven.certificate
    assert held is not None
    assert held.digest in section.text
    assert "1x8x8" in section.text
    assert "convspec verify net.certificate SOURCE" in section.text


def test_the_code_checks_it(proven: NetworkBound, tmp_path: Path) -> None:
    code = read_page(proven.to_html()).one("section", id="check").all("code")[0]
    lines = "".join(code.own).replace("net.certificate", str(tmp_path / "net"))
    save, check = lines.splitlines()
    names = {"bound": proven, "cs": cs, "model": convolutional()}
    eval(save, names)
    assert proven.upper <= eval(check, names).upper <= proven.upper * (1 + 1e-4)


def test_products_are_computed_again() -> None:
    section = read_page(made().to_html()).one("section", id="check")
    assert "has no certificate" in section.text
    code = "".join(section.all("code")[0].own)
    names = {"cs": cs, "model": convolutional(), "input_shape": SHAPE}
    assert eval(code, names).best.name in ("product", "fused", "LipLT")


def test_pages_of_checked_certificates(proven: NetworkBound, tmp_path: Path) -> None:
    proven.save(tmp_path / "net")
    again = cs.verify(tmp_path / "net", convolutional())
    page = read_page(again.to_html())
    assert table(page)[0][3] == "checked in one passage"
    assert "No pair of inputs is kept" in page.text


# -- text and code ----------------------------------------------------------------------


def test_names_are_text(tree: Element, text: str) -> None:
    assert tree.one("h1").text == SCRIPT
    assert tree.one("title").text == f"{SCRIPT}: Lipschitz constant"
    assert IMAGE not in text
    assert SCRIPT not in text
    assert tree.all("script") == []
    warnings = [x.text for x in tree.one("ul", id="warnings").all("li")]
    assert warnings == [" ".join(printable(name).split()) for name in HOSTILE]
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e\ud800]", text)


def test_names_are_text_in_the_figure_too(tree: Element) -> None:
    assert "".join(svg(tree).itertext()).count("<img") == 1


def test_nothing_outside_is_asked_for(tree: Element) -> None:
    for element in tree.all():
        for name in ("src", "href", "srcset", "action", "data", "xlink:href"):
            value = element.attributes.get(name)
            assert value is None or value.startswith(("#", "data:"))
        assert not any(x.startswith("on") or x == "style" for x in element.attributes)
    for words in ("@import", "url(", "http:", "https:", "//"):
        assert words not in tree.one("style").text
    for node in svg(tree).iter():
        assert node.tag.rsplit("}")[-1] not in ("script", "foreignObject", "a")


def test_policy_allows_the_one_style_and_no_script(tree: Element) -> None:
    policy = tree.all("meta", http_equiv="Content-Security-Policy")[0]
    said = str(policy.attributes["content"])
    code = "".join(tree.one("style").own)
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in said
    assert "default-src 'none'" in said
    assert "script-src" not in said  # none, by default


def test_ids_are_unique(tree: Element) -> None:
    ids = [x.attributes["id"] for x in tree.all() if "id" in x.attributes]
    assert len(ids) == len(set(ids))


# -- the file ---------------------------------------------------------------------------


def test_the_file_is_the_text_and_the_same_again(tmp_path: Path, text: str) -> None:
    assert made().to_html(tmp_path / "b.html", title=SCRIPT) is None
    assert (tmp_path / "b.html").read_text(encoding="utf-8") == text


def test_file_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "b.html"
    path.write_text("old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr("convspec.written.os.replace", full)
    with pytest.raises(OSError, match="no space"):
        made().to_html(path)
    assert [x.name for x in tmp_path.iterdir()] == ["b.html"]
    assert path.read_text() == "old"


def test_without_jinja2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtra, match=r"jinja2 must .*convspec\[html\]"):
        made().to_html(tmp_path / "b.html")
    assert list(tmp_path.iterdir()) == []


# -- in notebooks -----------------------------------------------------------------------


def test_notebooks_have_the_table_without_jinja2(
    tree: Element, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    found = made()._repr_html_()
    assert IMAGE not in found
    assert SCRIPT not in found
    assert "\x1b" not in found
    fragment = read_page(found)
    rows = [[x.text for x in row.all("td")] for row in fragment.one("tbody").all("tr")]
    assert rows == table(tree)
    assert fragment.all("b")[0].text == "\u2264 45.6790"
    assert fragment.all("p")[0].text == " ".join(repr(made()).splitlines()[0].split())
    assert len(fragment.all("p")) == 1 + len(HOSTILE)
    assert len(found) < 4000

"""The HTML report: structure, self-containedness, what is text and what is code."""

from __future__ import annotations

import base64
import errno
import hashlib
import math
import re
import sys
import xml.etree.ElementTree as ET
from importlib import resources
from pathlib import Path
from urllib.parse import unquote

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from torch import nn

import convspec as cs
from convspec.extras import MissingExtra
from convspec.pages import html
from convspec.report.columns import TABLE as COLUMNS
from convspec.report.print import printable
from convspec.report.quantities import QUANTITIES
from convspec.report.statements import GUARANTEES, METHODS, statements
from tests.html_report import (
    FOREIGN,
    IMAGE,
    MAX_FLOPS,
    NAMES,
    QUOTED,
    SCRIPT,
    Element,
    hostile_model,
    hostile_report,
    read_page,
)

pytest.importorskip("jinja2")

INF = {"inf": math.inf, "-inf": -math.inf}


@pytest.fixture(scope="module")
def report() -> cs.ModelReport:
    return hostile_report()


@pytest.fixture(scope="module")
def text(report: cs.ModelReport, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("html") / "report.html"
    report.to_html(path)
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def small() -> cs.ModelReport:
    """Quick to draw."""
    torch.manual_seed(0)
    return cs.analyze(nn.Conv1d(1, 2, 3), (1, 5))


@pytest.fixture(scope="module")
def tree(text: str) -> Element:
    return read_page(text)


def sections(tree: Element) -> list[Element]:
    return tree.all("section", **{"class": "layer"})


# -- structure --------------------------------------------------------------------------


def test_it_is_one_document_for_any_screen(tree: Element, text: str) -> None:
    assert text.startswith("<!DOCTYPE html>\n")
    page = tree.one("html")
    assert page.attributes["lang"] == "en"
    assert page.all("meta", name="viewport")[0].attributes["content"] == (
        "width=device-width, initial-scale=1"
    )
    assert page.one("title").text == "Sequential: singular values"
    assert page.one("h1").text == "Sequential"
    assert len(page.all("main")) == 1


def test_ids_are_unique_and_links_lead_to_them(tree: Element) -> None:
    ids = [x.attributes["id"] for x in tree.all() if "id" in x.attributes]
    assert len(ids) == len(set(ids))
    targets = [x.attributes["href"] for x in tree.all("a")]
    assert all(target and target.startswith("#") for target in targets)
    assert {str(target)[1:] for target in targets} <= set(ids)


def test_every_layer_has_a_row_a_section_and_the_way_back(
    tree: Element, report: cs.ModelReport
) -> None:
    rows = tree.one("table", id="layers").one("tbody").all("tr")
    assert len(rows) == len(sections(tree)) == len(report) == len(NAMES)
    for place, (row, section, name) in enumerate(
        zip(rows, sections(tree), NAMES, strict=True), 1
    ):
        link = row.one("th").one("a")
        assert link.text == " ".join(printable(name).split())
        assert link.attributes["href"] == f"#{section.attributes['id']}"
        assert section.one("h2").text.startswith(f"{link.text} \u00b7 ")
        back = section.one("a", **{"class": "back"})
        assert back.attributes["href"] == f"#{row.attributes['id']}" == f"#row-{place}"


def test_neighbours_are_linked(tree: Element) -> None:
    found = sections(tree)
    assert [x.attributes["href"] for s in found for x in s.all("a", rel="next")] == [
        f"#layer-{place}" for place in range(2, len(found) + 1)
    ]
    assert [x.attributes["href"] for s in found for x in s.all("a", rel="prev")] == [
        f"#layer-{place}" for place in range(1, len(found))
    ]


# -- self-contained ---------------------------------------------------------------------

ADDRESSES = (
    "src",
    "href",
    "srcset",
    "action",
    "data",
    "poster",
    "background",
    "xlink:href",
)


def test_nothing_outside_is_asked_for(tree: Element) -> None:
    for element in tree.all():
        for name in ADDRESSES:
            value = element.attributes.get(name)
            assert value is None or value.startswith(("#", "data:")), (element.tag, value)
        assert element.tag not in ("iframe", "object", "embed", "base", "video", "audio")
    assert [x.attributes["rel"] for x in tree.all("link")] == ["icon"]
    for words in ("@import", "url(", "http:", "https:", "//"):
        assert words not in tree.one("style").text
    script = "".join(tree.one("script").own)
    for words in ("fetch", "XMLHttpRequest", "import(", "eval", "innerHTML", "http"):
        assert words not in script


def test_figures_ask_for_nothing_either(tree: Element) -> None:
    for image in tree.all("img"):
        svg = _svg(image)
        for node in svg.iter():
            assert node.tag.rsplit("}")[-1] not in ("script", "foreignObject", "a")
            for name, value in node.attrib.items():
                if name.endswith("href"):
                    assert value.startswith(("#", "data:image/png;base64,"))
                assert "url(" not in value or "url(#" in value


def test_policy_allows_the_one_style_and_the_one_script(tree: Element) -> None:
    policy = tree.all("meta", http_equiv="Content-Security-Policy")[0]
    found = dict(
        part.strip().split(" ", 1)
        for part in str(policy.attributes["content"]).split(";")
    )
    assert found["default-src"] == "'none'"
    assert found["img-src"] == "data:"
    for tag in ("style", "script"):
        code = "".join(tree.one(tag).own)
        digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
        assert found[f"{tag}-src"] == f"'sha256-{digest}'"
    # inline handlers and styles would be refused
    names = {name for x in tree.all() for name in x.attributes}
    assert not any(name.startswith("on") or name == "style" for name in names)


def _svg(image: Element) -> ET.Element:
    uri = str(image.attributes["src"])
    head, data = uri.split(",", 1)
    assert head == "data:image/svg+xml"
    return ET.fromstring(unquote(data))


def test_size_is_in_proportion(text: str) -> None:
    assert len(text) < 1e6


# -- hostile names ----------------------------------------------------------------------


def test_names_are_text(tree: Element, text: str) -> None:
    assert IMAGE not in text
    assert SCRIPT not in text
    assert len(tree.all("script")) == len(tree.all("style")) == 1
    assert all(str(x.attributes["src"]).startswith("data:") for x in tree.all("img"))
    assert tree.one("h2", id="name-1").text == f"{IMAGE} \u00b7 Conv2d"
    assert tree.one("h2", id="name-3").text.startswith(" ".join(QUOTED.split()))
    assert "{{ 7 * 7 }}" in tree.one("h2", id="name-4").text  # not a template


def test_names_are_text_in_the_figure_too(tree: Element) -> None:
    shown = "".join(_svg(tree.all("img")[0]).itertext())
    assert "$x$" in shown  # not mathematics
    for name in (IMAGE, SCRIPT, FOREIGN):
        assert name in shown


def test_what_does_not_print_is_escaped(text: str, tree: Element) -> None:
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e\ud800]", text)
    assert tree.one("h2", id="name-5").text == (
        r"esc\x1b[31m\n\u202eleft \ud800" + " \N{MIDDLE DOT} Conv2d"
    )


def test_title_is_text(small: cs.ModelReport, tmp_path: Path) -> None:
    small.to_html(tmp_path / "report.html", title="<b>A & B</b>")
    page = read_page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert page.one("h1").text == "<b>A & B</b>"
    assert page.one("title").text == "<b>A & B</b>: singular values"


# -- the table --------------------------------------------------------------------------


def test_headings_are_the_columns(tree: Element) -> None:
    headings = tree.one("table", id="layers").one("thead").all("th")
    assert [x.attributes["data-kind"] for x in headings[1:]] == [c.kind for c in COLUMNS]
    assert [x.attributes["title"] for x in headings[1:]] == [c.meaning for c in COLUMNS]
    assert headings[-1].text == "time [s]"
    assert all(x.attributes["scope"] == "col" for x in headings)


@pytest.mark.parametrize("place", range(len(NAMES)), ids=ascii)
def test_cells_are_those_of_the_table_in_text(
    tree: Element, report: cs.ModelReport, place: int
) -> None:
    layer = report.layers[place]
    row = tree.one("table", id="layers").one("tbody").all("tr")[place]
    number, *cells = [x for x in row.children if x.tag in ("th", "td")]
    assert number.text == number.attributes["data-key"] == str(place + 1)
    for cell, column in zip(cells, COLUMNS, strict=True):
        assert cell.text == " ".join(column.cell(layer).split())
        key, shown = column.key(layer), str(cell.attributes["data-key"])
        if key is None:
            assert shown == ""
        elif isinstance(key, str):
            assert shown == printable(key)
        else:
            assert (INF[shown] if shown in INF else float(shown)) == key
    for word in (layer.type, layer.geometry, layer.method):
        assert word in str(row.attributes["data-words"])


def test_bounds_sort_by_an_end_that_is_known(report: cs.ModelReport) -> None:
    enclosed = report.layers[0]
    keys = {column.name: column.key(enclosed) for column in COLUMNS}
    assert enclosed.envelope is not None
    assert keys["norm"] == enclosed.envelope.norm[0]
    assert keys["smallest"] == enclosed.envelope.smallest[1]
    assert keys["condition_number"] == enclosed.envelope.condition_number[0]
    assert {column.key(report["unknown"]) for column in COLUMNS[4:9]} == {None}


# -- the sections -----------------------------------------------------------------------


@pytest.mark.parametrize("place", range(len(NAMES)), ids=ascii)
def test_sections_state_every_number_with_its_guarantee(
    tree: Element, report: cs.ModelReport, place: int
) -> None:
    layer, section = report.layers[place], sections(tree)[place]
    rows = section.one("table", **{"class": "numbers"}).one("tbody").all("tr")
    said = statements(layer)
    assert len(rows) == len(said) >= len(QUANTITIES) + 2
    for row, statement in zip(rows, said, strict=True):
        assert row.one("td", **{"class": "value"}).text == statement.value
        assert row.one("span").text == statement.guarantee
        assert statement.guarantee in GUARANTEES
        assert statement.meaning
    assert METHODS[layer.method].replace("sigma_1", "σ₁") in section.text
    assert f"Why: {layer.reason}." in section.text
    for words in layer.left_out:
        assert f"Left out: {' '.join(words.split())}." in section.text


def test_exact_numbers_have_the_digits_their_error_leaves(
    report: cs.ModelReport,
) -> None:
    spec = report.layers[1].spectrum
    assert spec is not None
    found = {s.title: s for s in statements(report.layers[1])}
    norm = found["norm sigma_1"]
    assert (norm.guarantee, float(norm.value)) == (
        "exact",
        pytest.approx(spec.norm, 1e-9),
    )
    error = float(re.search(r"at most (\S+),", norm.how)[1])
    assert np.max(spec.error) <= error < 1.11 * np.max(spec.error)
    assert found["numerical rank"].value == f"{spec.rank()} of {min(spec.shape)}"


def test_values_below_their_error_are_enclosed(report: cs.ModelReport) -> None:
    singular = report[QUOTED]
    found = {s.title: s for s in statements(singular)}
    assert singular.spectrum.values[-1] <= singular.spectrum.error
    for title, side in (
        ("sigma_min", "<="),
        ("condition number", ">="),
        ("log volume", "<="),
    ):
        assert found[title].value.startswith(f"{side} ")
        assert found[title].guarantee == "enclosure"
        assert "not small beside the smallest" in found[title].how


def test_enclosures_are_rounded_outward(report: cs.ModelReport) -> None:
    row = report.layers[0]
    band = row.envelope
    found = {s.title: s for s in statements(row)}
    for title, (lower, upper) in {
        "norm sigma_1": band.norm,
        "stable rank": row.quantities["stable_rank"],
        "nuclear norm": row.quantities["nuclear_norm"],
        "effective rank": row.quantities["effective_rank"],
    }.items():
        statement = found[title]
        assert statement.guarantee == "enclosure"
        least, most = map(float, statement.value.split(".."))
        assert least <= lower <= upper <= most
        assert least == pytest.approx(lower, rel=1e-5)
    assert found["sigma_min"].value.startswith("<= ")
    assert float(found["sigma_min"].value[3:]) >= band.smallest[1]
    assert found["circular norm"].guarantee == "other operator"


def test_estimates_say_that_they_are(report: cs.ModelReport) -> None:
    row = report.layers[0]
    found = {s.title: s for s in statements(row)}
    assert row.estimates
    for q in QUANTITIES:
        title = f"{q.title}, estimated"
        assert (title in found) == (q.name in row.estimates)
        if title in found:
            assert found[title].guarantee == "estimate"
            assert "standard error" in found[title].how
            assert found[title].value.startswith("~")


def test_what_is_unknown_says_so(report: cs.ModelReport) -> None:
    for statement in statements(report["unknown"]):
        assert (statement.value, statement.guarantee) == ("-", "unknown")


def test_figures_are_described_and_there(tree: Element) -> None:
    counts = [len(section.all("img")) for section in sections(tree)]
    assert counts == [2, 2, 1, 2, 2, 0]
    for image in tree.all("img"):
        assert image.attributes["alt"]
        assert int(str(image.attributes["width"])) > 300
        assert _svg(image).tag.endswith("svg")


@pytest.mark.parametrize(("kernel", "pictures"), [(1, 1), (3, 2)])
def test_the_matrix_is_drawn_unless_the_kernel_is_one_tap(
    kernel: int, pictures: int
) -> None:
    torch.manual_seed(0)
    report = cs.analyze(nn.Conv2d(1, 2, kernel), (1, 40, 40))
    (section,) = sections(read_page(html.page(report)))
    assert len(section.all("img")) == pictures
    assert "singular value" in section.all("figcaption")[0].text
    assert ("The matrix" in section.text) == (pictures == 2)


def test_long_names_leave_room_in_the_figure() -> None:
    model = nn.Sequential()
    model.add_module("a" * 300, nn.Conv1d(1, 1, 2))
    model.add_module("b" * 40, nn.Conv1d(1, 1, 2))
    page = read_page(html.page(cs.analyze(model, (1, 5))))
    shown = "".join(_svg(page.all("img")[0]).itertext())
    assert "\N{HORIZONTAL ELLIPSIS}" + 39 * "a" in shown
    assert 40 * "a" not in shown
    assert 40 * "b" in shown


def test_hatches_of_the_overview_are_seen(tree: Element) -> None:
    """Lines in full colour, on a ground that is not."""
    svg = _svg(tree.all("img")[0])
    patterns = svg.findall(".//{*}pattern")
    assert len(patterns) == 1  # of the layer that is only enclosed
    ground = patterns[0].find("{*}rect")
    assert ground is not None
    assert 0 < float(ground.attrib["fill-opacity"]) < 1
    name = patterns[0].attrib["id"]
    bars = [x for x in svg.iter() if f"#{name}" in x.attrib.get("style", "")]
    assert bars
    assert not any("opacity" in bar.attrib["style"] for bar in bars)


def test_guarantees_that_occur_are_explained(tree: Element) -> None:
    said = {x.text for s in sections(tree) for x in s.all("td") for x in x.all("span")}
    first, *_ = tree.one("section", id="overview").all("dl", **{"class": "words"})
    assert {x.text for x in first.all("dt")} == said
    assert said == {"exact", "enclosure", "estimate", "other operator", "unknown"}


# -- to repeat it -----------------------------------------------------------------------


def test_versions_settings_and_date_are_there(
    tree: Element, report: cs.ModelReport
) -> None:
    origin = report.provenance
    assert origin is not None
    said = tree.one("dl", id="origin")
    words = [x.text for x in said.all("dt")]
    facts = dict(zip(words, [x.text for x in said.all("dd")], strict=True))
    assert facts["convspec"] == cs.__version__
    assert facts["torch"] == torch.__version__
    assert facts["numpy"] == np.__version__
    assert facts["input shape"] == "(1, 15, 15)"
    assert facts["date"] == origin.date
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", origin.date)
    assert tree.one("code").text == origin.call


def test_the_call_repeats_the_analysis(report: cs.ModelReport) -> None:
    assert report.provenance is not None
    call = report.provenance.call
    again = eval(call, {"convspec": cs, "model": hostile_model()})
    assert again.provenance.call == call
    for row, other in zip(report, again, strict=True):
        assert (row.name, row.method) == (other.name, other.method)
        if row.spectrum is not None:
            assert (row.spectrum.values == other.spectrum.values).all()
    assert f"max_flops={MAX_FLOPS:g}" in call


@pytest.mark.parametrize("value", [1e11, 123456789.5, 0.1, 7, 1e-300])
def test_settings_are_written_as_they_were(value: float) -> None:
    layer = nn.Conv1d(1, 1, 2)
    origin = cs.analyze(layer, (1, 4), worst_case_seconds=value).provenance
    assert origin is not None
    written = re.search(r"worst_case_seconds=([^,]+),", origin.call)
    assert written is not None
    assert float(written[1]) == value


def test_inputs_that_were_passed_are_named_by_their_shapes() -> None:
    report = cs.analyze(nn.Conv1d(1, 1, 2), inputs=torch.zeros(3, 1, 4))
    assert "inputs=..." in report.provenance.call
    assert "[[3, 1, 4]]" in read_page(html.page(report)).one("dl", id="origin").text


# -- odd reports ------------------------------------------------------------------------


def test_report_of_nothing() -> None:
    page = read_page(html.page(cs.analyze(nn.Sequential(nn.ReLU()), (3,))))
    assert page.all("table") == page.all("img") == []
    assert "no convolutions found on input (3,)" in page.text
    assert "a..b" not in page.text


def test_heading_of_a_bare_layer_and_the_largest_norm(small: cs.ModelReport) -> None:
    page = read_page(html.page(cs.analyze(nn.Conv1d(1, 1, 3), (1, 5))))
    assert page.one("h2", id="name-1").text == "Conv1d"
    norm = small.layers[0].spectrum.norm
    tiles = read_page(html.page(small)).one("ul", **{"class": "tiles"})
    values = [tile.one("b").text for tile in tiles.all("li")]
    assert len(small) == 1
    assert f"{norm:.4g}" in values


def test_report_put_together_by_hand(small: cs.ModelReport) -> None:
    page = read_page(html.page(cs.ModelReport(small.layers, (1, 5))))
    assert page.one("h1").text == "convolutions"
    assert "put together by hand" in page.text


# -- the file ---------------------------------------------------------------------------


def test_the_same_report_gives_the_same_page(small: cs.ModelReport) -> None:
    assert html.page(small) == html.page(small)


def test_no_figure_stays_open_and_no_style_changes(small: cs.ModelReport) -> None:
    before, open_before = dict(mpl.rcParams), plt.get_fignums()
    html.page(small)
    assert plt.get_fignums() == open_before
    assert dict(mpl.rcParams) == before


def test_file_is_written_whole_or_not_at_all(
    small: cs.ModelReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr("convspec.written.os.replace", full)
    with pytest.raises(OSError, match="no space"):
        small.to_html(path)
    assert [x.name for x in tmp_path.iterdir()] == ["report.html"]
    assert path.read_text() == "old"


def test_without_jinja2(
    report: cs.ModelReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtra, match=r"jinja2 must .*convspec\[html\]"):
        report.to_html(tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []


def test_templates_are_in_the_package() -> None:
    folder = resources.files("convspec.pages") / "templates"
    names = {"report.html", "layer.html", "report.css", "report.js"}
    assert {x.name for x in folder.iterdir()} >= names

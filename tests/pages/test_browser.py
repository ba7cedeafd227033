"""The HTML report in a real browser: sorting, filtering, walking, and nothing outside."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import convspec as cs
from convspec.report.print import printable
from tests.html_report import IMAGE, NAMES, QUOTED, SCRIPT, hostile_report

pytestmark = pytest.mark.browser

LONG = "stage.block.branch." * 12 + "conv"
PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 3, "mobile": True}


@pytest.fixture(scope="module")
def report() -> cs.ModelReport:
    """Hostile names, the last one too long for any screen."""
    found = hostile_report()
    *rows, last = found.layers
    rows.append(dataclasses.replace(last, name=LONG))
    return dataclasses.replace(found, layers=tuple(rows))


@pytest.fixture(scope="module")
def address(report: cs.ModelReport, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("browser") / "report.html"
    report.to_html(path)
    return path.as_uri()


def start(profile: Path, **preferences: Any) -> Any:
    """Chromium, headless and without a network."""
    programs = [shutil.which("chromium"), shutil.which("chromedriver")]
    if None in programs:
        pytest.fail(
            "browser tests need chromium and chromedriver on the path; on Debian: "
            "apt-get install chromium chromium-driver",
            pytrace=False,
        )
    try:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service
    except ImportError as error:
        pytest.fail(
            f"browser tests need selenium, as in requirements.txt: {error}", pytrace=False
        )
    options = webdriver.ChromeOptions()
    options.binary_location = programs[0]
    for argument in (
        "headless",
        "no-sandbox",
        "disable-gpu",
        "disable-dev-shm-usage",
        "disable-background-networking",
        "host-resolver-rules=MAP * ~NOTFOUND",
        "window-size=1200,900",
        f"user-data-dir={profile}",
    ):
        options.add_argument(f"--{argument}")
    options.add_experimental_option("prefs", preferences)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options, Service(programs[1]))


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    driver = start(tmp_path_factory.mktemp("profile"))
    yield driver
    driver.quit()


@pytest.fixture
def page(chromium: Any, address: str) -> Iterator[Any]:
    """The report, just opened; behind each test, whatever went wrong in it."""
    chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    chromium.get("about:blank")
    for kind in ("browser", "performance"):
        chromium.get_log(kind)
    chromium.get(address)
    yield chromium
    assert chromium.get_log("browser") == []  # errors and refusals of the policy
    assert requests(chromium) <= {address}
    assert "chromewebdata" not in chromium.current_url


def requests(driver: Any) -> set[str]:
    """Addresses asked for since the log was last read, but for data within the page."""
    messages = [
        json.loads(entry["message"])["message"] for entry in driver.get_log("performance")
    ]
    asked = {
        message["params"]["request"]["url"].split("#")[0]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    }
    return {url for url in asked if not url.startswith("data:")}


def names(driver: Any) -> list[str]:
    """Of the rows that can be seen, from top to bottom."""
    return driver.execute_script(
        "return Array.from(document.querySelectorAll('#layers tbody tr'))"
        ".filter(row => row.offsetParent).map(row => row.cells[1].textContent)"
    )


def find(driver: Any, css: str) -> Any:
    return driver.find_element("css selector", css)


def heading(driver: Any, name: str) -> Any:
    """A column's heading and the button in it."""
    for found in driver.find_elements("css selector", "#layers thead th"):
        if found.text.split("\N{THIN SPACE}")[0] == name:
            return found, found.find_element("tag name", "button")
    raise AssertionError(f"no column {name}")


def visible(driver: Any) -> list[str]:
    """The parts of the page that can be seen."""
    return driver.execute_script(
        "return Array.from(document.querySelectorAll('main > section'))"
        ".filter(part => part.offsetParent).map(part => part.id)"
    )


def at(driver: Any, fragment: str) -> bool:
    return driver.current_url.endswith(f"#{fragment}")


SHOWN = [printable(name) for name in (*NAMES[:-1], LONG)]


# -- as it opens ------------------------------------------------------------------------


def test_it_opens_with_all_layers_and_nothing_else(page: Any) -> None:
    assert names(page) == SHOWN
    assert visible(page) == ["overview"]
    assert page.title == "Sequential: singular values"
    assert find(page, "#count").text == f"{len(SHOWN)} of {len(SHOWN)} layers"


def test_only_the_file_itself_is_read(page: Any, address: str) -> None:
    assert requests(page) == {address}  # the log does see requests


def test_names_are_shown_and_not_run(page: Any) -> None:
    from selenium.common.exceptions import NoAlertPresentException

    with pytest.raises(NoAlertPresentException):
        _ = page.switch_to.alert.text
    text = find(page, "#layers").text
    assert IMAGE in text
    assert SCRIPT in text
    assert QUOTED in text
    assert page.execute_script("return document.scripts.length") == 1
    assert page.find_elements("css selector", "img[src=x]") == []


def test_figure_at_a_glance_is_drawn(page: Any) -> None:
    width = "return document.querySelector('#overview img').naturalWidth"
    assert page.execute_script(width) > 300


# -- sorting ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "quantity"),
    [("σ₁", "norm"), ("rank", "rank"), ("cond", "condition_number")],
    ids=["norm", "rank", "cond"],
)
def test_numbers_sort_from_the_largest_and_back(
    page: Any, report: cs.ModelReport, column: str, quantity: str
) -> None:
    def size(name: str) -> float:
        known = report.layers[SHOWN.index(name)].quantities[quantity]
        assert known is not None
        return known.lower if isinstance(known, cs.Enclosure) else known

    cell, button = heading(page, column)
    assert cell.get_attribute("aria-sort") == "none"
    button.click()
    assert cell.get_attribute("aria-sort") == "descending"
    *known, last = names(page)
    assert last == LONG  # of which nothing is known
    assert [size(x) for x in known] == sorted(map(size, SHOWN[:-1]), reverse=True)
    button.click()
    assert cell.get_attribute("aria-sort") == "ascending"
    *known, last = names(page)
    assert last == LONG
    assert [size(x) for x in known] == sorted(map(size, SHOWN[:-1]))


def test_words_sort_from_the_first(page: Any) -> None:
    _, button = heading(page, "method")
    button.click()
    methods = [
        row.get_attribute("data-method")
        for row in page.find_elements("css selector", "#layers tbody tr")
    ]
    assert methods == sorted(methods)
    assert len(set(methods)) == 4


def test_one_column_is_sorted_at_a_time_and_order_returns(page: Any) -> None:
    cells = [heading(page, name) for name in ("layer", "input", "#")]
    for cell, button in cells:
        button.click()
        states = [
            found.get_attribute("aria-sort")
            for found in page.find_elements("css selector", "#layers thead th")
        ]
        assert states.count("none") == len(states) - 1
        assert cell.get_attribute("aria-sort") == "ascending" or cell is cells[1][0]
    assert names(page) == SHOWN


def test_the_keyboard_sorts_too(page: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    cell, button = heading(page, "layer")
    button.send_keys(Keys.ENTER)
    assert cell.get_attribute("aria-sort") == "ascending"


# -- filtering --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "count"),
    [
        ("<img", 1),
        ("ALERT", 2),
        ("dense", 3),
        ("1x1 fourier", 1),
        ("otherconvolution", 1),
        ("nothing like it", 0),
        ("  ", 6),
    ],
)
def test_rows_are_filtered_by_every_word(page: Any, typed: str, count: int) -> None:
    find(page, "#filter").send_keys(typed)
    assert len(names(page)) == count
    assert find(page, "#count").text == f"{count} of 6 layers"


def test_filter_is_undone(page: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    box = find(page, "#filter")
    box.send_keys("fourier")
    assert names(page) == [QUOTED]
    for _ in "fourier":
        box.send_keys(Keys.BACKSPACE)
    assert names(page) == SHOWN


def test_enter_in_the_filter_leaves_the_page_alone(page: Any, address: str) -> None:
    from selenium.webdriver.common.keys import Keys

    find(page, "#filter").send_keys(f"dense{Keys.ENTER}")
    assert page.current_url == address
    assert len(names(page)) == 3


def test_methods_are_chosen_and_sorting_keeps_the_choice(page: Any) -> None:
    from selenium.webdriver.support.ui import Select

    choice = Select(find(page, "#method"))
    assert [x.text for x in choice.options] == [
        "all",
        "dense",
        "envelope",
        "fourier",
        "none",
    ]
    choice.select_by_visible_text("dense")
    assert len(names(page)) == 3
    heading(page, "layer")[1].click()
    assert len(names(page)) == 3
    assert names(page) != SHOWN


# -- walking ----------------------------------------------------------------------------


@pytest.mark.parametrize("place", [1, 2, 3, 6])
def test_a_layer_opens_and_the_way_back_ends_at_its_row(page: Any, place: int) -> None:
    find(page, f"#row-{place} a").click()
    assert at(page, f"layer-{place}")
    assert visible(page) == [f"layer-{place}"]
    assert find(page, f"#layer-{place} h2").text.startswith(SHOWN[place - 1])
    assert page.execute_script("return window.scrollY") == 0
    find(page, f"#layer-{place} .back").click()
    assert at(page, f"row-{place}")
    assert visible(page) == ["overview"]
    y = page.execute_script(
        f"return document.getElementById('row-{place}').getBoundingClientRect().y"
    )
    assert 0 <= y < 900


def test_the_browsers_back_and_forward(page: Any, address: str) -> None:
    find(page, "#row-2 a").click()
    find(page, "#layer-2 [rel=next]").click()
    assert visible(page) == ["layer-3"]
    page.back()
    assert visible(page) == ["layer-2"]
    page.back()
    assert visible(page) == ["overview"]
    assert page.current_url == address
    page.forward()
    assert visible(page) == ["layer-2"]


def test_going_back_keeps_filter_and_order(page: Any) -> None:
    heading(page, "layer")[1].click()
    find(page, "#filter").send_keys("dense")
    before = names(page)
    find(page, "#row-2 a").click()
    find(page, "#layer-2 .back").click()
    assert names(page) == before


@pytest.mark.parametrize("place", [1, 2])
def test_figures_of_a_layer_are_drawn(page: Any, place: int) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    find(page, f"#row-{place} a").click()
    images = page.find_elements("css selector", f"#layer-{place} img")
    assert len(images) == 2
    for image in images:
        page.execute_script("arguments[0].scrollIntoView()", image)
        WebDriverWait(page, 10).until(
            lambda _, image=image: int(image.get_property("naturalWidth")) > 300
        )


# -- screens ----------------------------------------------------------------------------

FITS = (
    "const page = document.documentElement; return page.scrollWidth <= page.clientWidth"
)


@pytest.mark.parametrize("width", [320, 390, 768, 1200])
def test_the_page_does_not_overflow_sideways(page: Any, address: str, width: int) -> None:
    screen = PHONE | {"width": width, "mobile": width < 1000}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    page.get(address)
    assert page.execute_script("return window.innerWidth") == width
    assert page.execute_script(FITS)
    for place in range(1, len(SHOWN) + 1):
        page.execute_script(f"location.hash = 'layer-{place}'")
        assert visible(page) == [f"layer-{place}"]
        assert page.execute_script("return window.innerWidth") == width  # not zoomed out
        assert page.execute_script(FITS)


def test_the_table_scrolls_on_a_phone_and_names_stay(page: Any, address: str) -> None:
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
    page.get(address)
    left = "return document.querySelector('#row-1 th').getBoundingClientRect().x"
    box = find(page, ".scroll")
    page.execute_script("arguments[0].scrollLeft = 400", box)
    assert int(box.get_property("scrollLeft")) > 300
    assert 0 <= page.execute_script(left) < 60


@pytest.mark.parametrize(("scheme", "dark"), [("dark", True), ("light", False)])
def test_dark_where_it_is_preferred(page: Any, scheme: str, dark: bool) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    for place, is_dark in (("backgroundColor", dark), ("color", not dark)):
        colour = page.execute_script(f"return getComputedStyle(document.body).{place}")
        channels = [int(x) for x in colour.strip("rgb()").split(",")]
        assert (sum(channels) < 3 * 128) == is_dark


# -- without scripts --------------------------------------------------------------------


def test_without_javascript_it_is_the_same_page(address: str, tmp_path: Path) -> None:
    off = {"profile.managed_default_content_settings.javascript": 2}
    driver = start(tmp_path, **off)
    try:
        driver.get(address)
        rows = driver.find_elements("css selector", "#layers tbody tr")
        assert [row.is_displayed() for row in rows] == len(SHOWN) * [True]
        assert not find(driver, "#filters").is_displayed()
        assert driver.find_elements("css selector", "#layers button") == []
        find(driver, "#row-2 a").click()
        assert find(driver, "#layer-2").is_displayed()
        assert not find(driver, "#overview").is_displayed()
        find(driver, "#layer-2 .back").click()
        assert find(driver, "#overview").is_displayed()
    finally:
        driver.quit()

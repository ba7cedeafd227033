"""The page of a network's constant in a real browser: light, dark, narrow, and inert."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.html_report import IMAGE, SCRIPT
from tests.pages.test_browser import FITS, PHONE, find, requests, start
from tests.pages.test_constant import made

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, str]]:
    """A browser, and the address of a page with hostile names and many pairs."""
    path = tmp_path_factory.mktemp("constant") / "b.html"
    made(20).to_html(path, title=SCRIPT)
    driver = start(tmp_path_factory.mktemp("profile"))
    yield driver, path.as_uri()
    driver.quit()


def test_it_opens_and_asks_for_nothing_else(opened: tuple[Any, str]) -> None:
    driver, address = opened
    driver.get("about:blank")
    requests(driver)
    driver.get(address)
    assert requests(driver) == {address}
    assert driver.get_log("browser") == []
    assert find(driver, "h1").text == SCRIPT
    assert IMAGE in find(driver, "#ladder").text
    assert driver.execute_script("return document.scripts.length") == 0
    width = "return document.querySelector('img').naturalWidth"
    assert driver.execute_script(width) > 300


@pytest.mark.parametrize("width", [320, 768, 1200])
def test_it_does_not_overflow_sideways(opened: tuple[Any, str], width: int) -> None:
    driver, address = opened
    screen = PHONE | {"width": width, "mobile": width < 1000}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    driver.get(address)
    assert driver.execute_script("return window.innerWidth") == width
    assert driver.execute_script(FITS)


@pytest.mark.parametrize(("scheme", "dark"), [("dark", True), ("light", False)])
def test_dark_where_it_is_preferred(
    opened: tuple[Any, str], scheme: str, dark: bool
) -> None:
    driver, address = opened
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    driver.get(address)
    colour = "return getComputedStyle(document.querySelector('#ladder .{}')).color"
    for place, is_dark in (
        ("return getComputedStyle(document.body).backgroundColor", dark),
        (colour.format("upper"), not dark),
    ):
        found = driver.execute_script(place)
        assert (sum(map(int, found.strip("rgb()").split(","))) < 3 * 128) == is_dark

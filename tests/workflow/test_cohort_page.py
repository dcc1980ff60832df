"""The page over two hundred volumes in a real browser: it is small, sorts at once, and needs no mouse."""

from __future__ import annotations

import base64
import time
from pathlib import Path

import pytest

from pipeline.steps.__main__ import main
from tests.browsing import accessibility_mistakes, keyboard_mistakes, requests, show
from tests.cohort_run import HOSTILE_NAME, cohort_command, make_cohort
from tests.report_run import make_run, provenance_command

COUNT = 200
LARGEST_BYTES = 15_000_000
SLOWEST_PAGE, SLOWEST_SORT = 60.0, 1.0
"""Seconds. Both take a small part of this; the machine may be busy with other tests."""
TABLE = "#volumes-table"


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = make_run(tmp_path_factory.mktemp("run"))
    assert main(provenance_command(folder)) == 0
    return folder


@pytest.fixture(scope="module")
def page(run, tmp_path_factory) -> Path:
    tables = make_cohort(run, tmp_path_factory.mktemp("cohort"), COUNT)
    start = time.monotonic()
    assert main(cohort_command(run, tables, tables / "index.html")) == 0
    assert time.monotonic() - start < SLOWEST_PAGE
    return tables / "index.html"


@pytest.fixture(scope="module")
def few(run, tmp_path_factory) -> Path:
    tables = make_cohort(run, tmp_path_factory.mktemp("few"), 3)
    assert main(cohort_command(run, tables, tables / "index.html")) == 0
    return tables / "index.html"


def column(browser, place: int) -> list[str]:
    """Return the first line of every cell of a column of the table of volumes."""
    script = "return [...document.querySelectorAll(arguments[0])].map(cell => cell.firstChild.textContent)"
    return browser.execute_script(script, f"{TABLE} tbody tr > :nth-child({place})")


def keys(browser, place: int) -> list[float]:
    script = "return [...document.querySelectorAll(arguments[0])].map(cell => Number(cell.dataset.key))"
    return browser.execute_script(script, f"{TABLE} tbody tr > :nth-child({place})")


def heading(browser, place: int):
    return browser.find_element("css selector", f"{TABLE} thead th:nth-child({place})")


def test_two_hundred_volumes_make_a_small_page_that_asks_for_nothing(browser, page):
    assert page.stat().st_size < LARGEST_BYTES
    show(browser, page)
    assert len(column(browser, 1)) == COUNT
    assert requests(browser) == []
    assert browser.get_log("browser") == []
    assert HOSTILE_NAME in browser.find_element("css selector", TABLE).get_attribute("textContent")
    broken = "return [...document.images].filter(image => !(image.complete && image.naturalWidth)).length"
    assert browser.execute_script(broken) == 0


def test_a_press_on_a_heading_sorts_and_a_second_one_turns_the_order(browser, page):
    show(browser, page)
    assert heading(browser, 4).get_attribute("aria-sort") == "ascending"
    assert keys(browser, 4) == sorted(keys(browser, 4)), "the worst volume comes first"
    script = (
        "const start = performance.now(); arguments[0].click(); document.body.offsetHeight;"
        "return performance.now() - start"
    )
    button = heading(browser, 1).find_element("css selector", "button")
    assert browser.execute_script(script, button) / 1000 < SLOWEST_SORT
    assert column(browser, 1) == sorted(column(browser, 1))
    assert heading(browser, 1).get_attribute("aria-sort") == "ascending"
    assert heading(browser, 4).get_attribute("aria-sort") is None
    browser.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", button)
    button.click()
    assert column(browser, 1) == sorted(column(browser, 1), reverse=True)
    assert heading(browser, 1).get_attribute("aria-sort") == "descending"


def test_the_keyboard_sorts(browser, page):
    from selenium.webdriver.common.keys import Keys

    show(browser, page)
    button = heading(browser, 5).find_element("css selector", "button")
    for key, direction in ((Keys.ENTER, "ascending"), (Keys.SPACE, "descending")):
        button.send_keys(key)
        assert heading(browser, 5).get_attribute("aria-sort") == direction
        assert keys(browser, 5) == sorted(keys(browser, 5), reverse=direction == "descending")
    assert browser.switch_to.active_element == button


@pytest.mark.parametrize("width", [400, 1400])
def test_the_page_can_be_used_by_everyone(browser, few, width):
    show(browser, few, width)
    assert accessibility_mistakes(browser) == []
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width


def test_the_tab_key_goes_through_the_page_in_order(browser, few):
    show(browser, few)
    assert keyboard_mistakes(browser) == []


def test_on_paper_everything_is_unfolded(browser, few):
    show(browser, few)
    printed = base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", {})["data"])
    assert printed.startswith(b"%PDF")
    browser.execute_script("window.dispatchEvent(new Event('beforeprint'))")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        assert browser.execute_script("return document.querySelectorAll('details:not([open])').length") == 0
        clipped = (
            "return [...document.querySelectorAll('.scroll.long, .listing')]"
            ".filter(one => getComputedStyle(one).overflowY === 'auto').length"
        )
        assert browser.execute_script(clipped) == 0
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    browser.execute_script("window.dispatchEvent(new Event('afterprint'))")
    assert browser.execute_script("return document.querySelectorAll('details:not([open])').length") > 0

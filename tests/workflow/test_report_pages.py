"""The pages in a real browser: they work, ask nothing of the network, and fit a telephone."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.__main__ import main
from tests.report_run import HOSTILE, index_command, make_run, provenance_command, report_command

CHROMIUM = shutil.which("chromium")
DRIVER = shutil.which("chromedriver")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
PAGES = ("block", "index")


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> Path:
    folder = make_run(tmp_path_factory.mktemp("pages"))
    for command in (
        provenance_command(folder),
        report_command(folder, "block", folder / "reports/block.html", title=HOSTILE),
        index_command(folder, folder / "reports/index.html", title=HOSTILE),
    ):
        assert main(command) == 0
    return folder / "reports"


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Any]:
    if not (CHROMIUM and DRIVER):
        reason = "needs the Debian packages chromium and chromium-driver"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    from selenium.webdriver import Chrome
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options=options, service=Service(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


def show(browser: Any, page: Path, width: int = 1400) -> None:
    """Opens a page in a window of a width in CSS pixels; what was logged before is thrown away."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get("about:blank")
    for log in ("browser", "performance"):
        browser.get_log(log)
    browser.get(page.as_uri())


def part(browser: Any, name: str) -> Any:
    return browser.find_element("id", f"compare-{name}")


def split(browser: Any) -> float:
    """Returns where the two pictures meet, in percent, as the browser draws it."""
    stage, divider = part(browser, "stage").rect, browser.find_element("class name", "divider").rect
    return 100 * (divider["x"] + divider["width"] / 2 - stage["x"]) / stage["width"]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_raises_no_error_and_asks_nothing_of_the_network(browser, pages, page):
    show(browser, pages / f"{page}.html")
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [item["params"]["request"]["url"] for item in messages if item["method"] == "Network.requestWillBeSent"]
    assert asked[0] == (pages / f"{page}.html").as_uri()
    assert [url for url in asked[1:] if not url.startswith("data:")] == []
    assert browser.get_log("browser") == []
    broken = "return [...document.images].filter(image => image.src && !(image.complete && image.naturalWidth)).length"
    assert browser.execute_script(broken) == 0


def test_what_comes_from_data_stays_text(browser, pages):
    show(browser, pages / "block.html")
    assert HOSTILE in browser.title
    assert HOSTILE in browser.find_element("id", "licences").text
    assert browser.execute_script("return document.scripts.length") == 1


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("width", [400, 800, 1400])
def test_a_page_never_scrolls_sideways(browser, pages, page, width):
    show(browser, pages / f"{page}.html", width)
    browser.execute_script("for (const part of document.querySelectorAll('details')) part.open = true")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    wide = "return [...document.querySelectorAll('.scroll')].filter(one => one.scrollWidth > one.clientWidth).length"
    assert width > 400 or browser.execute_script(wide) > 0, "the tables scroll inside their own box instead"


def test_the_slider_follows_the_mouse(browser, pages):
    from selenium.webdriver import ActionChains

    show(browser, pages / "block.html")
    stage = part(browser, "stage")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", stage)
    assert split(browser) == pytest.approx(50, abs=0.5)
    quarter = stage.rect["width"] / 4
    ActionChains(browser).move_to_element(stage).click_and_hold().move_by_offset(-round(quarter), 0).release().perform()
    assert split(browser) == pytest.approx(25, abs=1)
    assert float(part(browser, "position").get_attribute("value")) == pytest.approx(25, abs=1)
    ActionChains(browser).move_by_offset(round(quarter), 5).perform()
    assert split(browser) == pytest.approx(25, abs=1), "without a pressed button nothing moves"


def test_the_slider_follows_a_finger(browser, pages):
    show(browser, pages / "block.html", 400)
    stage = part(browser, "stage")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", stage)
    edges = browser.execute_script("return arguments[0].getBoundingClientRect().toJSON()", stage)
    y = edges["top"] + edges["height"] / 2
    for kind, share in (("touchStart", 0.5), ("touchMove", 0.6), ("touchMove", 0.8), ("touchEnd", None)):
        points = [] if share is None else [{"x": edges["left"] + share * edges["width"], "y": y}]
        browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    assert split(browser) == pytest.approx(80, abs=1.5)


def test_the_slider_follows_the_keyboard(browser, pages):
    from selenium.webdriver.common.keys import Keys

    show(browser, pages / "block.html")
    position = part(browser, "position")
    position.send_keys(Keys.ARROW_RIGHT * 3)
    assert split(browser) == pytest.approx(53, abs=0.5)
    position.send_keys(Keys.HOME)
    assert split(browser) == pytest.approx(0, abs=0.5)
    position.send_keys(Keys.END)
    assert split(browser) == pytest.approx(100, abs=0.5)


def test_any_two_methods_can_be_compared_on_any_slice(browser, pages):
    from selenium.webdriver.support.select import Select

    show(browser, pages / "block.html")
    slices = [str(option.get_attribute("value")) for option in Select(part(browser, "slice")).options]
    assert len(slices) == 4
    Select(part(browser, "slice")).select_by_value(slices[-1])
    Select(part(browser, "left")).select_by_value("low")
    Select(part(browser, "right")).select_by_value("truth")
    for place, method in (("over", "low"), ("under", "truth")):
        picture = browser.find_element("id", f"picture-{slices[-1]}-{method}")
        assert part(browser, place).get_attribute("src") == picture.get_attribute("src")
    assert "pixels" in part(browser, "over").get_attribute("class")
    assert part(browser, "left-name").text == "Low resolution, as measured"


def test_left_of_the_divider_the_left_method_is_seen(browser, pages):
    show(browser, pages / "block.html")
    clip = "return getComputedStyle(arguments[0]).clipPath"
    assert "50%" in browser.execute_script(clip, part(browser, "over"))
    assert browser.execute_script(clip, part(browser, "under")) == "none"


def test_everything_that_acts_can_be_reached_with_the_tab_key(browser, pages):
    from selenium.webdriver.common.keys import Keys

    show(browser, pages / "block.html")
    reached = []
    for _ in range(40):
        browser.switch_to.active_element.send_keys(Keys.TAB)
        reached.append(browser.switch_to.active_element.get_attribute("id"))
    assert {"compare-left", "compare-right", "compare-slice", "compare-position"} <= set(reached)

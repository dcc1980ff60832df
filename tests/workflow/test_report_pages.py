"""The pages in a real browser: they work, ask nothing of the network, and fit a telephone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.formats.io.container import read_image, write_image
from pipeline.formats.io.predictions import prediction_path, read_prediction
from pipeline.image.channels import COLOURS
from pipeline.reporting.figures.slices import Box, display_slices
from pipeline.reporting.figures.viewer import choose_crop
from pipeline.steps.__main__ import main
from tests.browsing import requests, show
from tests.helpers import described
from tests.report_run import HOSTILE, index_command, make_run, provenance_command, report_command, write_report

PAGES = ("block", "index")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return make_run(tmp_path_factory.mktemp("pages"))


@pytest.fixture(scope="module")
def pages(run) -> Path:
    for command in (
        provenance_command(run),
        index_command(run, run / "reports/index.html", title=HOSTILE),
    ):
        assert main(command) == 0
    assert write_report(run, "block", run / "reports/block.html", title=HOSTILE) == 0
    return run / "reports"


def part(browser: Any, name: str) -> Any:
    return browser.find_element("id", f"viewer-{name}")


def ready(browser: Any) -> Any:
    """Wait until all images of the viewer are decoded and drawn; return the box that has the keys."""
    from selenium.webdriver.support.wait import WebDriverWait

    WebDriverWait(browser, 20).until(lambda _: part(browser, "panes").get_attribute("aria-busy") == "false")
    return part(browser, "panes")


def press(browser: Any, *keys: str) -> None:
    ready(browser).send_keys(*keys)
    ready(browser)


def chosen(browser: Any, name: str) -> str:
    return part(browser, name).get_attribute("value")


def headings(browser: Any) -> list[str]:
    return [caption.text for caption in browser.find_elements("css selector", "#viewer-panes figcaption")]


def pixels(browser: Any, place: int) -> np.ndarray:
    """Return what a pane shows, shape (rows, columns, 3), in device pixels."""
    read = """
    const canvas = document.querySelectorAll("#viewer-panes .canvas canvas")[arguments[0]];
    const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    return [canvas.width, canvas.height, Array.from(data)];
    """
    width, height, data = browser.execute_script(read, place)
    return np.array(data, dtype=float).reshape(height, width, 4)[..., :3]


def comparing(browser: Any, page: Path, width: int = 1400) -> Any:
    """Open a page, shows two methods with the slider and return its stage, in the middle of the window."""
    show(browser, page, width)
    press(browser, "v")
    stage = browser.find_element("id", "compare-stage")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", stage)
    return stage


def split(browser: Any) -> float:
    """Return where the two pictures meet, in percent, as the browser draws it."""
    ready(browser)
    stage, divider = (browser.find_element("css selector", one).rect for one in ("#compare-stage", ".divider"))
    return 100 * (divider["x"] + divider["width"] / 2 - stage["x"]) / stage["width"]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_raises_no_error_and_asks_nothing_of_the_network(browser, pages, page):
    from selenium.webdriver.common.keys import Keys

    show(browser, pages / f"{page}.html")
    if page == "block":
        press(browser, "v", Keys.ARROW_UP, Keys.SPACE, "v", "p", "+", "v", "3")
    assert requests(browser) == []
    assert browser.get_log("browser") == []
    broken = "return [...document.images].filter(image => image.src && !(image.complete && image.naturalWidth)).length"
    assert browser.execute_script(broken) == 0


def test_what_comes_from_data_stays_text(browser, pages):
    show(browser, pages / "block.html")
    assert HOSTILE in browser.title
    assert HOSTILE in browser.find_element("id", "licences").text
    scripts = "return [...document.scripts].filter(script => script.type !== 'application/json').length"
    assert browser.execute_script(scripts) == 1


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("width", [400, 800, 1400])
def test_a_page_never_scrolls_sideways(browser, pages, page, width):
    show(browser, pages / f"{page}.html", width)
    browser.execute_script("for (const part of document.querySelectorAll('details')) part.open = true")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    wide = "return [...document.querySelectorAll('.scroll')].filter(one => one.scrollWidth > one.clientWidth).length"
    assert width > 400 or browser.execute_script(wide) > 0, "the tables scroll inside their own box instead"


def test_red_green_and_blue_are_drawn_as_colours(browser, run, pages):
    """Six slices of a head stand for two pictures: red, half as bright green, and blue of a quarter."""
    reference, tint = read_image(run / "extracted/mid.safetensors"), np.tile(np.array([1, 0.5, 0.25], np.float32), 2)
    levels = np.repeat(np.asarray(reference.data)[..., [2]], 6, axis=2) * tint
    coloured = described(reference.with_data(levels), channels=COLOURS, sections=(0, 0, 0, 1, 1, 1))
    write_image(run / "coloured_input/mid.safetensors", coloured)
    command = report_command(run, "mid", run / "coloured")
    command[command.index("--hr") + 1] = str(run / "coloured_input/mid.safetensors")
    assert main(command) == 0
    show(browser, run / "coloured/mid.html")
    assert "(1 of 2)" in part(browser, "state").text or "(2 of 2)" in part(browser, "state").text
    press(browser, "0")
    for title, ratios in (("Reference", [1, 0.5, 0.25]), ("Low-resolution input", [1, 1, 1])):
        means = pixels(browser, headings(browser).index(title)).mean(axis=(0, 1))
        assert means / means[0] == pytest.approx(ratios, abs=0.05)
    stacked = browser.execute_script("""
      const image = document.querySelector('img[id$="-reference"]');
      const canvas = document.createElement("canvas");
      canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
      const context = canvas.getContext("2d"); context.drawImage(image, 0, 0);
      const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data, sums = [0, 0, 0];
      pixels.forEach((value, place) => { if (place % 4 < 3) sums[place % 4] += value; });
      return sums;""")
    assert np.array(stacked) / stacked[0] == pytest.approx([1, 0.5, 0.25], abs=0.05)
    assert browser.get_log("browser") == []


def test_the_slider_follows_the_mouse(browser, pages):
    from selenium.webdriver import ActionChains

    stage = comparing(browser, pages / "block.html")
    assert split(browser) == pytest.approx(50, abs=0.5)
    quarter = stage.rect["width"] / 4
    ActionChains(browser).move_to_element(stage).click_and_hold().move_by_offset(-round(quarter), 0).release().perform()
    assert split(browser) == pytest.approx(25, abs=1)
    position = browser.find_element("id", "compare-position")
    assert float(position.get_attribute("value")) == pytest.approx(25, abs=1)
    ActionChains(browser).move_by_offset(round(quarter), 5).perform()
    assert split(browser) == pytest.approx(25, abs=1), "without a pressed button nothing moves"


def test_the_slider_follows_a_finger(browser, pages):
    stage = comparing(browser, pages / "block.html", 400)
    edges = browser.execute_script("return arguments[0].getBoundingClientRect().toJSON()", stage)
    y = edges["top"] + edges["height"] / 2
    for kind, share in (("touchStart", 0.5), ("touchMove", 0.6), ("touchMove", 0.8), ("touchEnd", None)):
        points = [] if share is None else [{"x": edges["left"] + share * edges["width"], "y": y}]
        browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    assert split(browser) == pytest.approx(80, abs=1.5)


def test_the_slider_follows_the_keyboard(browser, pages):
    from selenium.webdriver.common.keys import Keys

    comparing(browser, pages / "block.html")
    position = browser.find_element("id", "compare-position")
    position.send_keys(Keys.ARROW_RIGHT * 3)
    assert split(browser) == pytest.approx(53, abs=0.5)
    position.send_keys(Keys.HOME)
    assert split(browser) == pytest.approx(0, abs=0.5)
    press(browser, ".", ".", ".")
    assert split(browser) == pytest.approx(15, abs=0.5)


def test_left_of_the_divider_the_left_method_is_seen(browser, pages):
    from selenium.webdriver.common.keys import Keys

    comparing(browser, pages / "block.html")
    both = pixels(browser, 0)
    half = both.shape[1] // 2
    for position, side in ((Keys.END, slice(0, half - 4)), (Keys.HOME, slice(half + 4, None))):
        browser.find_element("id", "compare-position").send_keys(position)
        ready(browser)
        alone = pixels(browser, 0)
        assert np.array_equal(alone[:, side], both[:, side])
        assert not np.array_equal(alone, both)


def test_the_keys_scroll_switch_swap_and_zoom(browser, pages):
    from selenium.webdriver.common.keys import Keys

    show(browser, pages / "block.html")
    press(browser)
    assert headings(browser)[:4] == [
        *("Low-resolution input", "B: Regularised least squares", "A: RRDB network, pixel loss", "Reference")
    ]
    before, state = pixels(browser, 2), part(browser, "state").text
    assert "(5 of 8)" in state
    press(browser, Keys.ARROW_UP, Keys.ARROW_UP, Keys.ARROW_LEFT)
    assert "(6 of 8)" in part(browser, "state").text
    assert chosen(browser, "slice") == "5"
    assert not np.array_equal(pixels(browser, 2), before)
    press(browser, Keys.END, Keys.ARROW_UP)
    assert "(8 of 8)" in part(browser, "state").text
    press(browser, Keys.HOME)
    assert "(1 of 8)" in part(browser, "state").text
    press(browser, Keys.SPACE)
    assert (chosen(browser, "first"), chosen(browser, "second")) == ("least_squares", "rrdb_l1")
    press(browser, "5", "0")
    assert chosen(browser, "first") == "reference"
    press(browser, "+", "+")
    assert "zoom 156%" in part(browser, "state").text
    press(browser, "-", "-")
    assert "zoom 100%" in part(browser, "state").text


def test_a_click_goes_to_a_place_in_all_planes(browser, pages):
    from selenium.webdriver import ActionChains
    from selenium.webdriver.support.select import Select

    show(browser, pages / "block.html")
    ready(browser)
    Select(part(browser, "view")).select_by_value("planes")
    ready(browser)
    assert [text.split(", ")[-1] for text in headings(browser)] == ["axial", "sagittal", "coronal"]
    axial = browser.find_elements("css selector", "#viewer-panes .canvas canvas")[0]
    browser.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", axial)
    quarter = round(axial.rect["height"] / 4)
    ActionChains(browser).move_to_element_with_offset(axial, 0, -quarter).click().perform()
    Select(part(browser, "plane")).select_by_visible_text("coronal")
    ready(browser)
    rows = int(part(browser, "slice").get_attribute("max")) + 1
    assert int(chosen(browser, "slice")) == pytest.approx(0.75 * rows, abs=1.5), "the front is at the top"
    assert "coronal" in part(browser, "state").text


def test_the_window_follows_its_dials_and_a_drag_with_shift(browser, pages):
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.keys import Keys

    show(browser, pages / "block.html")
    ready(browser)
    before = pixels(browser, 3)
    part(browser, "width").send_keys(Keys.ARROW_LEFT * 60)
    ready(browser)
    assert pixels(browser, 3).std() > before.std(), "a narrow window has more contrast"
    part(browser, "reset").click()
    ready(browser)
    assert np.array_equal(pixels(browser, 3), before)
    reference = browser.find_elements("css selector", "#viewer-panes .canvas canvas")[3]
    drag = ActionChains(browser).move_to_element(reference).key_down(Keys.SHIFT).click_and_hold()
    drag.move_by_offset(-40, 0).release().key_up(Keys.SHIFT).perform()
    ready(browser)
    assert pixels(browser, 3).std() > before.std()


def account(wanted: np.ndarray, added: np.ndarray) -> np.ndarray:
    """Return how much detail is right, missing and invented: what both have of one sign, and what is beyond it."""
    right = np.maximum(0, np.minimum(wanted, added)) - np.minimum(0, np.maximum(wanted, added))
    return np.stack([right, abs(wanted) - right, abs(added) - right], axis=-1)


def test_the_viewer_shows_the_voxels_of_the_files(browser, run, pages):
    """Every pane, in the place and with the value of the file: what is left is the rounding to 256 levels."""
    show(browser, pages / "block.html")
    ready(browser)
    held = json.loads(browser.find_element("id", "viewer-data").get_attribute("textContent"))
    reference = read_image(run / "extracted/block.safetensors")
    found = read_prediction(prediction_path(run / "predictions", "rrdb_l1", "block"), reference)
    base = read_prediction(prediction_path(run / "predictions", "bspline3", "block"), reference)
    part_shown = choose_crop(reference, None, Box(0, 1, 0, 1))
    tiles = {name: part_shown.grey(display_slices(one, 2))[4].astype(float) for name, one in
             (("reference", np.asarray(reference.data)), ("a", found), ("base", base))}  # fmt: skip
    grey = np.clip(np.round(255 * tiles["reference"] / held["white"]), 0, 255)
    colours = np.array(held["inferno"]).reshape(-1, 3)
    level = np.minimum(255, np.round(255 * np.abs(tiles["a"] - tiles["reference"]) / held["error_top"])).astype(int)
    ledger = account(tiles["reference"] - tiles["base"], tiles["a"] - tiles["base"])
    hues = np.array([[190, 196, 204], [40, 130, 255], [255, 96, 24]])
    drawn = np.clip(ledger @ hues / held["error_top"], 0, 255)
    for place, expected in ((3, np.repeat(grey[..., None], 3, axis=-1)), (5, colours[level]), (6, drawn)):
        picture = pixels(browser, place)
        rows, columns = expected.shape[:2]
        assert picture.shape[1] / picture.shape[0] == pytest.approx(columns / rows, rel=0.02)
        y = ((np.arange(rows) + 0.5) * picture.shape[0] / rows).astype(int)
        x = ((np.arange(columns) + 0.5) * picture.shape[1] / columns).astype(int)
        inner = (slice(8, -8), slice(8, -8))  # Letters stand at the edges.
        difference = np.abs(picture[np.ix_(y, x)] - expected)[inner]
        assert np.median(difference) <= 1.5
        assert np.mean(difference) < 4


def test_help_is_a_dialog_that_closes(browser, pages):
    from selenium.webdriver.common.keys import Keys

    show(browser, pages / "block.html")
    press(browser, "?")
    helping = part(browser, "help")
    assert helping.is_displayed()
    assert "swap A and B" in helping.text
    browser.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert not helping.is_displayed()


def test_a_page_for_paper_has_pictures_and_no_controls(browser, pages):
    show(browser, pages / "block.html")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        assert not part(browser, "view").is_displayed()
        assert not browser.find_element("css selector", "[data-copy]").is_displayed()
        assert browser.find_element("css selector", ".strip img").is_displayed()
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_texts_can_be_copied(browser, pages):
    show(browser, pages / "block.html")
    button = browser.find_element("css selector", "[data-copy=bibtex]")
    browser.execute_script("window.scrollTo(0, arguments[0].getBoundingClientRect().top - 200)", button)
    browser.execute_script(
        "navigator.clipboard.writeText = async (text) => { document.body.dataset.copied = text; };arguments[0].click()",
        button,
    )
    copied = browser.execute_script("return document.body.dataset.copied")
    assert "@inproceedings{esrgan" in copied
    assert button.text == "Copied"


def test_everything_that_acts_can_be_reached_with_the_tab_key(browser, pages):
    from selenium.webdriver.common.keys import Keys

    show(browser, pages / "block.html")
    reached = []
    for _ in range(40):
        browser.switch_to.active_element.send_keys(Keys.TAB)
        reached.append(browser.switch_to.active_element.get_attribute("id"))
    controls = ("view", "first", "second", "plane", "slice", "level", "width", "swap", "in", "reset", "keys", "panes")
    assert {f"viewer-{name}" for name in controls} <= set(reached)

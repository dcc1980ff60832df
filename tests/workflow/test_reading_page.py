"""The page of a reader study in a real browser: two readers answer it by keyboard, and what they saved is scored."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter

from pipeline.fidelity.reading.design import RATING, Item
from pipeline.fidelity.reading.key import Key, read_key
from pipeline.formats.io.container import read_image
from pipeline.formats.io.predictions import write_prediction
from pipeline.physics.forward import ForwardModel
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.reporting.titles import method_title
from pipeline.steps.__main__ import main
from tests.browsing import accessibility_mistakes, keyboard_mistakes, requests, show
from tests.helpers import extract, ras_affine, synthetic_head, write_nifti

BLUR = {"brainsr": 0.0, "bicubic": 1.0, "nearest": 2.0}
TASTE = {"reference": 5, "brainsr": 4, "bicubic": 2, "nearest": 1}
SETTINGS = '{"slices": 3, "choices_per_pair": 2, "repeats": 2}'


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    """A study of one head, three restorations of which one is nearly the reference, and the reference itself."""
    folder = tmp_path_factory.mktemp("study")
    source = write_nifti(folder / "head.nii.gz", synthetic_head(), ras_affine())
    reference_path = folder / "head.safetensors"
    extract(source, reference_path)
    reference = read_image(reference_path)
    low = LowResolutionImage.of(reference, ForwardModel((1, 1, 1), reference.data.shape))
    for method, sigma in BLUR.items():
        estimate = gaussian_filter(reference.data, sigma) if sigma else np.asarray(reference.data) * np.float32(0.99)
        write_prediction(folder / method / "head.nii.gz", low, estimate)
    predictions = [str(folder / method / "head.nii.gz") for method in BLUR]
    outputs = ["--page", str(folder / "study.html"), "--key", str(folder / "key.json")]
    given = ["--hr", str(reference_path), "--predictions", *predictions, *outputs, "--settings", SETTINGS]
    assert main(["reading_page", *given, "--seed", "3"]) == 0
    return folder


@pytest.fixture
def key(study) -> Key:
    return read_key(study / "key.json")


def press(browser: Any, keys: str) -> None:
    from selenium.webdriver import ActionChains

    ActionChains(browser).send_keys(keys).perform()


def begin(browser: Any, reader: str) -> None:
    from selenium.webdriver.common.keys import Keys

    box = browser.find_element("id", "reader")
    box.clear()
    box.send_keys(reader + Keys.ENTER)


def key_for(item: Item, taste: dict[str, int]) -> str:
    if item.question == RATING:
        return str(taste[item.first])
    return "1" if taste[item.first] > taste[item.second] else "2"


def title(browser: Any) -> str:
    return browser.find_element("css selector", "section:not([hidden]) h1").text


def saved(browser: Any, folder: Path) -> Path:
    """Press the button that saves, and waits for the file."""
    folder.mkdir(exist_ok=True)
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(folder)})
    browser.find_element("css selector", "section:not([hidden]) .save").click()
    for _ in range(100):
        found = list(folder.glob("*.csv"))
        if found:
            return found[0]
        time.sleep(0.1)
    raise AssertionError("nothing was saved")


def test_the_page_tells_no_method(study, key):
    text = re.sub(r"data:image/webp;base64,[A-Za-z0-9+/=]+", "", (study / "study.html").read_text())
    for name in (*BLUR, *map(method_title, BLUR), "reference", "head", "BrainSR"):
        assert not re.search(rf"(?<![a-z]){re.escape(name)}(?![a-z>])", text, re.IGNORECASE), name
    for item in key.items:
        assert text.count(item.code) == 1
    codes = re.findall(r'"([0-9a-f]{8})":\{"uri"', text)
    assert len(codes) == 3 * 4 and codes == sorted(codes), "pictures stand in the order of codes that say nothing"


def test_two_readers_answer_by_keyboard_and_the_best_wins(browser, study, key, tmp_path, capsys):
    page, files = study / "study.html", []
    show(browser, page)
    browser.execute_script("localStorage.clear()")
    show(browser, page)
    for reader, taste in (("r1", TASTE), ("r2", {**TASTE, "bicubic": 3})):
        begin(browser, reader)
        for place, item in enumerate(key.items, start=1):
            assert title(browser) == f"Question {place} of {len(key.items)}"
            press(browser, key_for(item, taste))
        assert title(browser) == "All answered"
        files.append(saved(browser, tmp_path / reader))
        shown = browser.execute_script("return document.getElementById('text').value")
        assert files[-1].read_text() == shown
        browser.find_element("id", "another").click()
    assert browser.get_log("browser") == []
    assert [url for url in requests(browser) if not url.startswith("blob:")] == []

    output = tmp_path / "scores"
    given = ["--key", str(study / "key.json"), "--answers", *map(str, files), "--output", str(output)]
    assert main(["reading_scores", *given, "--settings", '{"bootstrap_samples": 200}']) == 0
    scores = pd.read_csv(output / "scores.csv")
    assert scores["method"].tolist() == ["reference", "brainsr", "bicubic", "nearest"]
    assert scores["mean_opinion"].tolist() == [5, 4, 2.5, 1]
    shares: Any = pd.read_csv(output / "preferences.csv").set_index(["method", "other"])["share"]
    assert shares["brainsr", "bicubic"] == 1 and shares["nearest", "all others"] == 0
    assert pd.read_csv(output / "readers.csv")["same_rating"].tolist() == [1, 1]
    assert pd.read_csv(output / "agreement.csv")["alpha"].tolist()[1] == 1
    assert "Mean opinion" in capsys.readouterr().out


def test_a_reader_goes_on_where_they_stopped_and_may_go_back(browser, study, key, tmp_path):
    from selenium.webdriver.common.keys import Keys

    show(browser, study / "study.html")
    begin(browser, "late")
    press(browser, "3")
    press(browser, "4")
    show(browser, study / "study.html")
    assert browser.find_element("id", "reader").get_attribute("value") == "late"
    begin(browser, "late")
    assert title(browser).startswith("Question 3 of")
    press(browser, Keys.BACKSPACE)
    assert title(browser).startswith("Question 2 of")
    assert browser.find_element("css selector", "[aria-pressed=true]").text.endswith("good")
    press(browser, "x9")
    assert title(browser).startswith("Question 2 of"), "other keys do nothing"
    browser.find_elements("css selector", "#answers button")[0].click()
    rows = pd.read_csv(saved(browser, tmp_path / "late"))
    assert rows["item"].tolist() == [item.code for item in key.items[:2]]
    assert rows["answer"].tolist() == [3, 1]


def test_a_reader_needs_a_code_that_a_table_can_hold(browser, study):
    show(browser, study / "study.html")
    begin(browser, "=cmd,1")
    assert title(browser) == "Blinded image rating"


@pytest.mark.parametrize("width", [400, 1400])
def test_everyone_can_use_the_page(browser, study, key, width):
    from selenium.webdriver.common.keys import Keys

    show(browser, study / "study.html", width)
    assert accessibility_mistakes(browser) == [] and keyboard_mistakes(browser) == []
    begin(browser, f"width-{width}")
    for item in key.items[:-1]:
        press(browser, key_for(item, TASTE))
        if item is key.items[0]:
            assert accessibility_mistakes(browser) == []
            press(browser, Keys.TAB)
            assert browser.switch_to.active_element.text.endswith("unusable"), "the answers come first"
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert accessibility_mistakes(browser) == []
    sizes = browser.execute_script("return [...document.images].map(one => [one.width, one.height, one.naturalWidth])")
    assert len(sizes) == 2 and sizes[0] == sizes[1], "both images have one size"
    press(browser, "1")
    assert accessibility_mistakes(browser) == []


def test_the_same_seed_gives_the_same_page_and_another_another_study(study, tmp_path):
    predictions = [str(study / method / "head.nii.gz") for method in BLUR]
    pages = []
    for number, seed in enumerate(("3", "4")):
        page, key = tmp_path / f"{number}.html", tmp_path / f"{number}.json"
        given = ["--hr", str(study / "head.safetensors"), "--predictions", *predictions, "--settings", SETTINGS]
        assert main(["reading_page", *given, "--page", str(page), "--key", str(key), "--seed", seed]) == 0
        pages.append((page.read_bytes(), read_key(key).study))
    assert pages[0][0] == (study / "study.html").read_bytes()
    assert pages[0][1] != pages[1][1]


def test_one_method_alone_cannot_be_judged(study, tmp_path, capsys):
    given = ["--hr", str(study / "head.safetensors"), "--predictions", str(study / "bicubic" / "head.nii.gz")]
    outputs = ["--page", str(tmp_path / "a.html"), "--key", str(tmp_path / "a.json"), "--without-reference"]
    assert main(["reading_page", *given, *outputs]) == 1
    assert "give at least 2 methods to compare, not 1" in capsys.readouterr().err

"""Every kind of page can be used by keyboard and by readers of screens, and the checks themselves find mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config.combine import Combine
from pipeline.fidelity.gate.scans import check_scans
from pipeline.provenance.combined import record_of
from pipeline.reporting.pages.combined import combined_page
from pipeline.steps.__main__ import main
from tests.browsing import accessibility_mistakes, keyboard_mistakes, open_details, show
from tests.provenance import provenance
from tests.report_run import HOSTILE, index_command, make_run, provenance_command, write_report
from tests.stacks import combined_stacks, write_stacks
from tests.unit import test_training_page as training
from tests.unit.test_resources_page import write_benchmarks

BAD = """<!doctype html><html><head><title>x</title><style>:focus { outline: none }</style></head><body>
<main><h1>one</h1><h3>three</h3><img src="data:,"><input><a href="#nowhere">to</a><p style="color: #999">pale</p>
<table><tr><th>a</th></tr></table><div style="overflow: auto; width: 90px"><pre>WIDE</pre></div>
<i id="twice"></i><i id="twice"></i><button tabindex="2">b</button></main></body></html>"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> Path:
    folder = make_run(tmp_path_factory.mktemp("pages"))
    for command in (
        provenance_command(folder),
        index_command(folder, folder / "reports/index.html", title=HOSTILE),
    ):
        assert main(command) == 0
    assert write_report(folder, "block", folder / "reports/block.html", title=HOSTILE) == 0
    learnt = folder / "learnt"
    events = f"3,skipped_step,{'<i>' * 100},1.5\n"
    training.write_network(learnt / "models/brainsr", training.CARD, training.HISTORY, events, training.DIAL)
    provenance(training.config(run="n" * 100)).write(learnt / "provenance.json")
    assert main(training.command(learnt, folder / "reports/training.html")) == 0
    measured = write_benchmarks(folder / "benchmarks")
    asked = ["--benchmarks", str(measured), "--provenance", str(learnt / "provenance.json")]
    assert main(["report_resources", *asked, "--output", str(folder / "reports/resources.html")]) == 0
    found = combined_stacks(write_stacks(folder, names={"coronal": f"{'long-name' * 20}.nii.gz"}))
    record = record_of(found, Combine(), check_scans(found))
    (folder / "reports/combined.html").write_text(combined_page("sr.nii.gz", found, record))
    return folder / "reports"


@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("page", ["block", "combined", "index", "training", "resources"])
def test_a_page_passes_the_checks(browser, pages, page, width):
    show(browser, pages / f"{page}.html", width)
    assert accessibility_mistakes(browser) == []
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("page", ["block", "combined", "index", "training", "resources"])
def test_the_tab_key_goes_through_a_page_in_order(browser, pages, page):
    show(browser, pages / f"{page}.html")
    open_details(browser)
    assert keyboard_mistakes(browser) == []


def test_the_checks_find_mistakes(browser, tmp_path):
    path = tmp_path / "bad.html"
    path.write_text(BAD.replace("WIDE", "wide " * 100))
    show(browser, path)
    found = "\n".join(accessibility_mistakes(browser))
    for part in (
        *("no language", "of body > header", "no link that skips", "level 3 follows one of level 1"),
        *("no text in place of a picture", "a control without a name", "a link that leads nowhere", "an id twice"),
        *(
            "a table without a caption",
            "without a scope",
            "the keyboard cannot reach",
            "a place in the order of its own",
        ),
        "contrast 2.85",
        *("image-alt: ", "label: ", "color-contrast: "),
    ):
        assert part in found, part
    (mistake,) = keyboard_mistakes(browser)
    assert "the tab key leads to <button" in mistake, "a place in the order of its own comes first"
    browser.execute_script("document.querySelector('button').remove()")
    assert "no ring around input ''" in keyboard_mistakes(browser)

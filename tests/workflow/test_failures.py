"""A workflow that fails leaves a page that says which steps; one that succeeds leaves none."""

from __future__ import annotations

from pathlib import Path

from tests.browsing import accessibility_mistakes, requests, show
from tests.workflow.project import make_project, snakemake

STEPS = ("extract", "convert_weights")


def run(folder: Path, *arguments: str):
    return snakemake(folder, "--configfile", folder / "small.yaml", "--until", *STEPS, *arguments)


def test_the_page_names_every_failed_step_until_a_run_succeeds(browser, tmp_path):
    folder = tmp_path / "a project"
    make_project(folder)
    whole = {name: (folder / name).read_bytes() for name in ("other.nii.gz", "small.safetensors")}
    for name, content in whole.items():
        (folder / name).write_bytes(content[:3000])
    index, page = (folder / f"results/small/reports/{name}.html" for name in ("index", "failures"))
    index.parent.mkdir(parents=True)
    index.write_text("an earlier result")

    result = run(folder, "--keep-going")
    assert result.returncode != 0
    assert "At least one job did not complete successfully" in result.stderr + result.stdout
    assert "failures.html" in result.stderr
    text = page.read_text(encoding="utf-8")
    assert "2 steps failed" in text
    assert "Extracting head-test" in text
    assert "cannot be read as NIfTI" in text
    assert "results/small/logs/convert" in text
    assert "extract</code> 3" in text, "steps that need nothing of the failed ones were finished"
    assert index.read_text() == "an earlier result"
    show(browser, page)
    assert accessibility_mistakes(browser) == []
    assert requests(browser) == []
    assert browser.get_log("browser") == []

    for name, content in whole.items():
        (folder / name).write_bytes(content)
    result = run(folder)
    assert result.returncode == 0, result.stderr
    assert not page.exists()
    assert index.read_text() == "an earlier result"

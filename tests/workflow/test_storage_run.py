"""Download that several folders share, images that are read from S3, results that are kept there."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from moto.server import ThreadedMotoServer

from pipeline.files import read_json
from tests.faults.file_server import FileServer, serving
from tests.workflow.project import CONTRACT, configuration, jobs, make_project, snakemake

UNTIL = ("--until", "download")


def write_config(folder: Path, **sources: Any) -> Path:
    """Write the configuration of a small project with other sources."""
    given = configuration()
    given["sources"].update(sources)
    path = folder / "stored.yaml"
    path.write_text(yaml.safe_dump(given), encoding="utf-8")
    return path


# --- downloads that are shared -----------------------------------------------------------------------------------


@pytest.fixture
def server(monkeypatch) -> Iterator[FileServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as server:
        server.files["/one.nii.gz"] = b"an image on a server"
        yield server


def project_with(folder: Path, server: FileServer, own: bytes) -> Path:
    """Make a project of one file on a server and two of its own; return its configuration."""
    folder.mkdir()
    (folder / "other.nii.gz").write_bytes(own)
    (folder / "small.safetensors").write_bytes(b"weights")
    digest = hashlib.sha256(server.files["/one.nii.gz"]).hexdigest()
    return write_config(folder, one={"kind": "http", "url": server.url("/one.nii.gz"), "sha256": digest})


def test_two_runs_at_once_download_a_file_once_and_keep_their_own_files_apart(server, tmp_path, monkeypatch):
    monkeypatch.setenv("BRAINSR_ARCHIVES", str(tmp_path / "shared"))
    folders = {tmp_path / name: name.encode() for name in ("first", "second")}
    configs = [project_with(folder, server, own) for folder, own in folders.items()]
    with ThreadPoolExecutor() as pool:
        runs = list(pool.map(lambda config: snakemake(config.parent, "--configfile", config, *UNTIL), configs))
    assert [run.returncode for run in runs] == [0, 0], runs
    assert len(server.asked("/one.nii.gz")) == 1
    for folder, own in folders.items():
        assert (folder / "resources/one/one.nii.gz").read_bytes() == server.files["/one.nii.gz"]
        assert (folder / "resources/other/other.nii.gz").read_bytes() == own
        assert not (folder / "resources/archives").exists()


# --- images in S3 ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    """A client of an S3 that snakemake's plug-in finds too; its buckets `scans` and `results` are empty."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "127.0.0.1")
        for name, value in (("ENDPOINT_URL", address), ("ACCESS_KEY", "somebody"), ("SECRET_KEY", "secret")):
            patch.setenv(f"SNAKEMAKE_STORAGE_S3_{name}", value)
        credentials = {"aws_access_key_id": "somebody", "aws_secret_access_key": "secret"}
        client = boto3.client("s3", endpoint_url=address, region_name="us-east-1", **credentials)
        for bucket in ("scans", "results"):
            client.create_bucket(Bucket=bucket)
        yield client
    server.stop()


def test_an_image_is_read_from_s3_and_again_when_it_changes(s3, tmp_path):
    make_project(tmp_path)
    source = {"kind": "s3", "path": "s3://scans/heads/one.nii.gz", "licence": "CC0"}
    config = write_config(tmp_path, one=source)
    image = (tmp_path / "one.nii.gz").read_bytes()
    (tmp_path / "one.nii.gz").unlink()
    s3.put_object(Bucket="scans", Key="heads/one.nii.gz", Body=image)
    extracted = "results/small/extracted/head-low.safetensors"
    result = snakemake(tmp_path, "--configfile", config, "--", extracted)
    assert result.returncode == 0, result.stderr
    copy = tmp_path / "resources/one/one.nii.gz"
    assert copy.read_bytes() == image
    record = read_json(copy.with_name("one.nii.gz.source.json"))
    assert (record["path"], record["licence"]) == (source["path"], "CC0")
    assert record["sha256"] == hashlib.sha256(image).hexdigest()
    assert (tmp_path / extracted).is_file()

    again = snakemake(tmp_path, "--configfile", config, "--dry-run", "--", extracted)
    assert "Nothing to be done" in again.stderr + again.stdout
    s3.put_object(Bucket="scans", Key="heads/one.nii.gz", Body=image + b"\0")
    changed = snakemake(tmp_path, "--configfile", config, "--dry-run", "--quiet", "host", "--", extracted)
    assert "Updated input files: s3://scans/heads/one.nii.gz" in changed.stdout + changed.stderr


def test_an_image_that_s3_does_not_have_is_named(s3, tmp_path):
    config = write_config(tmp_path, one={"kind": "s3", "path": "s3://scans/heads/absent.nii.gz"})
    result = snakemake(tmp_path, "--configfile", config, "--dry-run", "--", "resources/one/absent.nii.gz")
    assert result.returncode != 0
    assert "Missing input files for rule download" in result.stdout
    assert "s3://scans/heads/absent.nii.gz" in result.stdout


# --- results in S3 -----------------------------------------------------------------------------------------------


def stored(s3) -> dict[str, bytes]:
    """Return what lies in the bucket `results`, by its key."""
    listed = s3.list_objects_v2(Bucket="results").get("Contents", [])
    return {one["Key"]: s3.get_object(Bucket="results", Key=one["Key"])["Body"].read() for one in listed}


def test_results_are_copied_to_s3_once_and_again_where_they_have_changed(s3, finished, conda, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder)
    config = folder / "stored.yaml"
    config.write_text(yaml.safe_dump({**configuration(), "store": "s3://results/project"}), encoding="utf-8")
    command = ("store", "--configfile", config)
    planned = jobs(snakemake(folder, *command, "--dry-run", conda=conda))
    assert set(planned) == {"store", "store_file"}
    result = snakemake(folder, *command, conda=conda)
    assert result.returncode == 0, result.stderr
    found = stored(s3)
    assert {f"project/small/{name}" for name in CONTRACT} <= set(found)
    results = folder / "results/small"
    assert {key: (results / key.removeprefix("project/small/")).read_bytes() for key in found} == found
    restored = [path for place in ("sr", "predictions") for path in (results / place).rglob("*.nii.gz")]
    assert {f"project/small/{path.relative_to(results)}" for path in restored} <= set(found)

    again = snakemake(folder, *command, "--dry-run", conda=conda)
    assert "Nothing to be done" in again.stdout + again.stderr
    (results / "metrics/gates.txt").write_text("another verdict", encoding="utf-8")
    changed = snakemake(folder, *command, "--dry-run", conda=conda)
    assert re.findall(r"Copying (\S+) to S3", changed.stdout) == ["results/small/metrics/gates.txt"]
    assert set(jobs(changed)) == {"store", "store_file"}


def test_storing_asks_where(tmp_path):
    result = snakemake(tmp_path, "--configfile", write_config(tmp_path), "--dry-run", "--", "store")
    assert result.returncode != 0
    assert "store: set this key to the location of the results in S3" in result.stdout + result.stderr


def test_a_run_is_not_made_in_storage(s3, tmp_path):
    options = ("--default-storage-provider", "s3", "--default-storage-prefix", "s3://results/other")
    result = snakemake(tmp_path, "--configfile", write_config(tmp_path), *options, "--dry-run")
    assert result.returncode != 0
    assert "the target `store` copies" in result.stdout + result.stderr

"""The page of a volume that was combined from several scans."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape

import numpy as np
import pytest

from pipeline.config.combine import Combine
from pipeline.fidelity.gate.scans import check_scans
from pipeline.inference.combine.combine import Combined
from pipeline.provenance.combined import record_of
from pipeline.reporting.pages.combined import combined_page
from tests.stacks import combined_stacks, write_stacks

HOSTILE = "cor<img src=x onerror=alert(1)>&.nii.gz"


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> Combined:
    return combined_stacks(write_stacks(tmp_path_factory.mktemp("stacks"), names={"coronal": HOSTILE}))


def page_of(found: Combined, settings: Combine | None = None) -> str:
    settings = settings or Combine()
    return combined_page("sr <b>.nii.gz", found, record_of(found, settings, check_scans(found)))


@pytest.fixture(scope="module")
def page(found) -> str:
    return page_of(found)


def test_the_sections_follow_each_other_and_the_verdict_is_two_sentences(page):
    names = re.findall(r'^<section id="([\w-]+)"', page, re.MULTILINE)
    assert names == [
        "summary",
        "images",
        "scans",
        "gates",
        "uncertainty",
        "limitations",
        "methods",
        "references",
        "provenance",
    ]
    text = unescape(page).replace("\N{MULTIPLICATION SIGN}", "x")
    assert (
        "3 scans with voxels of 1 x 1 x 4 mm, 1 x 4 x 1 mm and 4 x 1 x 1 mm were combined into one volume of "
        "48 x 48 x 48 voxels of 1 mm. It passes all 13 consistency gates, 1 slice was left out, and the largest motion "
        "between scans is 0.06 degrees and 0.05 mm." in text
    )
    assert "weakened: 6" in text
    assert "Not for diagnosis" in text
    for name in ("Gholipour A", "Brudfors M", "Rudin LI", "Vogel CR", "Mattes D"):
        assert name in text


def test_every_plane_shows_scans_mean_result_and_uncertainty_in_one_file(page):
    planes = re.split(r'<section class="slice"', page)[1:]
    assert [re.findall(r"<h3[^>]*>(\w+) slice 24 of 48", plane)[0] for plane in planes] == [
        "Axial",
        "Coronal",
        "Sagittal",
    ]  # pyright: ignore[reportOptionalSubscript]
    for plane in planes:
        captions = re.findall(r"<figcaption>(.*?)</figcaption>", plane)
        assert captions == [
            *("Scan 1, axial slices", "Scan 2, coronal slices", "Scan 3, sagittal slices"),
            *("Mean of the scans", "Combined volume", "Uncertainty map"),
        ]
        assert plane.count("<img") == 3 * 3 + 3 * 2 + 1
    assert not re.findall(r'(?:src|href)="(?!data:|#|https://doi\.org/|https://arxiv\.org/)[^"]*"', page)


def test_names_of_files_are_escaped(page):
    assert "<img src=x" not in page
    assert "cor&lt;img src=x onerror=alert(1)&gt;&amp;.nii.gz" in page
    assert "<h1>sr &lt;b&gt;.nii.gz" in page


def test_a_failed_gate_is_shown_where_nobody_misses_it(found):
    volume = found.volume.copy()
    volume[18:27, 18:27, 18:27] += 0.3
    page = page_of(replace(found, volume=volume))
    assert 'class="gates failed" role="alert"' in page
    assert re.search(r"It fails \d+ of 13 consistency gates", page)
    assert "Failed gate: local" in page
    assert re.search(r'class="number failed">[\d.]+<span class="below"><span class="failed">limit [\d.]+, failed', page)


def test_the_methods_are_those_of_the_settings(found):
    text = unescape(page_of(found, Combine(method="least_squares", motion=False)))
    assert "Rudin LI" not in text
    assert "Mattes D" not in text
    assert "motion was not estimated" in text


def test_thick_voxels_keep_their_proportions(found):
    grid = replace(found.grid, shape=(48, 48, 16), affine=found.grid.affine @ np.diag([1, 1, 3, 1]))
    scans = found.scans
    coarse = replace(
        found, grid=grid, volume=found.volume[..., 1::3], mean=found.mean[..., 1::3], spread=found.spread[..., 1::3]
    )
    page = combined_page("sr.nii.gz", coarse, record_of(coarse, Combine(), check_scans(found)))
    aspects = [float(one) for one in re.findall(r'sagittal slice" style="aspect-ratio: ([\d.]+)"', page)]
    assert len(aspects) == len(scans) + 3
    assert aspects[0] == pytest.approx(0.85 / 0.8, rel=0.12), "width over height of the ellipsoid, in mm"

"""Any image in, the same kind of image out: every format, dtype, orientation and byte order, there and back."""

from __future__ import annotations

import itertools
import json
import logging
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK
import tifffile
import torch
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image as PillowImage
from pydicom.data import get_testdata_file

from pipeline import plugins
from pipeline.__main__ import main
from pipeline.baselines.tuning.apply import upsample
from pipeline.config.families import COLLECTION_FORMAT, format_of_volume, result_suffix
from pipeline.config.load import read_run
from pipeline.config.sections import Degrade, Evaluate, Extract, Infer
from pipeline.config.sources import LocalSource
from pipeline.config.volumes import Volume
from pipeline.errors import UserError
from pipeline.formats import ROOM, Part, format_by_name, format_of, read_suffixes, written_suffixes
from pipeline.formats._picture_stack import PictureStackHeader
from pipeline.formats.io.container import read_image, write_image
from pipeline.formats.io.extraction import extract, read_block
from pipeline.formats.io.predictions import (
    prediction_path,
    read_prediction,
    restored_image,
    suffix_of,
    write_prediction,
)
from pipeline.formats.picture_folder import natural
from pipeline.image.image import Image
from pipeline.image.normalisation import normalise
from pipeline.inference.restore_file import restore_file, uncertainty_path
from pipeline.metrics.evaluation.measure import evaluate
from pipeline.models.generator import Generator, Shape
from pipeline.models.weights import save_generator
from pipeline.physics.degradation import degrade, forward_model
from pipeline.physics.forward import ForwardModel
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.reporting.figures.gallery import LOW, REFERENCE, build_gallery, selected_slices
from pipeline.reporting.figures.slices import display_slice
from pipeline.sources.download_record import DownloadRecord
from pipeline.sources.packing import pack
from pipeline.statistics.measurements import read_parts
from pipeline.statistics.measurements import volume_table as table_of_volumes
from pipeline.statistics.summary import summarise
from pipeline.steps.__main__ import main as run_step_here
from pipeline.tables.duplicates import DUPLICATES
from pipeline.tables.slices import SLICES
from pipeline.tables.summary import SUMMARY
from pipeline.tables.volumes import VOLUMES
from tests.helpers import configuration, described, ras_affine, reoriented, synthetic_head, volume_entry
from tests.image_files import PLANES, dicom_slice, numbers, png, write_dicom, write_ome, write_series, write_zip

SHAPE = (6, 7, 5)
TABLES = {
    "RAS": [[0, 1], [1, 1], [2, 1]],
    "LPI": [[0, -1], [1, -1], [2, -1]],
    "ASL": [[1, 1], [2, 1], [0, -1]],
    "SRP": [[2, 1], [0, 1], [1, -1]],
}
"""Orientations: for every axis of the file the RAS axis it follows and its direction."""


@dataclass(frozen=True)
class Case:
    """A file to write, how it is called, and which part of it is read."""

    kind: str
    name: str
    options: tuple[Any, ...] = ()
    part: Part = Part()

    def __str__(self) -> str:
        return f"{self.name} {' '.join(map(str, self.options))}".strip()

    def write(self, folder: Path) -> Path:
        return WRITERS[self.kind](folder / self.name, *self.options)


def oblique(spacing: tuple[float, float, float] = (0.8, 1.1, 2.0)) -> NDArray:
    """An affine whose axes are turned by a little against those of the head."""
    affine = ras_affine(spacing)
    turn = np.array([[0.98, -0.199, 0], [0.199, 0.98, 0], [0, 0, 1]])
    affine[:3, :3] = turn @ affine[:3, :3]
    return affine


def nifti_file(path: Path, dtype: str, orientation: str, version: int = 1, endian: str = "<", frames: int = 1) -> Path:
    data, affine = reoriented(numbers((*SHAPE, frames), dtype).squeeze(), oblique(), np.array(TABLES[orientation]))
    kind: Any = nib.Nifti2Image if version == 2 else nib.Nifti1Image
    image = kind(data, affine, header=kind.header_class(endianness=endian), dtype=data.dtype)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, code=1)
    if np.dtype(dtype).kind != "f":
        image.header.set_slope_inter(0.5, -3.0)
    image.to_filename(path)
    return path


def mgh_file(path: Path, dtype: str, orientation: str, frames: int = 1) -> Path:
    data, affine = reoriented(numbers((*SHAPE, frames), dtype).squeeze(), oblique(), np.array(TABLES[orientation]))
    kind: Any = nib.MGHImage
    image = kind(data, affine)
    image.header["tr"], image.header["te"] = 2300.0, 2.98
    image.to_filename(path)
    return path


def dicom_file(path: Path, dtype: str, plane: str, syntax: str = "explicit", **changes: Any) -> Path:
    series = write_series(path.with_name("series"), numbers(SHAPE, dtype), plane, syntax, order=-1, **changes)
    if path.suffix != ".zip":
        return series
    return write_zip(path, {f"a/b/{one.name}": one.read_bytes() for one in series.iterdir()})


def ome_file(path: Path, dtype: str, axes: str, byte_order: Any = "<") -> Path:
    sizes = {"T": 2, "C": 3, "Z": 4, "Y": 9, "X": 8}
    data = numbers([sizes[axis] for axis in axes], dtype)
    names = {"Name": ["DAPI", "GFP", "Cy5"]} if "C" in axes else {"Name": ["DAPI"]}
    metadata = {"axes": axes, "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5, "PhysicalSizeZ": 2.0, "Channel": names}
    tifffile.imwrite(path, data, ome=True, photometric="minisblack", metadata=metadata, byteorder=byte_order)
    return path


def imagej_file(path: Path, dtype: str, axes: str) -> Path:
    sizes = {"T": 2, "C": 3, "Z": 4, "Y": 9, "X": 8}
    metadata = {"axes": axes, "unit": "micron", "spacing": 2.0}
    data = numbers([sizes[axis] for axis in axes], dtype)
    tifffile.imwrite(path, data, imagej=True, resolution=(4.0, 2.0), metadata=metadata)
    return path


def plain_tiff(path: Path, dtype: str, pages: int, byte_order: Any = "<", **options: Any) -> Path:
    data = numbers((pages, 9, 8), dtype)
    options = {"photometric": "minisblack", "metadata": None, **options}
    tifffile.imwrite(path, data, byteorder=byte_order, **options)
    return path


def picture_file(path: Path, dtype: str, kind: str = "PNG") -> Path:
    path.write_bytes(png(numbers((9, 8), dtype), kind, dpi=(300, 150)))
    return path


def picture_stack(path: Path, dtype: str) -> Path:
    files = {f"s{number}.png": png(numbers((9, 8), dtype, number)) for number in (1, 2, 10)}
    if path.suffix == ".zip":
        return write_zip(path, files)
    path.mkdir()
    for name, content in files.items():
        (path / name).write_bytes(content)
    return path


WRITERS: dict[str, Any] = {
    "nifti": nifti_file,
    "mgh": mgh_file,
    "dicom": dicom_file,
    "ome": ome_file,
    "imagej": imagej_file,
    "plain": plain_tiff,
    "picture": picture_file,
    "pictures": picture_stack,
}

TIFF_DTYPES = ("uint8", "uint16", "float32", "int16", "uint32", "float64")
CASES = [
    *(Case("nifti", "a.nii.gz", (dtype, table)) for dtype in ("uint8", "int16", "uint16", "int32") for table in TABLES),
    *(Case("nifti", "a.nii", (dtype, "LPI", 2, ">")) for dtype in ("int16", "float32", "float64")),
    *(Case("nifti", "a.nii", ("float32", table, 1, ">")) for table in TABLES),
    Case("nifti", "a.nii.gz", ("int16", "ASL", 1, "<", 3), Part(frame=2)),
    *(Case("mgh", name, (dtype, table)) for name, dtype, table in (
        ("a.mgz", "uint8", "LPI"), ("a.mgz", "int16", "ASL"), ("a.mgh", "int32", "SRP"), ("a.mgh", "float32", "RAS"))),
    Case("mgh", "a.mgz", ("float32", "ASL", 2), Part(frame=1)),
    *(Case("dicom", "series", ("int16", plane)) for plane in PLANES),
    *(Case("dicom", "x.zip", (dtype, "oblique", syntax)) for dtype, syntax in itertools.product(
        ("uint8", "uint16", "int16"), ("explicit", "implicit", "rle"))),
    Case("dicom", "x.dicom.zip", ("uint16", "sagittal", "big-endian")),
    *(Case("ome", "a.ome.tif", (dtype, "ZYX")) for dtype in TIFF_DTYPES),
    *(Case("ome", "a.ome.tiff", ("uint16", axes, ">")) for axes in ("YX", "ZYX")),
    Case("ome", "a.ome.tif", ("uint16", "TCZYX"), Part(frame=1, channel="GFP")),
    Case("ome", "a.ome.tif", ("uint8", "TZCYX"), Part(frame=0, channel=2)),
    Case("ome", "a.ome.tif", ("float32", "CYX"), Part(channel="Cy5")),
    *(Case("imagej", "a.tif", (dtype, "ZYX")) for dtype in ("uint8", "uint16", "float32")),
    Case("imagej", "a.tif", ("uint16", "TZCYX"), Part(frame=1, channel=0)),
    *(Case("plain", "a.tif", (dtype, pages)) for dtype in ("uint8", "uint16", "float32") for pages in (1, 5)),
    *(Case("plain", "a.tiff", ("uint16", 5, ">"), Part(voxel_um=(0.5, 0.5, 3.0))) for _ in range(1)),
    *(Case("picture", "a.png", (dtype,)) for dtype in ("uint8", "uint16")),
    Case("picture", "a.jpg", ("uint8", "JPEG")),
    Case("picture", "a.png", ("uint16",), Part(voxel_um=(0.65, 0.65, 1.0))),
    *(Case("pictures", name, (dtype,)) for name in ("x.zip", "folder") for dtype in ("uint8", "uint16")),
]  # fmt: skip


def module_of(image: Image) -> Any:
    return plugins.load(ROOM, image.header.format)


def written(image: Image, folder: Path) -> Path:
    """The image as BrainSR writes it, with nothing changed."""
    path = folder / f"out{suffix_of(image)}"
    assert module_of(image).write(path, image) == 0
    return path


def test_there_are_enough_cases() -> None:
    assert len({str(case) + str(case.part) for case in CASES}) >= 60


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_is_read_and_written_unchanged_comes_back_the_same(case: Case, tmp_path: Path) -> None:
    source = case.write(tmp_path)
    image = format_of(source).read(source, case.part)
    target = written(image, tmp_path)
    back = module_of(image).read(target)
    np.testing.assert_array_equal(back.data, image.data)
    assert back.intensity == image.intensity
    if case.kind != "picture":
        np.testing.assert_allclose(back.affine, image.affine, rtol=1e-6, atol=1e-6)
        assert back.unit == image.unit
        written_anew = ("block", "elements", "series", "states_z", "distance_mm", "title")
        kept, expected = (
            {name: value for name, value in asdict(one.header).items() if name not in written_anew}
            for one in (back, image)
        )
        assert kept == expected
    content = target.read_bytes()
    written(image, tmp_path)
    assert target.read_bytes() == content, "the same image always gives the same bytes"


@pytest.mark.parametrize("case", CASES, ids=str)
def test_with_factor_two_the_physical_extent_stays(case: Case, tmp_path: Path) -> None:
    source = case.write(tmp_path)
    low = format_of(source).read(source, case.part)
    shape = tuple(2 * size if axis < 2 else size for axis, size in enumerate(low.data.shape))
    low = LowResolutionImage.of(low, ForwardModel((2, 2, 1), shape))
    fine = np.repeat(np.repeat(low.data, 2, axis=0), 2, axis=1)
    target = tmp_path / f"out{suffix_of(low)}"
    write_prediction(target, low, fine)
    back = module_of(low).read(target)
    np.testing.assert_array_equal(back.data, fine)
    assert back.intensity == low.intensity
    assert back.header.orientation == low.header.orientation
    reference = restored_image(low, fine)
    np.testing.assert_array_equal(read_prediction(target, reference), reference.intensity.normalise(fine))
    if low.is_anatomical:
        for corner in itertools.product(*((-0.5, size - 0.5) for size in low.data.shape)):
            scaled = (np.array(corner) + 0.5) * [2, 2, 1] - 0.5
            np.testing.assert_allclose(back.affine @ [*scaled, 1], low.affine @ [*corner, 1], atol=1e-4)
    elif low.unit == "um" and case.kind != "picture":
        np.testing.assert_allclose(np.array(back.spacing) * [2, 2, 1], low.spacing, rtol=1e-6)


# what independent programs say


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.kind in ("nifti", "mgh") and case.part == Part()], ids=str
)
def test_nibabel_finds_the_same_volume_before_and_after(case: Case, tmp_path: Path) -> None:
    source = case.write(tmp_path)
    before: Any = nib.load(source)
    after: Any = nib.load(written(format_of(source).read(source), tmp_path))
    np.testing.assert_array_equal(np.asarray(after.dataobj.get_unscaled()), np.asarray(before.dataobj.get_unscaled()))
    np.testing.assert_array_equal(np.asarray(after.dataobj), np.asarray(before.dataobj))
    np.testing.assert_allclose(after.affine, before.affine, atol=1e-5)
    assert after.get_data_dtype().newbyteorder("=") == before.get_data_dtype().newbyteorder("=")
    assert type(after) is type(before)
    if case.kind == "nifti":
        for key in ("sform_code", "qform_code", "xyzt_units", "scl_slope", "scl_inter"):
            assert after.header[key] == before.header[key] or np.isnan(before.header[key])
        assert after.header.endianness == before.header.endianness
    else:
        assert after.header["tr"] == before.header["tr"] and after.header["te"] == before.header["te"]


def read_by_simpleitk(folder: Path) -> Any:
    names = SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    return SimpleITK.ReadImage(names)


@pytest.mark.parametrize("plane", ["axial", "sagittal", "coronal", "oblique"])
@pytest.mark.parametrize("dtype", ["int16", "uint16", "uint8"])
def test_simpleitk_finds_the_same_series_before_and_after(plane: str, dtype: str, tmp_path: Path) -> None:
    folder = write_series(tmp_path / "in", numbers(SHAPE, dtype), plane)
    with zipfile.ZipFile(written(format_of(folder).read(folder), tmp_path)) as archive:
        archive.extractall(tmp_path / "out")
    before, after = read_by_simpleitk(folder), read_by_simpleitk(tmp_path / "out")
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(after), SimpleITK.GetArrayFromImage(before))
    for what in ("GetSpacing", "GetOrigin", "GetDirection", "GetPixelIDTypeAsString"):
        one, other = getattr(before, what)(), getattr(after, what)()
        assert one == other if isinstance(one, str) else np.allclose(one, other, atol=1e-6), what


def test_simpleitk_finds_a_refined_series_in_the_same_place(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "in", numbers(SHAPE, "int16"), "oblique")
    low = format_of(folder).read(folder)
    shape = [2 * size for size in low.data.shape]
    low = LowResolutionImage.of(low, ForwardModel((2, 2, 2), tuple(shape)))
    write_prediction(tmp_path / "out.dicom.zip", low, np.kron(low.data, np.ones((2, 2, 2))))
    with zipfile.ZipFile(tmp_path / "out.dicom.zip") as archive:
        archive.extractall(tmp_path / "out")
    before, after = read_by_simpleitk(folder), read_by_simpleitk(tmp_path / "out")
    np.testing.assert_allclose(2 * np.array(after.GetSpacing()), before.GetSpacing(), rtol=1e-6)
    for corner in itertools.product(*((-0.5, size - 0.5) for size in before.GetSize())):
        scaled = [(place + 0.5) * 2 - 0.5 for place in corner]
        one = before.TransformContinuousIndexToPhysicalPoint(corner)
        np.testing.assert_allclose(after.TransformContinuousIndexToPhysicalPoint(scaled), one, atol=1e-4)
    header = pydicom.dcmread(tmp_path / "out/0001.dcm")
    assert (header.Rows, header.Columns) == (2 * SHAPE[1], 2 * SHAPE[0])
    assert header.SliceThickness == pytest.approx(1.0) and header.SpacingBetweenSlices == pytest.approx(1.25)


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if case.kind in ("ome", "plain") and case.part == Part() and "float64" not in case.options],
    ids=str,
)
def test_simpleitk_reads_the_same_pixels_from_both_tiffs(case: Case, tmp_path: Path) -> None:
    source = case.write(tmp_path)
    target = written(format_of(source).read(source), tmp_path)
    before, after = (SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))) for path in (source, target))
    np.testing.assert_array_equal(after.squeeze(), before.squeeze())
    assert after.dtype == before.dtype


def test_the_xml_of_a_written_tiff_states_sizes_and_channel(tmp_path: Path) -> None:
    source = write_ome(tmp_path / "a.ome.tif", numbers((2, 3, 8, 9), "uint16"), "CZYX")
    image = format_of(source).read(source, Part(channel="GFP"))
    assert image.spacing == pytest.approx((0.25, 0.5, 2.0)) and image.unit == "um"
    with PillowImage.open(written(image, tmp_path)) as file:
        root = ElementTree.fromstring(file.tag_v2[270].encode("latin-1").decode())  # pyright: ignore[reportAttributeAccessIssue]
    space = "{http://www.openmicroscopy.org/Schemas/OME/2016-06}"
    pixels = root.find(f"{space}Image/{space}Pixels")
    assert pixels is not None
    stated = {key: pixels.get(key) for key in ("SizeX", "SizeY", "SizeZ", "SizeC", "SizeT", "Type")}
    assert stated == {"SizeX": "9", "SizeY": "8", "SizeZ": "3", "SizeC": "1", "SizeT": "1", "Type": "uint16"}
    assert [float(pixels.get(f"PhysicalSize{axis}", "nan")) for axis in "XYZ"] == [0.25, 0.5, 2.0]
    assert {pixels.get(f"PhysicalSize{axis}Unit") for axis in "XYZ"} == {"µm"}
    channel = pixels.find(f"{space}Channel")
    assert channel is not None and channel.get("Name") == "GFP"


# NIfTI and MGH


@settings(max_examples=40, deadline=None)
@given(
    table=st.permutations([0, 1, 2]).flatmap(
        lambda axes: st.tuples(*(st.tuples(st.just(axis), st.sampled_from([-1, 1])) for axis in axes))
    ),
    shape=st.tuples(*[st.integers(2, 5)] * 3),
    slope=st.sampled_from([1.0, 0.25, 3.7, -2.0]),
    spacing=st.tuples(*[st.floats(0.1, 9.0)] * 3),
)
def test_every_orientation_of_nifti_comes_back(
    tmp_path_factory: Any, table: Any, shape: Any, slope: float, spacing: Any
) -> None:
    folder = tmp_path_factory.mktemp("n")
    data, affine = reoriented(numbers(shape, "int16"), oblique(spacing), np.array(table))
    source: Any = nib.Nifti1Image(data, affine)
    source.header.set_slope_inter(slope, 5.0)
    nib.save(source, folder / "a.nii")
    image = format_of(folder / "a.nii").read(folder / "a.nii")
    assert np.all(np.diag(image.affine)[:3] > 0)
    after: Any = nib.load(written(image, folder))
    np.testing.assert_array_equal(after.dataobj.get_unscaled(), data)
    np.testing.assert_allclose(after.affine, affine, rtol=1e-5, atol=1e-4)


def test_a_volume_in_micrometres_stays_in_micrometres(tmp_path: Path) -> None:
    source: Any = nib.Nifti1Image(numbers(SHAPE, "int16"), oblique())
    source.header.set_xyzt_units("micron")
    nib.save(source, tmp_path / "a.nii.gz")
    image = format_of(tmp_path / "a.nii.gz").read(tmp_path / "a.nii.gz")
    assert image.unit == "um" and image.is_anatomical
    after: Any = nib.load(written(image, tmp_path))
    assert after.header.get_xyzt_units()[0] == "micron"


def test_nibabel_s_own_test_files_come_back(tmp_path: Path) -> None:
    folder = Path(nib.__file__).parent / "tests/data"
    for name, part in (
        ("test.mgz", Part(frame=1)),
        ("example4d.nii.gz", Part(frame=0)),
        ("anatomical.nii", Part()),
        ("example_nifti2.nii.gz", Part(frame=1)),
        ("standard.nii.gz", Part()),
    ):
        before: Any = nib.load(folder / name)
        image = format_of(folder / name).read(folder / name, part)
        after: Any = nib.load(written(image, tmp_path))
        expected = np.asarray(before.dataobj.get_unscaled())
        expected = expected[..., part.frame] if part.frame is not None else expected
        np.testing.assert_array_equal(np.asarray(after.dataobj.get_unscaled()), expected, err_msg=name)
        np.testing.assert_allclose(after.affine, before.affine, atol=1e-5)


# DICOM


@pytest.mark.parametrize(
    "name", ["MR_small.dcm", "CT_small.dcm", "693_J2KI.dcm", "MR_small_RLE.dcm", "MR_small_bigendian.dcm",
             "MR_small_implicit.dcm", "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm",
             "J2K_pixelrep_mismatch.dcm"]
)  # fmt: skip
def test_real_files_in_every_compression_come_back(name: str, tmp_path: Path) -> None:
    source = Path(str(get_testdata_file(name)))
    image = format_of(source).read(source)
    with zipfile.ZipFile(written(image, tmp_path)) as archive:
        archive.extractall(tmp_path / "out")
    before, after = (
        SimpleITK.ReadImage(str(path), imageIO="GDCMImageIO") for path in (source, tmp_path / "out/0001.dcm")
    )
    one, other = (SimpleITK.GetArrayFromImage(read).astype(float) for read in (before, after))
    if name != "J2K_pixelrep_mismatch.dcm":  # what its header says contradicts what is compressed in it
        np.testing.assert_array_equal(other, one)
    assert np.allclose(before.GetDirection(), after.GetDirection(), atol=1e-5)
    assert np.allclose(before.GetOrigin(), after.GetOrigin(), atol=1e-4)


def test_a_real_series_among_others_is_chosen_by_its_description() -> None:
    study = Path(str(get_testdata_file("CT_small.dcm"))).parent / "dicomdirtests/98892001"
    image = format_of(study).read(study, Part(series="SmartScore - Gated 0.5 sec"))
    assert image.data.shape == (16, 16, 5) and image.spacing == pytest.approx((0.488281, 0.488281, 2.5))
    identifier = "1.3.6.1.4.1.5962.1.1.0.0.0.1194734704.16302.0.6"
    np.testing.assert_array_equal(format_of(study).read(study, Part(series=identifier)).data, image.data)
    with pytest.raises(UserError, match="there is no series 'T2'; it contains 'Scout'"):
        format_of(study).read(study, Part(series="T2"))


def files_of(archive: Path) -> list[Any]:
    with zipfile.ZipFile(archive) as content:
        return [pydicom.dcmread(content.open(name)) for name in content.namelist()]  # pyright: ignore[reportArgumentType]


def test_a_result_is_a_new_derived_series_of_the_same_patient(tmp_path: Path) -> None:
    data = numbers(SHAPE, "uint16") % 4096
    folder = write_series(tmp_path / "in", data, BitsStored=12, HighBit=11, RescaleSlope=2, RescaleIntercept=-5)
    image = format_of(folder).read(folder)
    assert image.data.max() == 2 * data.max() - 5
    slices = files_of(written(image, tmp_path))
    assert len(slices) == SHAPE[2]
    assert len({one.SOPInstanceUID for one in slices}) == SHAPE[2]
    assert len({one.SeriesInstanceUID for one in slices}) == 1
    first = slices[0]
    assert first.SeriesInstanceUID != "1.2.3.4" and first.StudyInstanceUID == "1.2.3.1"
    assert first.FrameOfReferenceUID == "1.2.3.5"
    assert list(first.ImageType) == ["DERIVED", "SECONDARY", "M"]
    assert first.SeriesDescription == "T1 MPRAGE BrainSR"
    assert str(first.PatientName) == "Müller^Jörg" and first.PatientID == "P1"
    assert (first.BitsStored, first.HighBit, first.RescaleSlope, first.RescaleIntercept) == (12, 11, 2, -5)
    assert all(element.tag.group % 2 == 0 for element in first), "private elements are left out"
    assert not {"PatientBirthDate", "InstitutionName", "OperatorsName"} & set(first.dir())
    other = image.with_data(image.data[::-1])
    assert files_of(written(other, tmp_path))[0].SeriesInstanceUID != first.SeriesInstanceUID


def test_values_beyond_the_stored_bits_are_clipped_and_counted(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "in", numbers(SHAPE, "uint16") % 4096, BitsStored=12, HighBit=11)
    image = format_of(folder).read(folder)
    data = image.data.copy()
    data[0, 0, :2] = 5000
    data[1, 1, 0] = -3
    assert format_of(folder).write(tmp_path / "x.dicom.zip", image.with_data(data)) == 3
    assert max(one.pixel_array.max() for one in files_of(tmp_path / "x.dicom.zip")) == 4095


def test_bright_is_much_in_monochrome1_too(tmp_path: Path) -> None:
    data = numbers(SHAPE, "uint8")
    folder = write_series(tmp_path / "in", data, PhotometricInterpretation="MONOCHROME1")
    plain = write_series(tmp_path / "plain", data)
    image, other = format_of(folder).read(folder), format_of(plain).read(plain)
    np.testing.assert_array_equal(image.data, 255 - other.data)
    first = files_of(written(image, tmp_path))[0]
    assert first.PhotometricInterpretation == "MONOCHROME1"
    np.testing.assert_array_equal(first.pixel_array, data[:, :, 0].T)


def test_an_overlay_in_unused_bits_is_no_intensity(tmp_path: Path) -> None:
    data = numbers(SHAPE, "uint16") % 4096
    folder = write_series(tmp_path / "in", data | 0x8000, BitsStored=12, HighBit=11)
    assert format_of(folder).read(folder).data.max() == data.max()


def test_slices_with_slopes_of_their_own_keep_their_physical_values(tmp_path: Path) -> None:
    data = numbers(SHAPE, "uint16") % 30000
    for index in range(SHAPE[2]):
        one = dicom_slice(data[:, :, index].T, index, RescaleSlope=0.5 + index, RescaleIntercept=0, Modality="PT")
        write_dicom(tmp_path / f"in/{index}.dcm", one)
    image = format_of(tmp_path / "in").read(tmp_path / "in")
    expected = np.sort((data * (0.5 + np.arange(SHAPE[2]))).ravel())
    np.testing.assert_allclose(np.sort(image.data.ravel()), expected)
    back = format_of(tmp_path / "in").read(written(image, tmp_path))
    np.testing.assert_allclose(back.data, image.data, atol=expected[-1] / 65535)


def test_a_tilted_gantry_shears_the_volume(tmp_path: Path) -> None:
    for index in range(4):
        one = dicom_slice(numbers((5, 6), "int16", index), index)
        one.ImagePositionPatient = [0.0, 1.5 * index, 2.0 * index]
        write_dicom(tmp_path / f"in/{index}.dcm", one)
    image = format_of(tmp_path / "in").read(tmp_path / "in")
    assert image.spacing[2] == pytest.approx(2.5)
    back = format_of(tmp_path / "in").read(written(image, tmp_path))
    np.testing.assert_allclose(back.affine, image.affine, atol=1e-6)


# TIFF


@pytest.mark.parametrize("compression", [None, "zlib", "lzma"])
@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_tiles_and_compressions_are_read(compression: str | None, tile: Any, tmp_path: Path) -> None:
    data = numbers((3, 40, 33), "uint16")
    tifffile.imwrite(tmp_path / "a.tif", data, compression=compression, tile=tile, photometric="minisblack")
    image = format_of(tmp_path / "a.tif").read(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.data, data[:, ::-1, ::-1].transpose(2, 1, 0))


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "jpeg", "tiff_adobe_deflate"])
def test_compressions_of_other_programs_are_read(compression: str, tmp_path: Path) -> None:
    pictures = [PillowImage.fromarray(numbers((16, 24), "uint8", seed)) for seed in range(3)]
    pictures[0].save(tmp_path / "a.tif", save_all=True, append_images=pictures[1:], compression=compression)
    image = format_of(tmp_path / "a.tif").read(tmp_path / "a.tif")
    assert image.data.shape == (24, 16, 3)
    with PillowImage.open(tmp_path / "a.tif") as file:
        file.seek(2)
        np.testing.assert_array_equal(display_slice(image.data, 2, 2), np.asarray(file))


def test_a_stack_in_one_piece_is_read(tmp_path: Path) -> None:
    data = numbers((2, 3, 8, 9), "uint16")
    tifffile.imwrite(tmp_path / "a.tif", data, imagej=True, metadata={"axes": "ZCYX"}, contiguous=True)
    image = format_of(tmp_path / "a.tif").read(tmp_path / "a.tif", Part(channel=1))
    np.testing.assert_array_equal(image.data, data[:, 1, ::-1, ::-1].transpose(2, 1, 0))


def test_inverted_grey_is_turned_and_written_inverted(tmp_path: Path) -> None:
    data = numbers((2, 8, 9), "uint8")
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="miniswhite")
    image = format_of(tmp_path / "a.tif").read(tmp_path / "a.tif")
    np.testing.assert_array_equal(display_slice(image.data, 2, 0), 255 - data[0])
    with tifffile.TiffFile(written(image, tmp_path)) as file:
        assert file.pages[0].photometric.name == "MINISWHITE"  # pyright: ignore[reportAttributeAccessIssue]
        np.testing.assert_array_equal(file.asarray(), data)


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_of_a_coloured_tiff_one_colour_may_be_chosen(planar: str, tmp_path: Path) -> None:
    data = numbers((8, 9, 3), "uint8")
    stored = data if planar == "contig" else np.moveaxis(data, -1, 0)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planar)
    tiff = format_of(tmp_path / "a.tif")
    for index, name in enumerate(("red", "green", "blue")):
        image, same = (tiff.read(tmp_path / "a.tif", Part(channel=channel)) for channel in (name, index))
        np.testing.assert_array_equal(display_slice(image.data, 2, 0), data[:, :, index])
        np.testing.assert_array_equal(same.data, image.data)
        assert image.header.channels == (name,) and not image.header.coloured


def test_a_pyramid_is_read_at_its_finest_level(tmp_path: Path) -> None:
    data = numbers((64, 64), "uint16")
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as file:
        file.write(
            data,
            subifds=1,
            photometric="minisblack",
            metadata={"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5},
        )
        file.write(data[::2, ::2], subfiletype=1, photometric="minisblack")
    image = format_of(tmp_path / "a.ome.tif").read(tmp_path / "a.ome.tif")
    assert image.data.shape == (64, 64, 1) and image.spacing[:2] == (0.5, 0.5)


def test_a_given_voxel_size_counts_more_than_the_stated_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = write_ome(tmp_path / "a.ome.tif", numbers((3, 8, 9), "uint8"), "ZYX")
    image = format_of(source).read(source, Part(voxel_um=(1.0, 1.0, 5.0)))
    assert image.spacing == (1.0, 1.0, 5.0) and "voxel_um differs" in caplog.text


# pictures


def test_a_picture_keeps_its_depth_and_its_printed_size(tmp_path: Path) -> None:
    for dtype in ("uint8", "uint16"):
        picture = numbers((9, 8), dtype)
        (tmp_path / "a.png").write_bytes(png(picture, dpi=(300, 150)))
        image = format_of(tmp_path / "a.png").read(tmp_path / "a.png")
        assert image.unit == "pixel" and image.data.shape == (8, 9, 1)
        with PillowImage.open(written(image, tmp_path)) as file:
            np.testing.assert_array_equal(np.asarray(file), picture)
            assert file.info["dpi"] == pytest.approx((300, 150), rel=1e-4)


def test_a_jpeg_is_delivered_as_png(tmp_path: Path) -> None:
    (tmp_path / "a.JPG").write_bytes(png(numbers((9, 8), "uint8"), "JPEG"))
    image = format_of(tmp_path / "a.JPG").read(tmp_path / "a.JPG")
    assert suffix_of(image) == ".png"
    with pytest.raises(UserError, match=r"came as picture .* name the file \.png"):
        write_prediction(tmp_path / "b.jpg", image, image.data)


def test_of_a_coloured_picture_one_colour_may_be_chosen_and_grey_rgb_is_grey(tmp_path: Path) -> None:
    data = numbers((9, 8, 3), "uint8")
    (tmp_path / "c.png").write_bytes(png(data))
    picture = format_of(tmp_path / "c.png")
    np.testing.assert_array_equal(
        display_slice(picture.read(tmp_path / "c.png", Part(channel="green")).data, 2, 0), data[:, :, 1]
    )
    (tmp_path / "g.png").write_bytes(png(np.stack([data[:, :, 0]] * 3, axis=2)))
    np.testing.assert_array_equal(display_slice(picture.read(tmp_path / "g.png").data, 2, 0), data[:, :, 0])


def test_a_stack_of_pictures_is_in_natural_order_and_becomes_a_tiff(tmp_path: Path) -> None:
    folder = picture_stack(tmp_path / "stack", "uint8")
    image = format_of(folder).read(folder, Part(voxel_um=(0.004, 0.004, 0.05)))
    assert image.stack.names == ("s1.png", "s2.png", "s10.png")
    for index, number in enumerate((1, 2, 10)):
        np.testing.assert_array_equal(display_slice(image.data, 2, index), numbers((9, 8), "uint8", number))
    assert suffix_of(image) == ".ome.tiff"
    back = format_of(tmp_path / "x.ome.tiff").read(written(image, tmp_path))
    assert back.spacing == pytest.approx((0.004, 0.004, 0.05))


@given(st.lists(st.integers(0, 10**6), unique=True), st.sampled_from(["", "slice", "z-"]))
def test_numbers_in_names_sort_as_numbers(values: list[int], start: str) -> None:
    names = [f"{start}{value}.png" for value in values]
    assert sorted(names, key=natural) == [f"{start}{value}.png" for value in sorted(values)]


NATURAL = (
    ["a_1", "a_2", "a_10", "b_1", "b_2"],
    ["left/1", "left/2", "right/1", "right/2"],
    ["s2/9", "s10/1"],
    ["alpha5", "beta3"],
    ["brain2_z1", "brain2_z2", "brain2_z10", "Brain3_z1", "brain10_z1"],
    ["scan", "scan1", "scan1b", "scan01c"],
)


@pytest.mark.parametrize("order", NATURAL)
@pytest.mark.parametrize("packed", [False, True])
def test_a_stack_of_pictures_is_in_the_order_that_the_log_states(
    order: list[str], packed: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    files = {f"{name}.png": png(numbers((9, 8), "uint8", index)) for index, name in enumerate(order)}
    folder = tmp_path / "stack"
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    source = write_zip(tmp_path / "stack.zip", dict(sorted(files.items(), reverse=True))) if packed else folder
    image = format_of(source).read(source)
    assert image.stack.names == tuple(files)
    for index in range(len(order)):
        np.testing.assert_array_equal(display_slice(image.data, 2, index), numbers((9, 8), "uint8", index))
    assert f"{len(order)} slices in the order of their names, from {order[0]}.png to {order[-1]}.png" in caplog.text


@pytest.mark.parametrize(
    "name", ["2.tif", "2.BMP", "sub/2.ome.tiff", "2.nii.gz", "notes.txt", "Thumbs.db", ".DS_Store"]
)
def test_other_files_beside_pictures_are_refused_or_named(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = {"1.png": png(numbers((9, 8), "uint8")), "3.png": png(numbers((9, 8), "uint8", 3))}
    source = write_zip(tmp_path / "stack.zip", {**files, name: b"anything"})
    if name in ("notes.txt", "Thumbs.db", ".DS_Store"):
        assert format_of(source).read(source).data.shape == (8, 9, 2)
        assert ("ignored: notes.txt" in caplog.text) == (name == "notes.txt") == bool(caplog.text)
    else:
        with pytest.raises(UserError, match=f"only PNG and JPEG are read as a stack of pictures, not {name}"):
            format_of(source).read(source)


def test_files_that_are_not_packed_with_pictures_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("1.png", "2.tif", "3.png", "Thumbs.db", ".DS_Store", "sub/notes.txt"):
        (tmp_path / "stack" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "stack" / name).write_bytes(b"anything")
    pack(tmp_path / "stack", tmp_path / "stack.zip")
    assert "nor DICOM: 2.tif, sub/notes.txt" in caplog.text and len(caplog.records) == 1


# what a part may be


@pytest.mark.parametrize(
    ("case", "part", "words"),
    [
        (Case("nifti", "a.nii", ("int16", "RAS", 1, "<", 3)), Part(), "contains 3 frames; choose one with frame: 0 to"),
        (Case("nifti", "a.nii", ("int16", "RAS", 1, "<", 3)), Part(frame=3), "frame 3 is out of range; valid: 0 to 2"),
        (Case("nifti", "a.nii", ("int16", "RAS")), Part(frame=1), "frame 1 is out of range; valid: 0"),
        (Case("nifti", "a.nii", ("int16", "RAS")), Part(channel=0), "NIfTI has no channel"),
        (Case("mgh", "a.mgz", ("int16", "RAS", 2)), Part(), "contains 2 frames"),
        (Case("dicom", "series", ("int16", "axial")), Part(channel=0), "DICOM has no channel"),
        (Case("ome", "a.ome.tif", ("uint8", "TCZYX")), Part(channel=0), "contains 2 frames"),
        (Case("ome", "a.ome.tif", ("uint8", "CYX")), Part(channel="RFP"), "no channel 'RFP'; it contains 0 ('DAPI')"),
        (Case("ome", "a.ome.tif", ("uint8", "CYX")), Part(channel=3), "there is no channel 3"),
        (Case("ome", "a.ome.tif", ("uint8", "ZYX")), Part(series="x"), "there is no image 'x'"),
        (Case("plain", "a.tif", ("uint8", 1)), Part(channel=1), "there is no channel 1; it contains 0"),
        (Case("picture", "a.png", ("uint8",)), Part(series="x"), "a picture has no series"),
        (Case("picture", "a.png", ("uint8",)), Part(channel="red"), "no channel 'red'"),
    ],
    ids=str,
)  # fmt: skip
def test_a_part_that_is_not_there_is_answered_with_what_is(case: Case, part: Part, words: str, tmp_path: Path) -> None:
    source = case.write(tmp_path)
    with pytest.raises(UserError) as error:
        format_of(source).read(source, part)
    assert words in str(error.value) and str(source) in str(error.value) and "\n" not in str(error.value)


def test_one_of_several_images_in_a_tiff_is_chosen(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for side in (8, 12):
            file.write(numbers((side, side), "uint8"), photometric="minisblack", metadata=None)
    tiff = format_of(tmp_path / "a.tif")
    with pytest.raises(UserError, match="contains 2 images; choose one with series"):
        tiff.read(tmp_path / "a.tif")
    assert tiff.read(tmp_path / "a.tif", Part(series="1")).data.shape == (12, 12, 1)


def test_a_folder_that_is_an_ome_zarr_is_read_after_packing_too(tmp_path: Path) -> None:
    source = tmp_path / "a.ome.zarr"
    group = zarr.open_group(source, mode="w", zarr_format=2)
    group.create_array("0", data=numbers((2, 30, 40), "uint16"), chunks=(1, 16, 16))
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
    scale = {"type": "scale", "scale": [2, 0.5, 0.25]}
    dataset = {"path": "0", "coordinateTransformations": [scale]}
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": [dataset]}]
    image = format_of(source).read(source)
    (tmp_path / "packed").mkdir()
    pack(source, tmp_path / "packed/a.ome.zarr")
    packed = format_of(tmp_path / "packed/a.ome.zarr").read(tmp_path / "packed/a.ome.zarr")
    np.testing.assert_array_equal(packed.data, image.data)
    assert packed.spacing == image.spacing == (0.25, 0.5, 2.0)
    assert suffix_of(image) == ".ome.zarr.zip"


# names


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.nii.gz", "nifti"), ("A.NII", "nifti"), ("a.mgz", "mgh"), ("a.dicom.zip", "dicom"), ("a.dcm", "dicom"),
     ("a.ome.tif", "tiff"), ("a.tiff", "tiff"), ("a.png", "picture"), ("a.jpeg", "picture"), ("a.ome.zarr", "ome_zarr"),
     ("a.zip", None), ("folder", None)],
)  # fmt: skip
def test_a_name_tells_the_format_or_nothing(name: str, expected: str | None) -> None:
    assert format_by_name(name) == expected


def test_endings_are_known_without_importing_the_modules() -> None:
    for name in plugins.names(ROOM):
        module = plugins.load(ROOM, name)
        assert read_suffixes(name) == module.SUFFIXES
        assert written_suffixes(name) == getattr(module, "WRITTEN", module.SUFFIXES)


def volume(**changes: Any) -> Volume:
    return Volume.model_validate_json(json.dumps(volume_entry(**changes)))


def source(path: str, **changes: Any) -> LocalSource:
    return LocalSource.model_validate({"kind": "local", "path": path, **changes})


def test_results_are_of_the_family_of_their_source() -> None:
    for given_source, expected in (
        (source("a.nii"), ".nii.gz"),
        (source("a.mgh"), ".mgz"),
        (source("scan", format="dicom"), ".dicom.zip"),
        (source("a.tif"), ".ome.tiff"),
        (source("a.jpg"), ".png"),
        (source("a.zip", format="picture_folder"), ".ome.tiff"),
    ):
        assert result_suffix(volume(), {"mine": given_source}) == expected
    stack = volume(shard=[0, 1])
    assert format_of_volume(stack, {}) == COLLECTION_FORMAT == PictureStackHeader.format
    assert result_suffix(stack, {}) == ".tiff"


def test_a_source_whose_name_tells_nothing_needs_a_format() -> None:
    sources = {"mine": {"kind": "local", "path": "scans/"}, "theirs": {"kind": "local", "path": "theirs.nii"}}
    with pytest.raises(
        UserError, match=r"sources\.mine: the name 'scans' does not determine the file format.*dicom.*picture"
    ):
        read_run(configuration(sources=sources))
    sources["mine"]["format"] = "dicom"
    assert read_run(configuration(sources=sources)).sources["mine"].format == "dicom"
    sources["mine"]["format"] = "dicon"
    with pytest.raises(UserError, match="did you mean 'dicom'"):
        read_run(configuration(sources=sources))


def test_a_part_of_a_volume_is_not_of_a_collection_s_pictures() -> None:
    assert volume(channel="GFP", frame=2, voxel_um=[0.5, 0.5, 1]).voxel_um == (0.5, 0.5, 1.0)
    with pytest.raises(ValueError, match="channel applies to volumes"):
        volume(shard=[0, 1], channel=1)


# from the file to the pages


def micrograph(shape: tuple[int, int, int] = (3, 64, 56)) -> NDArray:
    """A field that is full of structure, uint16, shape (slices, rows, columns); its corners differ."""
    head = synthetic_head((shape[2], shape[1], max(8, shape[0]))).transpose(2, 1, 0)[: shape[0]]
    field = 3000 + 40 * head + numbers(shape, "uint16") % 500
    field[:, :8, :8] = 60000
    return field.astype(np.uint16)


@pytest.mark.parametrize("slices", [None, (1, 3)])
def test_a_micrograph_is_extracted_upright_and_its_prediction_compared(slices: Any, tmp_path: Path) -> None:
    path = write_ome(tmp_path / "a.ome.tif", np.stack([micrograph(), micrograph()[::-1]]), "CZYX")
    entry = volume(channel="DAPI", slices=slices)
    extract(path, entry, Extract(plane="coronal", foreground="all"), tmp_path / "a.safetensors")
    image = read_image(tmp_path / "a.safetensors")
    start = slices[0] if slices else 0
    assert image.plane == "picture" and image.slice_axis == 2 and image.unit == "um"
    assert image.masks["foreground"].all() and image.header.orientation is None
    assert image.stack.names[0] == f"section {start}"
    drawn = image.intensity.to_physical(display_slice(image.data, 2, 0))
    np.testing.assert_allclose(drawn, micrograph()[start], rtol=1e-6)
    low = degrade(image, forward_model(image, Degrade(factor=2), 0))
    assert low.spacing == pytest.approx((0.5, 1.0, 2.0))
    write_prediction(tmp_path / "p.ome.tiff", low, np.kron(low.data, np.ones((2, 2, 1))))
    assert read_prediction(tmp_path / "p.ome.tiff", image).shape == image.data.shape
    module_of(image).write(
        tmp_path / "q.ome.tiff", image.with_data(image.data, affine=image.affine @ np.diag([2, 2, 1, 1]))
    )
    with pytest.raises(UserError, match=r"differs from that of volume 'head' by up to 0\.5 um"):
        read_prediction(tmp_path / "q.ome.tiff", image)


def test_a_single_picture_goes_through_to_the_pages(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(micrograph()[0]))
    image = read_block(tmp_path / "a.png", volume(voxel_um=[0.5, 0.5, 1.0]), Extract(foreground="all"))
    assert image.data.shape == (56, 64, 1) and image.block.foreground_slices == (0,)
    image = described(image, id="head", slices=(0, 1))
    low = degrade(image, forward_model(image, Degrade(factor=2), 0))
    drawn = {
        LOW: selected_slices(image.data, image, [0]),
        "m": selected_slices(image.data, image, [0]),
        REFERENCE: selected_slices(image.data, image, [0]),
    }
    gallery = build_gallery(image, [0], drawn, {}, "m")
    assert gallery.edges == () and gallery.slices[0].label == "a.png"
    write_prediction(tmp_path / "p.png", low, np.kron(low.data, np.ones((2, 2, 1))))
    assert read_prediction(tmp_path / "p.png", image).shape == (56, 64, 1)


def test_lengths_in_pixels_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tifffile.imwrite(tmp_path / "a.tif", micrograph(), photometric="minisblack")
    assert read_block(tmp_path / "a.tif", volume(), Extract()).unit == "pixel"
    assert "lengths are in pixels until voxel_um is given" in caplog.text


def test_nothing_but_one_value_is_refused_also_where_everything_counts(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.full((20, 20), 7, np.uint8), photometric="minisblack")
    with pytest.raises(UserError, match="every voxel is 7"):
        read_block(tmp_path / "a.tif", volume(), Extract(foreground="all"))


def test_anatomical_planes_hold_for_every_anatomical_format(tmp_path: Path) -> None:
    head = synthetic_head((20, 24, 18)).astype(np.int16)
    folder = write_series(tmp_path / "in", head)
    image = normalise(format_of(folder).read(folder), Extract(plane="sagittal"))
    assert image.plane == "sagittal" and image.slice_axis == 0


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("model") / "generator.safetensors"
    save_generator(path, Generator(Shape.from_json({"blocks": 1, "features": 8, "growth": 4})))
    return path


def head_in(kind: str, folder: Path) -> Path:
    head = synthetic_head((20, 22, 4), texture=100).astype(np.int16)
    sections = np.ascontiguousarray(head.transpose(2, 1, 0)).astype(np.uint16)
    if kind == "dicom":
        return write_series(folder / "scan", head)
    path = folder / {"mgh": "a.mgz", "tiff": "a.tif", "picture": "a.png"}[kind]
    if kind == "mgh":
        image: Any = nib.MGHImage
        image(head, ras_affine()).to_filename(path)
    elif kind == "tiff":
        tifffile.imwrite(path, np.stack([sections] * 2), imagej=True, metadata={"axes": "TZYX"})
    else:
        path.write_bytes(png(sections[2]))
    return path


@pytest.mark.parametrize("kind", ["dicom", "mgh", "tiff", "picture"])
def test_apply_takes_any_format_and_gives_the_same_back(kind: str, generator: Path, tmp_path: Path) -> None:
    path = head_in(kind, tmp_path)
    part = Part(frame=1) if kind == "tiff" else Part()
    before = format_of(path).read(path, part)
    output = tmp_path / f"out{suffix_of(before)}"
    quiet = Infer(noise_sigma=0.01, force=True)
    restore_file(generator, path, output, part, Extract(), quiet, "cpu", uncertainty=True)
    after = module_of(before).read(output)
    assert after.data.shape == tuple(size * factor for size, factor in zip(before.data.shape, (4, 4, 1), strict=True))
    assert after.intensity.dtype == before.intensity.dtype
    doubtful = module_of(before).read(tmp_path / f"out.uncertainty{suffix_of(before)}")
    assert doubtful.data.shape == after.data.shape
    np.testing.assert_allclose(doubtful.affine, after.affine)
    assert doubtful.data.min() >= 0 and doubtful.data.max() > 0
    assert (doubtful.intensity.dtype == "float32") == (kind in ("mgh", "tiff"))
    alone = tmp_path / f"alone{suffix_of(before)}"
    restore_file(generator, path, alone, part, Extract(), quiet, "cpu", uncertainty=False)
    np.testing.assert_array_equal(module_of(before).read(alone).data, after.data)
    assert len(list(tmp_path.glob("*.uncertainty.*"))) == 1
    with pytest.raises(UserError, match=f"came as {before.header.format}"):
        restore_file(generator, path, tmp_path / "out.xyz", part, Extract(), quiet, "cpu")
    assert not (tmp_path / "out.xyz").exists()


@pytest.mark.parametrize("name", ["a.b.nii.gz", "a.ome.tiff", "a.dicom.zip", "a.ome.zarr", "a.mgz", "a.png", "a.xyz"])
def test_an_error_map_keeps_the_ending_of_its_result(name: str) -> None:
    made = uncertainty_path(Path("folder") / name)
    assert made.parent == Path("folder")
    assert made.name.replace(".uncertainty", "") == name
    assert made.name.endswith(f".uncertainty{name[name.index('.', 2 if name[1:3] == '.b' else 0) :]}")


def test_the_command_line_names_the_part(generator: Path, tmp_path: Path) -> None:
    head = synthetic_head((20, 22, 4), texture=100).astype(np.uint16).transpose(2, 1, 0)
    path, output = tmp_path / "a.tif", tmp_path / "b.ome.tif"
    tifffile.imwrite(path, np.stack([head, head]), photometric="minisblack", metadata={"axes": "CZYX"}, ome=True)
    paths = ("--model", generator, path, "--output", output)
    options = ["--channel", "1", "--voxel-um", "0.5", "0.5", "2", "--foreground", "all", "--device", "cpu", "--force"]
    assert main(["apply", *map(str, paths), *options]) == 0
    image = format_of(output).read(output)
    assert image.spacing == (0.125, 0.125, 2.0) and image.data.shape == (80, 88, 4)
    assert main(["apply", *map(str, paths), "--channel", "2", "--device", "cpu"]) == 1


METHODS = ("bicubic", "nearest", "rrdb_l1")


@pytest.fixture(scope="module", params=["ZYX", "ZCYX"])
def pages(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The pages about a micrograph that three methods restored, the last of them a mixture with the reference."""
    folder = tmp_path_factory.mktemp("micrographs")
    volumes, sources = [], {}
    for seed, split in enumerate(("train", "val", "test")):
        stack = synthetic_head((40, 44, 6), seed).astype(np.uint16)
        sections = np.ascontiguousarray(stack.transpose(2, 1, 0))
        channels = np.stack([sections, sections // 3], axis=1) if "C" in request.param else sections
        write_ome(folder / f"{split}.ome.tif", channels, request.param)
        volumes.append({"id": f"{split}-0", "subject": f"M{seed}", "split": split, "source": split})
        sources[split] = {"kind": "local", "path": f"{split}.ome.tif", "sha256": None}
    values = configuration(volumes=volumes, sources=sources, evaluate={"bootstrap_samples": 200})
    (folder / "config.json").write_text(json.dumps(values))
    rows: dict[str, list[Any]] = {}
    measuring = Evaluate(bootstrap_samples=200)
    for one in read_run(values).volumes:
        hr, split = folder / f"extracted/{one.id}.safetensors", one.split
        extract(folder / f"{split}.ome.tif", one, Extract(), hr)
        reference = read_image(hr)
        low = degrade(reference, forward_model(reference, Degrade(factor=4), 1))
        write_image(folder / f"degraded/{one.id}.safetensors", low)
        source = LocalSource(kind="local", path=f"{split}.ome.tif")
        DownloadRecord.of(split, source, "0" * 64, 1).write(folder / f"{split}.source.json")
        for method in METHODS:
            path = prediction_path(folder / "predictions", method, one.id, suffix_of(low))
            if method == "rrdb_l1":
                write_prediction(path, low, np.asarray(reference.data) * np.float32(0.95))
            else:
                write_prediction(path, low, upsample(low, method))
            rows.setdefault(split, []).extend(evaluate(reference, method, read_prediction(path, reference), measuring))
    for split in ("val", "test"):
        SLICES.write(folder / f"{split}.csv", rows[split])
    slices = read_parts([folder / "val.csv", folder / "test.csv"])
    SLICES.write(folder / "slices.csv", slices)
    VOLUMES.write(folder / "volumes.csv", table_of_volumes(slices))
    SUMMARY.write(folder / "summary.csv", summarise(slices, measuring, 1, []))
    (folder / "tuning.json").write_text(json.dumps({"methods": {}}))
    (folder / "models/rrdb_l1").mkdir(parents=True)
    (folder / "models/rrdb_l1/model_card.md").write_text("# Fine-tuned\n")
    (folder / "models/rrdb_l1/history.csv").write_text("step,learning_rate,loss\n")
    (folder / "duplicates.csv").write_text(f"{','.join(DUPLICATES.columns)}\n")
    parts = [folder / f"extracted/{split}-0.safetensors" for split in ("train", "val", "test")]
    records = [folder / f"{split}.source.json" for split in ("train", "val", "test")]
    provenance = folder / "provenance.json"
    command("provenance", "--config", folder / "config.json", "--sources", *records, "--volumes", *parts,
            "--duplicates", folder / "duplicates.csv", "--output", provenance)  # fmt: skip
    tables = ["--volumes-table", folder / "volumes.csv", "--slices", folder / "slices.csv"]
    tables += ["--summary", folder / "summary.csv", "--provenance", provenance, "--models", folder / "models/rrdb_l1"]
    predictions = [folder / f"predictions/{method}/test-0.ome.tiff" for method in METHODS]
    low = folder / "degraded/test-0.safetensors"
    command("report_volumes", "--hr", parts[2], "--lr", low, "--predictions", *predictions, *tables,
            "--tuning", folder / "tuning.json", "--deliver", "rrdb_l1", "--output", folder / "pages")  # fmt: skip
    command("report_index", *tables, "--output", folder / "pages/index.html")
    texts = {name: (folder / f"pages/{name}.html").read_text() for name in ("test-0", "index")}
    return {"axes": request.param, **texts}


def command(*arguments: str | Path) -> None:
    assert run_step_here(list(map(str, arguments))) == 0


def test_the_page_of_a_micrograph_names_its_sections_and_no_plane(pages: dict[str, str]) -> None:
    text = pages["test-0"]
    assert "section 0" in text and "6 slices" in text and "The voxel size increased from 0.25" in text
    assert "Slices of micrographs were used in their stored orientation." in text
    wrong = ("axial slices", "RAS orientation", "Radiological", "Whose heads", "picture slice")
    assert [words for words in wrong if words in text] == []


def test_slices_of_several_channels_are_named_by_them(pages: dict[str, str]) -> None:
    told = ("section 0, DAPI", "section 5, GFP", "Each channel is restored as separate slices", "(GFP) (white)")
    assert [words in pages["test-0"] for words in told] == [pages["axes"] == "ZCYX"] * len(told)


def test_the_page_over_all_micrographs_knows_whose_they_are(pages: dict[str, str]) -> None:
    text = pages["index"]
    assert "6 slices, 6 with foreground" in text and "Whose heads they show is not known" not in text

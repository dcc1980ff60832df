"""DICOM series: which images make a volume, where it lies, what its numbers mean, and what a result says of itself."""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom import uid
from pydicom.encaps import encapsulate

from pipeline.errors import UserError
from pipeline.formats import Part, dicom
from pipeline.formats._dicom_intensity import HEAD_ROOM, with_head_room
from pipeline.formats.io.predictions import write_prediction
from pipeline.image.geometry import RAS
from pipeline.image.image import Image
from pipeline.physics.forward import ForwardModel
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.sources.packing import pack
from tests.image_files import PLANES, dicom_slice, numbers, write_dicom, write_series

SHAPE = (7, 6, 5)
"""Columns, rows and slices."""
STEP_MM = 2.5
"""Distance of the slices of `dicom_slice`."""


def place(index: int, plane: str = "axial", aside: tuple[float, float] = (0.0, 0.0)) -> list[float]:
    """Position of a slice of `dicom_slice`, moved along its rows and columns by some millimetres."""
    cosines = np.array(PLANES[plane]).reshape(2, 3)
    normal = np.cross(cosines[0], cosines[1])
    return (np.array([-50.0, 20.0, 10.5]) + STEP_MM * index * normal + np.array(aside) @ cosines).tolist()


def series(folder: Path, changes: Callable[[int], dict[str, Any]] = lambda _: {}, dtype: str = "int16") -> Path:
    """Write five slices with elements of their own."""
    data = numbers(SHAPE, dtype)
    for index in range(SHAPE[2]):
        write_dicom(folder / f"{index}.dcm", dicom_slice(data[:, :, index].T, index, **changes(index)))
    return folder


def frames(folder: Path, changes: Callable[[int, int], dict[str, Any]], count: int = 2) -> NDArray:
    """Write several images at each of five positions; return them, shape (columns, rows, slices, frames)."""
    data = numbers((*SHAPE, count), "int16")
    for index in range(SHAPE[2]):
        for frame in range(count):
            one = dicom_slice(data[:, :, index, frame].T, index)
            one.SOPInstanceUID = f"1.2.{index}.{frame}"
            for key, value in changes(index, frame).items():
                setattr(one, key, value)
            write_dicom(folder / f"{(7 * index + 3 * frame) % 11:02}-{index}-{frame}", one)
    return data


def refined(path: Path, factors: tuple[int, int, int], part: Part = Part()) -> list[Any]:
    """Enlarge a series by repeating its voxels, along x, y and z; return the files of the result in their order."""
    low = dicom.read(path, part)
    shape = [size * factor for size, factor in zip(low.data.shape, factors, strict=True)]
    low = LowResolutionImage.of(low, ForwardModel(tuple(factors), tuple(shape)))
    write_prediction(path.parent / "out.dicom.zip", low, np.kron(low.data, np.ones(factors)))
    return files_of(path.parent / "out.dicom.zip")


def files_of(archive: Path) -> list[Any]:
    with zipfile.ZipFile(archive) as content:
        content.extractall(archive.with_name("out"))
    return [pydicom.dcmread(path) for path in sorted(archive.with_name("out").iterdir())]


def stored_in(image: Image) -> NDArray:
    """The stored values of an axial image, shape (columns, rows, slices), from its intensities."""
    physical = image.data[::-1, ::-1]
    return np.rint((physical - image.intensity.intercept) / image.intensity.slope)


def compressed(path: Path, pixels: NDArray, syntax: str, content: bytes | bytearray, **changes: Any) -> Path:
    """Write a slice whose pixels were compressed elsewhere."""
    one: Any = dicom_slice(pixels, 0, **changes)
    one.file_meta = pydicom.dataset.FileMetaDataset()  # pyright: ignore[reportAttributeAccessIssue]
    one.file_meta.TransferSyntaxUID = syntax
    one.PixelData = encapsulate([bytes(content)])
    one["PixelData"].VR = "OB"
    one["PixelData"].is_undefined_length = True
    pydicom.dcmwrite(path, one, enforce_file_format=True)
    return path


# Which images make a volume


def mosaic_by_vendor(folder: Path) -> None:
    for index in range(2):
        one = dicom_slice(numbers((8, 8), "int16"), index)
        one.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0A, "US", 4)
        write_dicom(folder / f"{index}.dcm", one)


def without_keyword(folder: Path, keyword: str) -> None:
    one = dicom_slice(numbers((8, 8), "int16"), 0)
    delattr(one, keyword)
    write_dicom(folder / "0.dcm", one)


def with_sequence(folder: Path, keyword: str, **changes: Any) -> None:
    one = dicom_slice(numbers((8, 8), "int16"), 0, **changes)
    setattr(one, keyword, [pydicom.Dataset()])
    write_dicom(folder / "0.dcm", one)


def float_pixels(folder: Path) -> None:
    one = dicom_slice(numbers((8, 8), "int32"), 0)
    one.FloatPixelData = one.PixelData
    del one.PixelData
    write_dicom(folder / "0.dcm", one)


def creeping(folder: Path) -> None:
    for index in range(20):
        position = place(index)
        position[2] += 0.049 * STEP_MM * max(index - 10, 0)
        write_dicom(folder / f"{index}", dicom_slice(numbers((6, 7), "int16"), index, ImagePositionPatient=position))


def padded(folder: Path) -> None:
    pixels = numbers((6, 7), "int16") % 1000
    pixels[0] = -3024
    changes: dict[str, Any] = {"BitsStored": 12, "HighBit": 11, "PixelPaddingValue": -3024}
    write_dicom(folder / "0.dcm", dicom_slice(pixels, 0, **changes))


def unknown_syntax(folder: Path, syntax: str) -> None:
    folder.mkdir()
    path = compressed(folder / "0.dcm", numbers((8, 8), "uint8"), uid.RLELossless, b"\xff" * 64)
    content = path.read_bytes()
    length = len(uid.RLELossless) + len(uid.RLELossless) % 2
    begin = content.index(uid.RLELossless.encode())
    encoded = syntax.encode() + bytes(len(syntax) % 2)
    start = content[132:begin]
    group_length = int.from_bytes(start[8:12], "little") + len(encoded) - length
    start = start[:8] + group_length.to_bytes(4, "little") + start[12:-2] + len(encoded).to_bytes(2, "little")
    path.write_bytes(content[:132] + start + encoded + content[begin + length :])


def cut_jpeg_ls(folder: Path) -> None:
    folder.mkdir()
    pixels = numbers((32, 32), "uint8")
    compressed(folder / "0.dcm", pixels, uid.JPEGLSLossless, imagecodecs.jpegls_encode(pixels)[:40])


REFUSED: dict[str, tuple[Callable[[Path], Any], list[str]]] = {
    "mosaic": (
        lambda p: series(p, lambda _: {"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]}),
        ["'0.dcm' is a mosaic", "convert it to NIfTI with dcm2niix"],
    ),
    "mosaic known by its private header": (mosaic_by_vendor, ["'0.dcm' is a mosaic of 4 slices"]),
    "several frames": (
        lambda p: series(p, lambda _: {"NumberOfFrames": 4, "SOPClassUID": uid.NuclearMedicineImageStorage}),
        ["Nuclear Medicine Image Storage, and contains 4 frames", "dcm2niix"],
    ),
    "enhanced, of one frame": (
        lambda p: with_sequence(p, "PerFrameFunctionalGroupsSequence", SOPClassUID=uid.EnhancedMRImageStorage),
        ["an enhanced multi-frame file, Enhanced MR Image Storage, and contains 1 frame;"],
    ),
    "palette": (
        lambda p: series(p, lambda _: {"PhotometricInterpretation": "PALETTE COLOR"}),
        ["is coloured (PALETTE COLOR: numbers of colours in a palette)", "Export the grey images"],
    ),
    "RGB": (
        lambda p: series(p, lambda _: {"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}),
        ["is coloured (RGB: red, green and blue)"],
    ),
    "table of values": (lambda p: with_sequence(p, "ModalityLUTSequence"), ["by a table (ModalityLUTSequence)"]),
    "an empty slope": (lambda p: series(p, lambda _: {"RescaleSlope": None}), ["RescaleSlope None", "Export it again"]),
    "high bit": (lambda p: series(p, lambda _: {"BitsStored": 12}), ["BitsStored 12, HighBit 15", "Export it again"]),
    "more bits than there are": (
        lambda p: series(p, lambda _: {"BitsStored": 20, "HighBit": 19}), ["BitsAllocated 16, BitsStored 20"]),
    "neither signed nor unsigned": (
        lambda p: without_keyword(p, "PixelRepresentation"), ["PixelRepresentation missing"]),
    "no pixels": (lambda p: without_keyword(p, "PixelData"), ["'0.dcm' has no pixels"]),
    "floating point": (float_pixels, ["has floating-point pixels, which are not supported"]),
    "directions that are no unit vectors": (
        lambda p: series(p, lambda _: {"ImageOrientationPatient": [2, 0, 0, 0, 2, 0]}), ["no two unit vectors"]),
    "directions that are not at right angles": (
        lambda p: series(p, lambda _: {"ImageOrientationPatient": [1, 0, 0, 0.6, 0.8, 0]}), ["no two unit vectors"]),
    "one slice to the side": (
        lambda p: series(p, lambda i: {"ImagePositionPatient": place(i, aside=(20.0 * (i == 2), 0))}),
        ["1 of 5 slices lie to the side", "that at 15.50 mm ('2.dcm') by 20.00 mm", "resample"],
    ),
    "the first slice half a pixel to the side": (
        lambda p: series(p, lambda i: {"ImagePositionPatient": place(i, aside=(0.25 * (i == 0), 0))}),
        ["1 of 5 slices", "('0.dcm') by 0.25 mm"],
    ),
    "two slices to the side": (
        lambda p: series(p, lambda i: {"ImagePositionPatient": place(i, aside=(0, -3.0 * (i > 2)))}),
        ["2 of 5 slices lie to the side", "('3.dcm') by 3.00 mm", "('4.dcm') by 3.00 mm"],
    ),
    "distances that grow too little for any pair to show": (
        creeping, ["the slices are unevenly spaced: that at 35.50 mm", "from its position among 20 evenly spaced"]),
    "a pixel size that differs by half a pixel over 500": (
        lambda p: series(p, lambda i: {"PixelSpacing": [0.75, 0.5 + 0.0005 * (i == 4)]}), ["their PixelSpacing is"]),
    "two stacks side by side": (
        lambda p: frames(p, lambda i, f: {"ImagePositionPatient": place(i, aside=(40.0 * f, 0))}),
        ["lie in one plane, at 10.50 mm, but 40.00 mm apart"],
    ),
    "three planes": (
        lambda p: [write_series(p / plane, numbers((7, 6, count), "int16"), plane)
                   for plane, count in (("axial", 3), ("sagittal", 3), ("coronal", 2))],
        ["3 orientations", "axial 3 (such as 'axial/IM0000')", "coronal 2", "sagittal 3", "a folder of their own"],
    ),
    "two time points": (
        lambda p: frames(p, lambda i, f: {"TemporalPositionIdentifier": f + 1}),
        ["contains 2 images at each of 5 positions, differing in TemporalPositionIdentifier 1, 2.", "frame: 0 to 1"],
    ),
    "two echoes": (
        lambda p: frames(p, lambda i, f: {"EchoTime": (7.4, 4.9)[f], "InstanceNumber": 2 * i + f}),
        ["contains 2 images at each of 5 positions, differing in EchoTime 4.9, 7.4. Choose one with frame: 0 to 1"],
    ),
    "nothing that tells two images apart": (lambda p: frames(p, lambda _, __: {}), ["nothing distinguishes"]),
    "an image more at one position": (
        lambda p: (frames(p, lambda i, f: {"EchoTime": (7.4, 4.9)[f]}), next(iter(p.glob("*-3-1"))).unlink()),
        ["2 images at each of 4 positions, but 1 at 18.00 mm ("],
    ),
    "one image twice": (
        lambda p: (series(p), write_dicom(p / "copy", dicom_slice(numbers((6, 7), "int16"), 2))),
        ["the slice at 15.50 mm exists twice: '2.dcm' and 'copy'"],
    ),
    "padding beyond the stored bits": (
        padded, ["is padded with the PixelPaddingValue -3024", "too large for BitsStored 12"]),
    "high-throughput JPEG 2000": (
        lambda p: unknown_syntax(p, uid.HTJ2KLossless),
        ["is compressed as High-Throughput JPEG 2000", "not supported", "gdcmconv --raw"],
    ),
    "video": (lambda p: unknown_syntax(p, uid.MPEG4HP41), ["is compressed as MPEG-4", "not supported"]),
    "a vendor's transfer syntax": (
        lambda p: unknown_syntax(p, "1.2.840.113619.5.2"), ["unknown transfer syntax '1.2.840"]),
    "cut JPEG-LS": (cut_jpeg_ls, ["compressed as JPEG-LS Lossless", "cannot be decoded"]),
    "RLE that is none": (
        lambda p: unknown_syntax(p, uid.RLELossless), ["compressed as RLE Lossless", "cannot be decoded"]),
    "a segmentation alone": (
        lambda p: series(p, lambda _: {"SOPClassUID": uid.SegmentationStorage}),
        ["contains no DICOM image: only '0.dcm' (Segmentation Storage)"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_volume_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    make, words = REFUSED[kind]
    make(tmp_path / "in")
    with pytest.raises(UserError) as error:
        dicom.read(tmp_path / "in")
    message = str(error.value)
    assert message.startswith(f"{tmp_path / 'in'}: ") and "\n" not in message
    assert [word for word in words if word not in message] == [], message
    assert "Is it complete" not in message


DIFFERENCES: dict[str, Callable[[int, int], dict[str, Any]]] = {
    "TemporalPositionIdentifier": lambda i, f: {"TemporalPositionIdentifier": 8 + f},
    "EchoTime": lambda i, f: {"EchoTime": 4.9 + 7 * f, "EchoNumbers": 1 + f, "InstanceNumber": 1},
    "DiffusionBValue": lambda i, f: {"DiffusionBValue": (0.0, 1000.0, 1000.0)[f], "InstanceNumber": 3 * i + f},
    "ImageType": lambda i, f: {"ImageType": ["ORIGINAL", "PRIMARY", "IMP"[f]]},
    "AcquisitionTime": lambda i, f: {"AcquisitionTime": f"{9 + f:02}01{50 - 10 * i}", "InstanceNumber": 9 - f},
    "InstanceNumber": lambda i, f: {"InstanceNumber": 30 - 3 * i + f},
}


@pytest.mark.parametrize("key", DIFFERENCES)
def test_frame_chooses_one_of_the_images_at_each_position(key: str, tmp_path: Path, caplog: Any) -> None:
    data = frames(tmp_path / "in", DIFFERENCES[key], count=3)
    with pytest.raises(UserError, match=rf"3 images at each of 5 positions, differing in .*{key}"):
        dicom.read(tmp_path / "in")
    for frame in range(3):
        with caplog.at_level(logging.INFO):
            image = dicom.read(tmp_path / "in", Part(frame=frame))
        np.testing.assert_array_equal(stored_in(image), data[..., frame])
        assert f"frame {frame} is read" in caplog.text
    with pytest.raises(UserError, match="frame 3 is out of range; valid: 0 to 2"):
        dicom.read(tmp_path / "in", Part(frame=3))


def test_a_frame_that_would_mix_echoes_is_refused(tmp_path: Path) -> None:
    def echoes(index: int, frame: int) -> dict[str, Any]:
        return {"EchoTime": 4.9 if index == 3 else (4.9, 7.4)[frame], "InstanceNumber": 2 * index + frame}

    frames(tmp_path / "in", echoes)
    with pytest.raises(UserError, match=r"frame 1 would mix EchoTime 7\.4 \(4 slices\), 4\.9 \(1 slices\)"):
        dicom.read(tmp_path / "in", Part(frame=1))


def test_slices_of_two_echoes_are_named(tmp_path: Path, caplog: Any) -> None:
    series(tmp_path / "in", lambda i: {"EchoTime": (4.9, 7.4)[i % 2]})
    dicom.read(tmp_path / "in")
    assert "its slices differ in EchoTime 4.9 (3 slices), 7.4 (2 slices)" in caplog.text


def test_what_is_no_image_is_passed_over_and_named(tmp_path: Path, caplog: Any) -> None:
    folder = series(tmp_path / "in")
    others = [uid.SegmentationStorage, uid.RTStructureSetStorage, uid.EncapsulatedPDFStorage]
    others.append(uid.GrayscaleSoftcopyPresentationStateStorage)
    for number, kind in enumerate(others):
        one = dicom_slice(numbers((8, 8), "int16"), 9, SOPClassUID=kind, SeriesInstanceUID=f"1.2.{number}")
        if kind != uid.SegmentationStorage:
            del one.Rows, one.Columns, one.PixelData
        write_dicom(folder / f"other{number}", one)
    with caplog.at_level(logging.INFO):
        assert dicom.read(folder).data.shape == SHAPE
    assert all(kind.name in caplog.text for kind in others)


@pytest.mark.parametrize("implicit", [True, False])
def test_old_files_without_the_letters_dicm_are_read_and_packed(implicit: bool, tmp_path: Path) -> None:
    folder = series(tmp_path / "in")
    expected = dicom.read(folder).data
    for path in folder.iterdir():
        one: Any = pydicom.dcmread(path)
        del one.file_meta
        del one.preamble
        pydicom.dcmwrite(path, one, implicit_vr=implicit, little_endian=True, enforce_file_format=False)
        assert path.read_bytes()[128:132] != b"DICM"
    np.testing.assert_array_equal(dicom.read(folder).data, expected)
    pack(folder, tmp_path / "packed")
    np.testing.assert_array_equal(dicom.read(tmp_path / "packed").data, expected)


# Where a volume lies


@pytest.mark.parametrize("digits", [2, 3])
def test_rounded_positions_are_one_volume(digits: int, tmp_path: Path) -> None:
    cosines = np.linalg.qr(np.array([[0.9, 0.1, 0.3], [-0.2, 0.95, 0.1], [0, 0, 1]]).T)[0].T
    normal = np.cross(cosines[0], cosines[1])
    for index in range(60):
        one = dicom_slice(numbers((6, 7), "int16", index), index)
        one.ImageOrientationPatient = [round(float(value), 6) for value in cosines[:2].ravel()]
        one.ImagePositionPatient = [round(float(value), digits) for value in 1.2 * index * normal]
        write_dicom(tmp_path / f"in/{index}", one)
    image = dicom.read(tmp_path / "in")
    np.testing.assert_allclose(np.sort(image.spacing), [0.5, 0.75, 1.2], atol=10.0**-digits)


@pytest.mark.parametrize("factors", [(2, 2, 1), (2, 2, 2)])
@pytest.mark.parametrize("aside", [(0.0, 0.0), (0.0, 0.9), (-0.4, 0.7)], ids=["straight", "tilted", "tilted twice"])
@pytest.mark.parametrize("plane", PLANES)
def test_every_voxel_of_a_result_lies_where_simpleitk_finds_it(
    plane: str, aside: tuple[float, float], factors: tuple[int, int, int], tmp_path: Path, caplog: Any
) -> None:
    for index in range(SHAPE[2]):
        one = dicom_slice(numbers(SHAPE[1::-1], "int16", index), index, plane)
        one.ImagePositionPatient = place(index, plane, (aside[0] * index, aside[1] * index))
        write_dicom(tmp_path / f"in/{index}.dcm", one)
    image = dicom.read(tmp_path / "in")
    along_file = [factors[0], factors[1]] if plane == "axial" else [2, 2]
    axes = (image.header.orientation or RAS).axes  # the file's columns, rows and slices are these axes of the image
    per_axis = [0, 0, 0]
    for axis, factor in zip(axes, (*along_file, factors[2]), strict=True):
        per_axis[axis] = factor
    result = refined(tmp_path / "in", (per_axis[0], per_axis[1], per_axis[2]))
    before, after = (
        [SimpleITK.ReadImage(str(path), imageIO="GDCMImageIO") for path in sorted((tmp_path / name).iterdir())]
        for name in ("in", "out")
    )
    scale = np.array([*along_file, factors[2]])
    for number, one in enumerate(after):
        assert one.GetSize() == (SHAPE[0] * 2, SHAPE[1] * 2, 1)
        for corner in ((0, 0), (one.GetSize()[0] - 1, 0), (3, one.GetSize()[1] - 1)):
            column, row, index = (np.array([*corner, number]) + 0.5) / scale - 0.5
            below = int(np.clip(np.floor(index), 0, SHAPE[2] - 2))
            ends = [
                np.array(before[level].TransformContinuousIndexToPhysicalPoint((column, row, 0.0)))
                for level in (below, below + 1)
            ]
            expected = ends[0] + (index - below) * (ends[1] - ends[0])
            found = one.TransformContinuousIndexToPhysicalPoint((float(corner[0]), float(corner[1]), 0.0))
            np.testing.assert_allclose(found, expected, atol=1e-4)
    assert result[0].SpacingBetweenSlices == pytest.approx(STEP_MM / factors[2])
    tilt = np.degrees(np.arctan(np.hypot(*aside) / STEP_MM))
    assert (f"tilted by {tilt:.1f} degrees" in caplog.text) == (tilt > 0)


@pytest.mark.parametrize(
    ("given_mm", "factors", "expected"),
    [(2.0, (2, 2, 1), 2.0), (2.0, (2, 2, 2), 1.0), (2.0, (1, 1, 4), 0.5), (None, (2, 2, 2), None)],
)
def test_the_slice_thickness_is_that_of_the_result_and_never_invented(
    given_mm: float | None, factors: tuple[int, int, int], expected: float | None, tmp_path: Path
) -> None:
    folder = series(tmp_path / "in", lambda _: {"SliceThickness": given_mm})
    result = refined(folder, factors)[0]
    assert result.get("SliceThickness") == expected
    assert result.SpacingBetweenSlices == pytest.approx(STEP_MM / factors[2])


@pytest.mark.parametrize(
    ("given", "distance_mm"), [({}, 1.0), ({"SliceThickness": 3}, 3.0), ({"SpacingBetweenSlices": 4}, 4.0)]
)
def test_the_distance_of_one_slice_is_what_its_file_says(
    given: dict[str, Any], distance_mm: float, tmp_path: Path, caplog: Any
) -> None:
    one = dicom_slice(numbers((6, 7), "int16"), 0)
    del one.SliceThickness
    for key, value in given.items():
        setattr(one, key, value)
    write_dicom(tmp_path / "in" / "0.dcm", one)
    assert dicom.read(tmp_path / "in").spacing[2] == distance_mm
    assert ("it is assumed to be 1 mm thick" in caplog.text) == (not given)
    result = refined(tmp_path / "in", (2, 2, 1))[0]
    assert {key: result[key].value for key in ("SliceThickness", "SpacingBetweenSlices") if key in result} == given


def test_a_distance_that_contradicts_the_positions_is_named(tmp_path: Path, caplog: Any) -> None:
    dicom.read(series(tmp_path / "in", lambda _: {"SpacingBetweenSlices": 1.25}))
    assert "SpacingBetweenSlices is 1.25 mm, but the slices lie 2.5 mm apart" in caplog.text


# What a result says of itself


@pytest.mark.parametrize("syntax", ["explicit", "implicit"])
def test_a_result_keeps_what_is_true_of_it_and_names_the_rest(syntax: str, tmp_path: Path, caplog: Any) -> None:
    true = {
        "EchoTime": 4.9,
        "AcquisitionMatrix": [0, 256, 192, 0],
        "PixelPaddingValue": -2000,
        "PatientPosition": "HFS",
    }
    untrue = {"PixelAspectRatio": [3, 2], "LargestPixelValueInSeries": 900, "NumberOfTemporalPositions": 2}
    for index in range(3):
        one = dicom_slice(numbers((6, 7), "int16"), index, **true, **untrue, WindowCenter=40 + index, PatientWeight=70)
        one.private_block(0x0029, "A VENDOR").add_new(0x01, "LO", "secret")
        one.add_new((0x6000, 0x3000), "OW", b"\0\0")
        path = write_dicom(tmp_path / f"in/{index}", one, syntax)
        path.write_bytes(path.read_bytes().replace(b"70.0", b"7x.0"))
    result = refined(tmp_path / "in", (2, 2, 1))[0]
    assert {key: result[key].value for key in true} == true
    assert not [key for key in (*untrue, "WindowCenter", "PatientWeight") if key in result]
    assert not [element for element in result if element.tag.group % 2 or element.tag.group == 0x6000]
    assert caplog.text.count("the result does not keep") == 1
    named = [
        "1 private elements",
        "overlays",
        "differ between the slices (WindowCenter)",
        "not valid (PatientWeight)",
        *untrue,
    ]
    assert [word for word in named if word not in caplog.text] == []


# What its numbers mean


def with_slopes(folder: Path, dtype: str, slopes: list[float], intercept: float = 0, **changes: Any) -> NDArray:
    """Write slices with slopes of their own and some voxels of zero; return the stored values."""
    bits = changes.get("BitsStored", 8 * np.dtype(dtype).itemsize)
    data = (numbers(SHAPE, dtype).astype(np.int64) % 2 ** (bits - 1)).astype(dtype)
    data[:2] = 0
    for index, slope in enumerate(slopes):
        rescaling = {"RescaleSlope": slope, "RescaleIntercept": intercept}
        write_dicom(folder / f"{index}", dicom_slice(data[:, :, index].T, index, **rescaling, **changes))
    return data


@pytest.mark.parametrize("photometric", ["MONOCHROME2", "MONOCHROME1"])
@pytest.mark.parametrize(
    ("dtype", "bits", "result_bits"), [("uint16", 16, 16), ("int16", 16, 16), ("uint16", 12, 16), ("uint8", 8, 8)]
)
def test_a_common_slope_leaves_room_at_both_ends(
    dtype: str, bits: int, result_bits: int, photometric: str, tmp_path: Path, caplog: Any
) -> None:
    slopes = [0.3, 0.7, 1.1, 1.9, 2.3]
    changes = {"BitsStored": bits, "HighBit": bits - 1, "PhotometricInterpretation": photometric}
    with_slopes(tmp_path / "in", dtype, slopes, -40, **changes)
    image = dicom.read(tmp_path / "in")
    span = float(np.ptp(image.data))
    wide = image.data.copy()
    wide[-1, -1, :2] = image.data.min() - 0.99 * HEAD_ROOM * span, image.data.max() + 0.99 * HEAD_ROOM * span
    wide[0, 0, 0] = 0
    assert dicom.write(tmp_path / "x.dicom.zip", image.with_data(wide)) == 0
    back = dicom.read(tmp_path / "x.dicom.zip")
    step = abs(back.intensity.slope)
    np.testing.assert_allclose(back.data, wide, rtol=0, atol=0.501 * step)
    if image.data.min() <= 0 <= image.data.max():
        assert back.data[0, 0, 0] == pytest.approx(0, abs=1e-9 * span)
    assert step == pytest.approx((1 + 2 * HEAD_ROOM) * span / 2**result_bits, rel=0.02)
    first = files_of(tmp_path / "x.dicom.zip")[0]
    assert (first.BitsStored, first.HighBit) == (result_bits, result_bits - 1)
    assert first.PhotometricInterpretation == photometric and first.RescaleSlope > 0
    assert ("coarser than the finest" in caplog.text) == (step > slopes[0])


@settings(max_examples=60, deadline=None)
@given(share=st.floats(-3, 2), span=st.floats(1e-6, 1e7), bits=st.sampled_from([8, 12, 16]), signed=st.booleans())
def test_zero_stays_zero_with_any_common_slope(share: float, span: float, bits: int, signed: bool) -> None:
    lowest = share * span
    ends = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    slope, intercept = with_head_room(lowest, lowest + span, ends)
    assert len(f"{slope}") <= 16 and float(f"{slope}") == slope
    assert not -1 <= share <= 0 or round(-intercept / slope) * slope + intercept == 0
    room = HEAD_ROOM * span
    assert slope * ends[0] + intercept <= (lowest - room) + 1e-9 * span
    assert slope * ends[1] + intercept >= (lowest + span + room) - 1e-9 * span
    assert slope * (ends[1] - ends[0] - 2) < 1.02 * (span + 2 * room)


@pytest.mark.parametrize(("intercept", "kept"), [(0, True), (-1024, True), (5, True)])
def test_slices_with_one_slope_keep_it(intercept: int, kept: bool, tmp_path: Path) -> None:
    data = with_slopes(tmp_path / "in", "int16", [0.25] * 5, intercept, PixelPaddingValue=-2000)
    image = dicom.read(tmp_path / "in")
    assert (image.intensity.slope, image.intensity.intercept) == (0.25, intercept)
    np.testing.assert_array_equal(stored_in(image), data)
    dicom.write(tmp_path / "x.dicom.zip", image)
    assert (files_of(tmp_path / "x.dicom.zip")[0].PixelPaddingValue == -2000) == kept


@pytest.mark.parametrize(("padding", "kept"), [(0, True), (-2000, False)])
def test_padding_keeps_its_meaning_or_goes_when_the_slope_changes(
    padding: int, kept: bool, tmp_path: Path, caplog: Any
) -> None:
    with_slopes(tmp_path / "in", "int16", [0.5, 1.0, 1.5, 2.0, 2.5], PixelPaddingValue=padding)
    dicom.write(tmp_path / "x.dicom.zip", dicom.read(tmp_path / "in"))
    first = files_of(tmp_path / "x.dicom.zip")[0]
    assert ("PixelPaddingValue" in first) == kept
    assert ("does not keep PixelPaddingValue" in caplog.text) != kept
    if kept:
        assert first.PixelPaddingValue * first.RescaleSlope + first.RescaleIntercept == pytest.approx(0, abs=1e-9)


# Compression


def smooth(dtype: str, bits: int) -> NDArray:
    """A picture that compresses well, with values over all of its bits."""
    rows, columns = np.mgrid[:40, :32]
    waves = (1 + np.sin(columns / 5) * np.cos(rows / 7)) / 2
    values = np.rint(waves * (2**bits - 1)).astype(np.int64)
    return (values - (2 ** (bits - 1) if dtype.startswith("i") else 0)).astype(dtype)


LOSSLESS: dict[uid.UID, Callable[[NDArray], bytes | bytearray]] = {
    uid.JPEGLSLossless: imagecodecs.jpegls_encode,
    uid.JPEGLossless: imagecodecs.ljpeg_encode,
    uid.JPEGLosslessSV1: imagecodecs.ljpeg_encode,
    uid.JPEG2000Lossless: lambda pixels: imagecodecs.jpeg2k_encode(pixels, reversible=True, codecformat="j2k"),
}


@pytest.mark.parametrize(
    ("dtype", "bits"), [("uint8", 8), ("uint16", 12), ("uint16", 16), ("int16", 12), ("int16", 16)]
)
@pytest.mark.parametrize("syntax", LOSSLESS, ids=lambda syntax: syntax.name)
def test_lossless_compressions_are_read_to_the_last_bit(
    syntax: uid.UID, dtype: str, bits: int, tmp_path: Path, caplog: Any
) -> None:
    pixels = smooth(dtype, bits)
    raw = (pixels.view(f"u{pixels.itemsize}") & (2**bits - 1)).astype(f"<u{pixels.itemsize}")
    content = LOSSLESS[syntax](raw)
    rescaling = {"RescaleSlope": "0.3", "RescaleIntercept": "-7"}
    path = compressed(tmp_path / "x.dcm", pixels, syntax, content, BitsStored=bits, HighBit=bits - 1, **rescaling)
    image = dicom.read(path)
    np.testing.assert_array_equal(stored_in(image)[:, :, 0].T, pixels)
    assert "loss" not in caplog.text


@pytest.mark.parametrize("syntax", [uid.RLELossless, uid.DeflatedExplicitVRLittleEndian], ids=lambda one: one.name)
def test_rle_and_deflated_files_are_read(syntax: uid.UID, tmp_path: Path) -> None:
    pixels = smooth("int16", 16)
    one: Any = dicom_slice(pixels, 0)
    one.file_meta = pydicom.dataset.FileMetaDataset()  # pyright: ignore[reportAttributeAccessIssue]
    one.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    if syntax == uid.RLELossless:
        one.compress(syntax)
    one.file_meta.TransferSyntaxUID = syntax
    pydicom.dcmwrite(tmp_path / "x.dcm", one, enforce_file_format=True)
    np.testing.assert_array_equal(stored_in(dicom.read(tmp_path / "x.dcm"))[:, :, 0].T, pixels)


@pytest.mark.parametrize(
    ("syntax", "bits", "tolerance", "encode"),
    [
        (uid.JPEGBaseline8Bit, 8, 8, lambda pixels: imagecodecs.jpeg8_encode(pixels, level=95)),
        (uid.JPEGExtended12Bit, 12, 60, lambda pixels: imagecodecs.jpeg8_encode(pixels, level=95, bitspersample=12)),
        (uid.JPEGLSNearLossless, 16, 3, lambda pixels: imagecodecs.jpegls_encode(pixels, level=3)),
        (uid.JPEG2000, 12, 150, lambda pixels: imagecodecs.jpeg2k_encode(pixels, level=70, codecformat="j2k")),
    ],
)
def test_lossy_compressions_are_read_and_named(
    syntax: uid.UID,
    bits: int,
    tolerance: int,
    encode: Callable[[NDArray], bytes | bytearray],
    tmp_path: Path,
    caplog: Any,
) -> None:
    pixels = smooth("uint8" if bits == 8 else "uint16", bits)
    changes = {"LossyImageCompression": "01"} if syntax == uid.JPEG2000 else {}
    content = encode(pixels)
    compressed(tmp_path / "in.dcm", pixels, syntax, content, BitsStored=bits, HighBit=bits - 1, **changes)
    found = stored_in(dicom.read(tmp_path / "in.dcm"))[:, :, 0].T
    assert 0 < np.abs(found - pixels.astype(float)).max() <= tolerance
    assert f"compressed with loss ({syntax.name})" in caplog.text
    assert refined(tmp_path / "in.dcm", (2, 2, 1))[0].LossyImageCompression == "01"

"""Broken and hostile images: each ends in one message that names it, in bounded memory, and writes nothing anywhere."""

from __future__ import annotations

import gzip
import json
import resource
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import tifffile
from PIL import Image as PillowImage

from pipeline.errors import UserError
from pipeline.formats import format_of
from pipeline.formats import picture_folder as pictures
from pipeline.sources.bundle import LIMIT_BYTES
from pipeline.sources.packing import pack
from tests.helpers import contents, ras_affine, run_step, the_message, volume_entry
from tests.image_files import deep_png, dicom_slice, numbers, png, write_dicom, write_ome, write_series, write_zip

GIBIBYTE = 2**30
WIDTH, HEIGHT, BITS, STRIPS = 256, 257, 258, 273
"""Tags of TIFF."""


def plain_tiff(path: Path, **options: Any) -> Path:
    tifffile.imwrite(path, numbers((3, 16, 20), "uint16"), photometric="minisblack", metadata=None, **options)
    return path


def with_tags(path: Path, **changes: int) -> Path:
    """A TIFF whose tags say something else than is true."""
    tags = {"width": WIDTH, "height": HEIGHT, "bits": BITS, "strips": STRIPS}
    with tifffile.TiffFile(path, mode="r+") as file:
        for name, value in changes.items():
            file.pages[0].tags[tags[name]].overwrite(value)  # pyright: ignore[reportAttributeAccessIssue]
    return path


def looped(path: Path) -> Path:
    """A TIFF whose last directory leads back to its first."""
    plain_tiff(path)
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        pages: Any = file.pages
        first, last = pages[0].offset, pages[-1]
        entries = struct.unpack_from("<H", content, last.offset)[0]
    struct.pack_into("<I", content, last.offset + 2 + 12 * entries, first)
    path.write_bytes(content)
    return path


def described(path: Path, change: Callable[[str], str]) -> Path:
    """An OME-TIFF with other XML."""
    write_ome(path, numbers((3, 16, 20), "uint16"), "ZYX")
    with tifffile.TiffFile(path) as file:
        text = change(str(file.ome_metadata))
    tifffile.tiffcomment(path, text.encode())
    return path


def laughing(text: str) -> str:
    entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    start = text.index("<OME")
    bomb = f'<!DOCTYPE OME [<!ENTITY l0 "lol">{entities}]>'
    return text[:start] + bomb + text[start:].replace('Name="DAPI"', 'Name="&l11;"')


def cut(path: Path, content: bytes, share: float = 0.6) -> Path:
    path.write_bytes(content[: int(len(content) * share)])
    return path


def bomb_png(path: Path, side: int = 50_000) -> Path:
    """A picture that claims 2.5 billion pixels in a few kilobytes."""
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(10**6))), (b"IEND", b""))
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


def changed_png(path: Path) -> Path:
    content = bytearray(png(numbers((40, 40), "uint8")))
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    return path


def nifti() -> bytes:
    kind: Any = nib.Nifti1Image
    return kind(numbers((6, 7, 5), "int16"), ras_affine()).to_bytes()


def mgh(path: Path, *patches: tuple[int, str, float]) -> Path:
    kind: Any = nib.MGHImage
    kind(numbers((6, 7, 5), "int16"), ras_affine()).to_filename(path.with_suffix(".mgh"))
    content = bytearray(path.with_suffix(".mgh").read_bytes())
    for place, layout, value in patches:
        struct.pack_into(layout, content, place, value)
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".mgz" else content)
    return path


def one_dicom(path: Path, **changes: Any) -> Path:
    return write_dicom(path, dicom_slice(numbers((8, 9), "int16"), 0, **changes))


def dicom_folder(path: Path, *extra: dict[str, Any], left_out: tuple[int, ...] = ()) -> Path:
    """A series of six slices of 8 x 9 pixels, without some of them and with further files."""
    write_series(path, numbers((9, 8, 6), "int16"))
    for index in left_out:
        (path / f"IM{index:04d}").unlink()
    for number, changes in enumerate(extra):
        pixels = changes.pop("pixels", numbers((8, 9), "int16"))
        write_dicom(path / f"extra{number}", dicom_slice(pixels, changes.pop("index", 6), **changes))
    return path


def without(path: Path, keyword: str) -> Path:
    header = dicom_slice(numbers((8, 9), "int16"), 0)
    delattr(header, keyword)
    return write_dicom(path, header)


def lying_archive(path: Path) -> Path:
    """A zip archive whose member claims more bytes than it has."""
    write_zip(path, {"a.png": png(numbers((8, 9), "uint8"))})
    content = bytearray(path.read_bytes())
    place = content.index(b"PK\x01\x02") + 24
    struct.pack_into("<I", content, place, LIMIT_BYTES + 1)
    path.write_bytes(content)
    return path


def locked_archive(path: Path) -> Path:
    write_zip(path, {"a.png": png(numbers((8, 9), "uint8"))})
    content = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + offset] |= 1
    path.write_bytes(content)
    return path


def saved(path: Path, picture: Any, **options: Any) -> Path:
    picture.save(path, **options)
    return path


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def tiff_of(path: Path, data: np.ndarray, **options: Any) -> Path:
    tifffile.imwrite(path, data, **{"photometric": "minisblack", "metadata": None, **options})
    return path


INFINITE = np.full((4, 4), np.inf, np.float32)
PICTURE = numbers((40, 40), "uint8")
BROKEN: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "TIFF cut off": ("x.tif", lambda p: cut(p, plain_tiff(p).read_bytes()), "cannot be read as TIFF"),
    "packed TIFF cut off": ("x.tif", lambda p: cut(p, plain_tiff(p, compression="zlib").read_bytes()), "it complete?"),
    "TIFF of eight bytes": ("x.tif", lambda p: cut(p, plain_tiff(p).read_bytes(), 0.004), "cannot be read as TIFF"),
    "TIFF of zero bytes": ("x.ome.tif", lambda p: written(p, b""), "cannot be read as TIFF"),
    "text called TIFF": ("x.tiff", lambda p: written(p, b"not an image" * 99), "cannot be read as TIFF"),
    "TIFF of 2^40 pixels": ("x.tif", lambda p: with_tags(plain_tiff(p), width=2**20, height=2**20), "x.tif"),
    "TIFF of 2^40 pixels in one piece": (
        "x.tif",
        lambda p: with_tags(tiff_of(p, PICTURE, rowsperstrip=2**20), width=2**20, height=2**20),
        "ends before its pixels do",
    ),
    "TIFF whose pixels lie behind its end": ("x.tif", lambda p: with_tags(plain_tiff(p), strips=10**6), "ends before"),
    "TIFF with other bits": ("x.tif", lambda p: with_tags(plain_tiff(p), bits=64), "x.tif"),
    "TIFF with a loop": ("x.tif", looped, "x.tif"),
    "TIFF with infinite pixels": ("x.tif", lambda p: tiff_of(p, INFINITE), "16 voxels are infinite"),
    "TIFF of complex numbers": ("x.tif", lambda p: tiff_of(p, INFINITE.astype(np.complex64)), "are not intensities"),
    "TIFF with a palette": ("x.tif", lambda p: saved(p, PillowImage.new("P", (9, 9))), "indices into a palette"),
    "TIFF for printers": ("x.tif", lambda p: saved(p, PillowImage.new("CMYK", (9, 9), 7)), "amounts of ink"),
    "OME with a bomb of entities": ("x.ome.tif", lambda p: described(p, laughing), "declares entities"),
    "OME that is no XML": ("x.ome.tif", lambda p: described(p, lambda text: text[:-30] + "</OME>"), "x.ome.tif"),
    "OME with pixels of no size": (
        "x.ome.tif",
        lambda p: described(p, lambda text: text.replace('PhysicalSizeX="0.25"', 'PhysicalSizeX="0.0"')),
        "give their true size with voxel_um",
    ),
    "OME with pixels of a negative size": (
        "x.ome.tif",
        lambda p: described(p, lambda text: text.replace('PhysicalSizeY="500.0"', 'PhysicalSizeY="-5"')),
        "give their true size with voxel_um",
    ),
    "OME with a size that is no number": (
        "x.ome.tif",
        lambda p: described(p, lambda text: text.replace('PhysicalSizeY="500.0"', 'PhysicalSizeY="big"')),
        "which is not a number",
    ),
    "PNG cut off": ("x.png", lambda p: cut(p, png(PICTURE)), "cannot be read as a picture"),
    "PNG with changed bytes": ("x.png", changed_png, "cannot be read as a picture"),
    "PNG that claims 2.5 billion pixels": ("x.png", bomb_png, "decompression bomb"),
    "GIF called PNG": ("x.png", lambda p: written(p, png(PICTURE, "GIF")), "cannot be read as a picture"),
    "JPEG cut off": ("x.jpg", lambda p: cut(p, png(PICTURE, "JPEG"), 0.3), "cannot be read as a picture"),
    "PNG that is a folder": ("x.png", lambda p: p.mkdir(), "is a folder"),
    "MGZ cut off": ("x.mgz", lambda p: cut(p, mgh(p).read_bytes()), "Is it complete?"),
    "MGH beyond all memory": ("x.mgh", lambda p: mgh(p, (4, ">i", 2**30)), "x.mgh"),
    "MGH with a negative size": ("x.mgh", lambda p: mgh(p, (4, ">i", -5)), "x.mgh"),
    "MGH with voxels of no size": ("x.mgh", lambda p: mgh(p, (30, ">f", 0.0)), "voxel size is"),
    "MGH of an unknown type": ("x.mgh", lambda p: mgh(p, (20, ">i", 77)), "cannot be read as MGH"),
    "NIfTI called MGZ": ("x.mgz", lambda p: written(p, gzip.compress(bytes(nifti()))), "cannot be read as MGH"),
    "DICOM cut off": ("x.dcm", lambda p: cut(p, one_dicom(p).read_bytes(), 0.95), "Is it complete?"),
    "DICOM cut off in the header": ("x.dcm", lambda p: cut(p, one_dicom(p).read_bytes(), 0.4), "x.dcm"),
    "text called DICOM": ("x.dcm", lambda p: written(p, b"not an image" * 99), "contains no DICOM image"),
    "DICOM without pixels": ("x.dcm", lambda p: without(p, "PixelData"), "has no pixels"),
    "DICOM without PixelSpacing": ("x.dcm", lambda p: without(p, "PixelSpacing"), "has no PixelSpacing"),
    "DICOM without a place": ("x.dcm", lambda p: without(p, "ImagePositionPatient"), "has no ImagePositionPatient"),
    "DICOM with pixels of no size": ("x.dcm", lambda p: one_dicom(p, PixelSpacing=[0, 0.5]), "PixelSpacing [0.0, 0.5]"),
    "DICOM with directions of no length": (
        "x.dcm", lambda p: one_dicom(p, ImageOrientationPatient=[0, 0, 0, 0, 1, 0]), "no two unit vectors"),
    "DICOM with five direction cosines": (
        "x.dcm", lambda p: one_dicom(p, ImageOrientationPatient=[1, 0, 0, 0, 1]), "cannot be read as DICOM"),
    "DICOM with a slope of zero": ("x.dcm", lambda p: one_dicom(p, RescaleSlope=0), "RescaleSlope 0.0"),
    "DICOM that claims 4 billion pixels": ("x.dcm", lambda p: one_dicom(p, Rows=65535, Columns=65535), "claims 42948"),
    "DICOM of one bit": ("x.dcm", lambda p: one_dicom(p, BitsAllocated=1, BitsStored=1), "BitsAllocated 1, "),
    "DICOM in colour": ("x.dcm", lambda p: one_dicom(p, PhotometricInterpretation="PALETTE COLOR"), "is coloured"),
    "DICOM with many frames": ("x.dcm", lambda p: one_dicom(p, NumberOfFrames=40), "contains 40 frames"),
    "DICOM with a slice missing": ("scan", lambda p: dicom_folder(p, left_out=(3,)),
                                   "between the slices at 15.50 mm ('IM0002') and 20.50 mm ('IM0004') lie 5.00 mm, "
                                   "elsewhere 2.50 mm: 1 missing"),
    "DICOM with a slice twice": ("scan", lambda p: dicom_folder(p, {"index": 2}), "the slice at 15.50 mm exists twice"),
    "DICOM with uneven slices": (
        "scan", lambda p: dicom_folder(p, {"ImagePositionPatient": [-50, 20, 26.2]}), "the slices are unevenly spaced"),
    "DICOM of two series": (
        "scan", lambda p: dicom_folder(p, {"SeriesInstanceUID": "1.2.9", "SeriesDescription": "T2"}),
        "contains 2 series: 'T1 MPRAGE' (6 files, 1.2.3.4), 'T2' (1 files, 1.2.9)"),
    "DICOM with a localizer inside": ("scan", lambda p: dicom_folder(p, {"plane": "sagittal"}), "axial 6 (such"),
    "DICOM with slices of two sizes": (
        "scan", lambda p: dicom_folder(p, {"pixels": numbers((9, 9), "int16")}), "their Rows is 8 and 9"),
    "DICOM with a broken file among whole ones": (
        "scan", lambda p: cut(dicom_folder(p) / "IM0003", (p / "IM0003").read_bytes(), 0.9), "'IM0003' cannot be"),
    "archive cut off": ("x.dicom.zip", lambda p: cut(p, write_zip(p, {"a": b"a" * 999}).read_bytes()), "is incomplete"),
    "archive of other things": ("x.zip", lambda p: write_zip(p, {"a.txt": b"text", "b": b""}), "format is unknown"),
    "archive that claims too much": ("x.zip", lying_archive, f"the limit is {LIMIT_BYTES}"),
    "archive with a password": ("x.zip", locked_archive, "encrypted"),
    "pictures of two sizes": (
        "x.zip", lambda p: write_zip(p, {"1.png": png(PICTURE), "2.png": png(PICTURE[1:])}), "have different size"),
    "pictures of two depths": (
        "x.zip", lambda p: write_zip(p, {"1.png": png(PICTURE), "2.png": png(numbers((9, 9), "uint16"))}), "different"),
    "pictures with a broken one": (
        "x.zip", lambda p: write_zip(p, {"1.png": png(PICTURE), "2.png": png(PICTURE)[:99]}), "2.png: cannot"),
    "colours of 16 bits": (
        "x.png", lambda p: p.write_bytes(deep_png(numbers((9, 8, 3), "uint16"))), "reading PNG would keep 8"),
    "an empty folder": ("folder", lambda p: p.mkdir(), "this folder is empty"),
    "a folder with a link out of it": (
        "folder", lambda p: (p.mkdir(), (p / "a.png").symlink_to("/etc/hostname")), "is a link to a file outside"),
    "a folder with a link to nothing": (
        "folder", lambda p: (p.mkdir(), (p / "a.png").symlink_to(p / "none")), "is a link to a file outside"),
}  # fmt: skip


def test_there_are_enough_broken_images() -> None:
    assert len(BROKEN) >= 40


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_image_gives_one_message_that_names_it(kind: str, tmp_path: Path, recwarn: Any, capfd: Any) -> None:
    name, make, expected = BROKEN[kind]
    source = tmp_path / name
    make(source)
    before = contents(tmp_path)
    with pytest.raises(UserError) as error:
        format_of(source).read(source)
    message = str(error.value)
    assert str(source) in message and expected in message
    assert "\n" not in message and len(message) < 800
    assert contents(tmp_path) == before
    assert capfd.readouterr() == ("", "")


def bounded() -> None:
    """Take all memory but two gibibytes away from a process."""
    resource.setrlimit(resource.RLIMIT_AS, (2 * GIBIBYTE, 2 * GIBIBYTE))


BOMBS = [
    "TIFF of 2^40 pixels in one piece",
    "OME with a bomb of entities",
    "PNG that claims 2.5 billion pixels",
    "DICOM that claims 4 billion pixels",
    "MGH beyond all memory",
]


@pytest.mark.parametrize("kind", BOMBS)
def test_a_bomb_is_told_by_the_command_in_bounded_memory(kind: str, tmp_path: Path) -> None:
    name, make, expected = BROKEN[kind]
    make(tmp_path / name)
    options = ("--output", tmp_path / "out/a.safetensors", "--volume", json.dumps(volume_entry()))
    alone = {"OPENBLAS_NUM_THREADS": "1"}
    message = the_message(run_step("extract", "--input", tmp_path / name, *options, before=bounded, environment=alone))
    assert expected in message and "\n" not in message
    assert not (tmp_path / "out").exists()


def test_names_that_lead_out_of_an_archive_write_nothing_outside(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    names = ["../../out.png", "/absolute.png", "..\\back.png", "a/../../b.png"]
    archive = write_zip(inner / "x.zip", {name: png(PICTURE) for name in names})
    before = contents(tmp_path)
    image = format_of(archive).read(archive)
    assert image.stack.names == ("/absolute.png",), "what begins with a dot is hidden"
    assert contents(tmp_path) == before and not Path("/absolute.png").exists()


@pytest.mark.parametrize(
    "name", ["größe 'quoted' \"double\".png", "脳.png", "$(touch x).png", "-o.png", "a;b&c.png", "<b>.png"]
)
def test_odd_names_are_only_names(name: str, tmp_path: Path) -> None:
    folder = tmp_path / 'a folder\'s "name"'
    folder.mkdir()
    (folder / name).write_bytes(png(PICTURE))
    pack(folder, tmp_path / "packed")
    image = pictures.read(tmp_path / "packed")
    assert image.stack.names == (name,)
    assert sorted(path.name for path in tmp_path.iterdir()) == [folder.name, "packed"]


@pytest.mark.parametrize("name", ["a\nb.png", "a\x1b[31m.png", "a\u202eb.png"])
def test_names_that_cannot_be_printed_are_refused_in_one_line(name: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_bytes(png(PICTURE))
    with pytest.raises(UserError, match="non-printable characters") as error:
        pack(tmp_path / "in", tmp_path / "packed")
    assert str(error.value).isprintable()


def test_a_folder_with_a_link_out_of_it_is_not_packed(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.png").write_bytes(png(PICTURE))
    (tmp_path / "in/a.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(UserError, match="is a link to a file outside"):
        pack(tmp_path / "in", tmp_path / "packed")
    (tmp_path / "in/a.png").unlink()
    (tmp_path / "in/deep").mkdir()
    (tmp_path / "in/deep/b.png").write_bytes(png(PICTURE))
    (tmp_path / "in/a.png").symlink_to(tmp_path / "in/deep/b.png")
    (tmp_path / "in/loop").symlink_to(tmp_path / "in")
    pack(tmp_path / "in", tmp_path / "packed")
    with zipfile.ZipFile(tmp_path / "packed") as archive:
        assert archive.namelist() == ["a.png", "deep/b.png"]


def test_dicom_files_are_packed_with_pictures_and_nothing_else(tmp_path: Path) -> None:
    folder = dicom_folder(tmp_path / "in")
    (folder / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    (folder / "notes.txt").write_text("not an image")
    (folder / "preview.jpg").write_bytes(png(PICTURE, "JPEG"))
    pack(folder, tmp_path / "packed")
    with zipfile.ZipFile(tmp_path / "packed") as archive:
        assert archive.namelist() == [*(f"IM{index:04d}" for index in range(6)), "preview.jpg"]
    assert format_of(tmp_path / "packed").read(tmp_path / "packed").data.shape == (9, 8, 6)

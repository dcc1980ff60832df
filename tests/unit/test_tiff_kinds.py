"""TIFF of every kind, read whole and part by part, which must agree; and pictures: right, or named."""

from __future__ import annotations

import io
import logging
import re
import shutil
import struct
import subprocess
import sys
import uuid
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageOps

from pipeline.config.length_units import micrometres_in
from pipeline.errors import UserError
from pipeline.formats import Part, format_of
from pipeline.formats import picture as picture_format
from pipeline.formats import tiff as tiff_format
from pipeline.formats.io.predictions import check_output, write_quantity
from pipeline.formats.tiled import chosen, open_tiled, tiled_format_of
from pipeline.image.image import Image
from tests.helpers import CHECKOUT
from tests.image_files import numbers, png, write_ome

ROWS, COLUMNS = 37, 50
GREY = numbers((ROWS, COLUMNS), "uint8")
RGB = numbers((ROWS, COLUMNS, 3), "uint8")


def sections_of(image: Image) -> NDArray:
    """Physical intensities of a micrograph as they are shown, shape (slices, rows, columns)."""
    return image.data[::-1, ::-1].transpose(2, 1, 0)


def read_both(path: Path, part: Part = Part()) -> Image:
    """Read a file whole, and part by part in pieces that fit no tile, and make sure that both agree."""
    whole = format_of(path).read(path, part)
    with open_tiled(path, part.series) as opened:
        image = chosen(opened, part)
        rows, columns = image.plane_shape
        planes = []
        for plane in image.planes:
            pieces = [
                [image.read(plane, slice(top, min(top + 17, rows)), slice(left, min(left + 23, columns)))
                 for left in range(0, columns, 23)]
                for top in range(0, rows, 17)
            ]  # fmt: skip
            planes.append(np.block(pieces) * image.intensity.slope + image.intensity.intercept)
        by_parts = np.stack(planes)
        assert image.voxel_um is None or image.voxel_um == pytest.approx(whole.spacing)
    shown = sections_of(whole)
    assert by_parts.shape[-2:] == shown.shape[-2:]
    if len(by_parts) == len(shown):  # colours that are grey are read as one channel
        key = [plane.tobytes() for plane in by_parts.astype(float)]
        assert sorted(key) == sorted(plane.tobytes() for plane in shown.astype(float))
    return whole


def messages(caplog: pytest.LogCaptureFixture, level: int = logging.WARNING) -> str:
    return "\n".join(record.getMessage() for record in caplog.records if record.levelno >= level)


def xml_of(path: Path) -> str:
    """Return the description of the first page."""
    return str(tifffile.tiffcomment(path))


# OME-TIFF in several files


def plane_of(channel: int, section: int) -> NDArray[np.uint16]:
    return (numbers((ROWS, COLUMNS), "uint16", 7).astype(int) // 8 + 1000 * channel + 100 * section).astype(np.uint16)


def write_set(folder: Path, style: str, *, unordered: bool = False) -> list[Path]:
    """Write 2 channels of 3 sections into three files, two pages each, as Bio-Formats does.

    Args:
        folder: to be made.
        style: where the XML stands: "master" (in the first file), "each" (in all), or "companion".
        unordered: whether the pages of a file stand against the order of the XML, and the files, too; the file in the
            middle then has another byte order and no compression.
    """
    folder.mkdir()
    names = [f"part{number}.ome.tif" for number in range(3)]
    keys = [f"urn:uuid:{uuid.UUID(int=number + 1)}" for number in range(3)]
    blocks = []
    for section in range(3):
        for channel in range(2):
            file = 2 - section if unordered else section
            page = 1 - channel if unordered else channel
            blocks.append(
                f'<TiffData FirstC="{channel}" FirstZ="{section}" FirstT="0" IFD="{page}" PlaneCount="1">'
                f'<UUID FileName="{names[file]}">{keys[file]}</UUID></TiffData>'
            )
    pixels = (
        '<Image ID="Image:0" Name="set"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" SizeC="2" SizeZ="3" '
        f'SizeT="1" SizeX="{COLUMNS}" SizeY="{ROWS}" PhysicalSizeX="250" PhysicalSizeXUnit="nm" PhysicalSizeY="0.5" '
        'PhysicalSizeZ="0.002" PhysicalSizeZUnit="mm"><Channel ID="Channel:0:0" Name="DAPI"/>'
        f'<Channel ID="Channel:0:1" Name="GFP"/>{"".join(blocks)}</Pixels></Image>'
    )

    def xml(key: str, content: str) -> str:
        schema = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
        return f'<?xml version="1.0" encoding="UTF-8"?><OME xmlns="{schema}" UUID="{key}">{content}</OME>'

    companion = f"urn:uuid:{uuid.UUID(int=99)}"
    main, main_key = ("set.companion.ome", companion) if style == "companion" else (names[0], keys[0])
    if style == "companion":
        (folder / main).write_text(xml(companion, pixels), encoding="utf-8")
    for number, name in enumerate(names):
        is_described = style == "each" or (style == "master" and number == 0)
        content = pixels if is_described else f'<BinaryOnly MetadataFile="{main}" UUID="{main_key}"/>'
        section = 2 - number if unordered else number
        pages = [plane_of(channel, section) for channel in ((1, 0) if unordered else (0, 1))]
        is_odd = unordered and number == 1
        options: Any = {} if is_odd else {"compression": "zlib", "tile": (16, 16)}
        with tifffile.TiffWriter(folder / name, byteorder=">" if is_odd else "<") as file:
            for index, page in enumerate(pages):
                text = xml(keys[number], content) if index == 0 else None
                file.write(page, description=text, metadata=None, contiguous=False, **options)
    return sorted(folder.iterdir())


@pytest.mark.parametrize("style", ["master", "each", "companion"])
@pytest.mark.parametrize("unordered", [False, True])
def test_any_file_of_a_set_gives_all_its_planes_in_order(style: str, unordered: bool, tmp_path: Path) -> None:
    expected = np.stack([plane_of(channel, section) for section in range(3) for channel in range(2)])
    members = write_set(tmp_path / "set", style, unordered=unordered)
    for image in map(read_both, members):
        np.testing.assert_array_equal(sections_of(image), expected)
        assert image.stack.channels == ("DAPI", "GFP") and image.spacing == (0.25, 0.5, 2.0)
    output = tmp_path / "out.ome.tif"
    tiff_format.write(output, read_both(members[-1]))
    np.testing.assert_array_equal(tifffile.imread(output).reshape(expected.shape), expected)


@pytest.mark.parametrize("own", ["nothing", "one plane"])
def test_a_companion_file_is_found_from_a_member_that_does_not_name_it(own: str, tmp_path: Path) -> None:
    expected = np.stack([plane_of(channel, section) for section in range(3) for channel in range(2)])
    members = write_set(tmp_path / "set", "companion")
    (tmp_path / "set/other.companion.ome").write_text("no XML", encoding="utf-8")
    for number, member in enumerate(members[:3]):
        pages = np.stack([plane_of(channel, number) for channel in range(2)])
        options: Any = {"metadata": {"axes": "CYX"}, "ome": True} if own == "one plane" else {"metadata": None}
        tifffile.imwrite(member, pages, photometric="minisblack", **options)
    for member in members:
        np.testing.assert_array_equal(sections_of(read_both(member)), expected)
    alone = tmp_path / "set/alone.ome.tif"
    alone.write_bytes(members[0].read_bytes())
    assert read_both(alone).data.shape == (COLUMNS, ROWS, 2)


@pytest.mark.parametrize("style", ["each", "companion"])
def test_files_that_are_identified_by_uuid_alone_are_refused(style: str, tmp_path: Path) -> None:
    members = write_set(tmp_path / "set", style)
    for member in members:
        if member.name.endswith(".companion.ome"):
            member.write_text(re.sub(' FileName="[^"]+"', "", member.read_text(encoding="utf-8")), encoding="utf-8")
        elif style == "each":
            tifffile.tiffcomment(member, re.sub(' FileName="[^"]+"', "", xml_of(member)).encode())
    with pytest.raises(UserError, match="other files that it identifies by UUID alone"):
        read_both(members[-1])
    with pytest.raises(UserError, match=r"UUID alone|does not name it"):
        read_both(members[0])


@pytest.mark.parametrize("style", ["master", "companion"])
def test_a_set_that_is_not_whole_names_what_is_missing(style: str, tmp_path: Path) -> None:
    members = write_set(tmp_path / "set", style)
    (tmp_path / "set/part1.ome.tif").unlink()
    for member in members:
        if member.exists():
            with pytest.raises(UserError, match=r"set of 3 files that .* describes; missing: part1\.ome\.tif"):
                read_both(member)
    lonely = tmp_path / "alone.ome.tif"
    lonely.write_bytes((tmp_path / "set/part2.ome.tif").read_bytes())
    with pytest.raises(UserError, match="describes, which is missing"):
        read_both(lonely)


@pytest.mark.parametrize("name", ["../secret.ome.tif", "/etc/hostname", "C:\\data\\a.tif", "link.tif"])
def test_a_set_reads_nothing_outside_its_folder(name: str, tmp_path: Path) -> None:
    write_ome(tmp_path / "secret.ome.tif", numbers((3, ROWS, COLUMNS), "uint16"), "ZYX")
    first = write_set(tmp_path / "set", "each")[0]
    (tmp_path / "set/link.tif").symlink_to(tmp_path / "secret.ome.tif")
    content = xml_of(first).replace("part1.ome.tif", name)
    tifffile.tiffcomment(first, content.encode())
    with pytest.raises(UserError, match="only files in its own folder are read"):
        read_both(first)


def test_a_file_of_a_set_that_was_replaced_is_told_and_other_pages_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second, _ = write_set(tmp_path / "set", "each")
    tifffile.tiffcomment(second, xml_of(second).replace(f'UUID="urn:uuid:{uuid.UUID(int=2)}', 'UUID="no'))
    read_both(first)
    assert "part1.ome.tif is not the file that the set was made with" in messages(caplog)
    tifffile.imwrite(second, numbers((2, ROWS + 1, COLUMNS), "uint16"), photometric="minisblack", metadata=None)
    with pytest.raises(UserError, match="pages differ in shape"):
        read_both(first)


@pytest.mark.parametrize("style", ["master", "each", "companion"])
def test_a_broken_file_of_a_set_is_named(style: str, tmp_path: Path) -> None:
    members = write_set(tmp_path / "set", style)
    (tmp_path / "set/part1.ome.tif").write_bytes(b"not even an image")
    for member in members:
        with pytest.raises(UserError, match=r"part1\.ome\.tif: cannot be read as TIFF"):
            read_both(member)


def test_a_renamed_file_is_read_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = numbers((3, ROWS, COLUMNS), "uint16")
    path = write_ome(tmp_path / "new.ome.tif", data, "ZYX")
    text = xml_of(path)
    block = '<TiffData IFD="0" PlaneCount="3"><UUID FileName="old.ome.tif">urn:uuid:1</UUID></TiffData>'
    start, end = text.index("<TiffData"), text.index("</Pixels>")
    tifffile.tiffcomment(path, (text[:start] + block + text[end:]).encode())
    np.testing.assert_array_equal(sections_of(read_both(path)), data)
    assert "are in 'old.ome.tif'; it is assumed to be renamed" in messages(caplog)


# Pages, thumbnails, tiles


def test_pages_of_several_sizes_are_named_and_chosen(tmp_path: Path) -> None:
    path, data = tmp_path / "x.tif", numbers((4, ROWS, COLUMNS), "uint8")
    with tifffile.TiffWriter(path) as file:
        for page in (data[0], data[1], data[2, :9, :9], data[3]):
            file.write(page, metadata=None, photometric="minisblack", contiguous=False)
    with pytest.raises(UserError, match=r"contains 2 images; choose one with series: '0' \(3, 37, 50\), '1' \(9, 9\)"):
        read_both(path)
    np.testing.assert_array_equal(sections_of(read_both(path, Part(series="0"))), data[[0, 1, 3]])


def test_a_page_that_is_unlike_the_others_is_refused_where_xml_says_they_are_alike(tmp_path: Path) -> None:
    path, data = tmp_path / "x.ome.tif", numbers((3, ROWS, COLUMNS), "uint8")
    text = xml_of(write_ome(path, data, "ZYX"))
    with tifffile.TiffWriter(path) as file:
        for index, page in enumerate((data[0], data[1], data[2].T)):
            options: Any = {"description": text.encode() if index == 0 else None, "contiguous": False}
            file.write(page, metadata=None, photometric="minisblack", **options)
    with pytest.raises(UserError, match=r"page 2 is of shape \(50, 37\)"):
        read_both(path)


def test_pages_that_the_xml_does_not_name_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data, path = numbers((4, ROWS, COLUMNS), "uint8"), tmp_path / "x.ome.tif"
    text = xml_of(write_ome(path, data[:3], "ZYX"))
    tifffile.imwrite(path, data, metadata=None, photometric="minisblack", description=text.encode())
    assert read_both(path).data.shape == (COLUMNS, ROWS, 3)
    assert "names 3 of its pages; the other 1 are left out" in messages(caplog)


@pytest.mark.parametrize("axis", ["Z", "C", "T"])
def test_xml_that_does_not_fit_its_pages_is_told_or_refused(
    axis: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data, path = numbers((3, ROWS, COLUMNS), "uint8"), tmp_path / "x.ome.tif"
    text = xml_of(write_ome(path, data, f"{axis}YX"))
    start, end = text.index("<TiffData"), text.index("</Pixels>")
    content = (text[:start] + text[end:]).encode()
    tifffile.imwrite(path, data, metadata=None, photometric="minisblack", description=content)
    if axis == "Z":
        image = read_both(path)
        np.testing.assert_array_equal(sections_of(image), data)
        assert image.spacing == (0.25, 0.5, 2.0) and "OME-XML does not fit its pages" in messages(caplog)
    else:
        with pytest.raises(UserError, match="OME-XML does not fit its pages"):
            read_both(path)


@pytest.mark.parametrize(
    ("text", "pages"),
    [("images=3\nslices=3", 1), ("images=2\nslices=2", 3), ("images=3\nslices=3", 2),
     ("images=4\nchannels=2\nslices=2", 3), ("images=4\nchannels=2\nslices=2", 6)],
)  # fmt: skip
def test_a_text_of_imagej_that_does_not_fit_its_pages_is_refused(text: str, pages: int, tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    with tifffile.TiffWriter(path) as file:
        for index in range(pages):
            description = f"ImageJ=1.53t\n{text}\nunit=um\n" if index == 0 else None
            options: Any = {"photometric": "minisblack", "metadata": None, "contiguous": False}
            file.write(GREY, description=description, **options)
    with pytest.raises(UserError, match=f"its text of ImageJ .* does not fit its pages, of which there are {pages}"):
        read_both(path)


@pytest.mark.parametrize(("zero", "step"), [(-32768, 1), (10.0, 2.5), (0, 1)])
def test_a_calibration_of_imagej_is_named(
    zero: float, step: float, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data, metadata = numbers((3, 9, 8), "uint16"), {"axes": "ZYX", "cf": 0, "c0": zero, "c1": step}
    tifffile.imwrite(tmp_path / "x.tif", data, imagej=True, metadata=metadata)
    np.testing.assert_array_equal(sections_of(read_both(tmp_path / "x.tif")), data)
    told = f"(cf=0, c0={zero}, c1={step}) is neither applied nor kept"
    assert (told in messages(caplog)) == (zero != 0) == bool(messages(caplog))


@pytest.mark.parametrize(
    ("ome", "metadata", "told"),
    [(True, {"Plane": {"PositionX": [1.0] * 3, "PositionZ": [0.0] * 3}, "TimeIncrement": 2.0},
      "PositionX, PositionZ, TimeIncrement"),
     (False, {"xorigin": 12.5, "zorigin": 3.0, "finterval": 0.0}, "xorigin, zorigin"), (False, {"xorigin": 0.0}, "")],
)  # fmt: skip
def test_places_and_times_that_a_result_does_not_keep_are_named(
    ome: bool, metadata: dict[str, Any], told: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "x.tif"
    options: dict[str, Any] = {"ome": True} if ome else {"imagej": True}
    data = numbers((3, 9, 8), "uint8")
    tifffile.imwrite(path, data, photometric="minisblack", metadata={"axes": "ZYX", **metadata}, **options)
    format_of(path).read(path)
    assert messages(caplog) == (f"{path}: not kept in a result: {told}" if told else "")


def test_tiles_that_are_left_out_are_filled_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, data = tmp_path / "x.tif", numbers((ROWS, COLUMNS), "uint16") | 1
    tifffile.imwrite(path, data, tile=(16, 16), compression="zlib", photometric="minisblack", metadata=None)
    with tifffile.TiffFile(path, mode="r+") as file:
        page: Any = file.pages[0]
        for tag, values in ((324, page.dataoffsets), (325, page.databytecounts)):
            page.tags[tag].overwrite((0, *values[1:]))
    data[:16, :16] = 0
    np.testing.assert_array_equal(sections_of(read_both(path))[0], data)
    assert "1 of its tiles are not stored; their pixels count as 0" in messages(caplog)


@pytest.mark.parametrize("axes", ["TZCYX", "CTZYX", "ZTCYX", "CZTYX"])
@pytest.mark.parametrize("options", [{"byteorder": ">"}, {"bigtiff": True, "compression": "zlib"}])
def test_planes_in_any_order_are_found(axes: str, options: dict[str, Any], tmp_path: Path) -> None:
    sizes = {"T": 2, "C": 3, "Z": 4, "Y": 9, "X": 8}
    data = numbers([sizes[axis] for axis in axes], "int16")
    metadata = {"axes": axes}
    path = tmp_path / "x.ome.tif"
    tifffile.imwrite(path, data, ome=True, photometric="minisblack", metadata=metadata, **options)
    expected = data.transpose([axes.index(axis) for axis in "TZCYX"])[1].reshape(-1, 9, 8)
    np.testing.assert_array_equal(sections_of(read_both(path, Part(frame=1))), expected)


# Orientation


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("options", [{}, {"compression": "zlib", "tile": (16, 32)}])
def test_pages_are_turned_as_pillow_turns_them(orientation: int, options: dict[str, Any], tmp_path: Path) -> None:
    path, data = tmp_path / "x.tif", numbers((ROWS, COLUMNS), "uint8")
    tags = [(274, 3, 1, orientation, True)]
    metadata = {"axes": "YX", "unit": "um"}
    tifffile.imwrite(
        path, data, imagej=not options, resolution=(4.0, 2.0), extratags=tags, metadata=metadata, **options
    )
    image = read_both(path)
    picture = PillowImage.fromarray(data)
    picture.getexif()[274] = orientation
    expected = np.asarray(ImageOps.exif_transpose(picture))
    np.testing.assert_array_equal(sections_of(image)[0], expected)
    if not options:
        assert image.spacing[:2] == ((0.5, 0.25) if orientation > 4 else (0.25, 0.5))
    tiff_format.write(tmp_path / "out.tif", image)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out.tif"), expected)
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        assert file.pages.first.tags.valueof(274, 1) == 1


def test_pages_that_are_turned_differently_are_refused(tmp_path: Path) -> None:
    options: Any = {"photometric": "minisblack", "metadata": None, "extratags": [(274, 3, 1, 6, True)]}
    tifffile.imwrite(tmp_path / "x.tif", numbers((3, ROWS, COLUMNS), "uint8"), **options)
    with pytest.raises(UserError, match="its pages differ in orientation: 6 and 1"):
        read_both(tmp_path / "x.tif")


# Units


@pytest.mark.parametrize(
    ("unit", "micrometres"),
    [("Ym", 1e30), ("Mm", 1e12), ("mm", 1e3), ("µm", 1), ("μm", 1), ("pm", 1e-6), ("ym", 1e-18),
     ("\N{ANGSTROM SIGN}", 1e-4),
     ("\N{LATIN CAPITAL LETTER A WITH RING ABOVE}", 1e-4),
     ("in", 25400), ("ft", 304800), ("yd", 914400), ("mi", 1609344000), ("thou", 25.4), ("li", 25400 / 12),
     ("pt", 25400 / 72), ("dam", 1e7), ("pc", 3.0856775814913673e22), ("angstrom", 1e-4), ("micrometer", 1),
     ("millimetre", 1e3), ("Micrometer", 1), ("pixel", None), ("reference frame", None), ("MM", None), ("xyz", None)],
)  # fmt: skip
def test_units_of_length(unit: str, micrometres: float | None) -> None:
    found = micrometres_in(unit)
    assert found is None if micrometres is None else found == pytest.approx(micrometres, rel=1e-12)


def test_units_that_nobody_knows_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sizes = {"PhysicalSizeXUnit": "furlong", "PhysicalSizeX": 3.0}
    path = write_ome(tmp_path / "x.ome.tif", numbers((3, 9, 8), "uint8"), "ZYX", **sizes)
    image = read_both(path)
    assert image.unit == "pixel"
    assert "the unit 'furlong' of PhysicalSizeX is unknown" in messages(caplog) and "voxel_um" in messages(caplog)
    caplog.clear()
    assert read_both(path, Part(voxel_um=(1.0, 1.0, 2.0))).unit == "um" and "furlong" not in messages(caplog)


@pytest.mark.parametrize(
    ("kept", "told"),
    [("X", "states PhysicalSizeX but not PhysicalSizeY"), ("Z", "states PhysicalSizeZ but not PhysicalSizeX and"),
     ("YZ", "states PhysicalSizeY and PhysicalSizeZ but not PhysicalSizeX"), ("XY", ""), ("", "")],
)  # fmt: skip
def test_sizes_that_are_half_stated_are_named(
    kept: str, told: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = numbers((3, 9, 8), "uint8")
    sizes = {f"PhysicalSize{axis}": 0.5 for axis in kept}
    path = tmp_path / "x.ome.tif"
    options: dict[str, Any] = {"ome": True, "photometric": "minisblack"}
    tifffile.imwrite(path, data, metadata={"axes": "ZYX", **sizes}, **options)
    assert read_both(path).unit == ("um" if kept == "XY" else "pixel")
    assert told in messages(caplog) and bool(told) == bool(messages(caplog)) == ("voxel_um" in messages(caplog))
    caplog.clear()
    assert read_both(path, Part(voxel_um=(1.0, 2.0, 3.0))).spacing == (1.0, 2.0, 3.0) and "counts" not in caplog.text


def test_a_size_that_is_no_number_is_refused_unless_one_is_given(tmp_path: Path) -> None:
    path = write_ome(tmp_path / "x.ome.tif", numbers((3, 9, 8), "uint8"), "ZYX")
    tifffile.tiffcomment(path, xml_of(path).replace('PhysicalSizeX="0.25"', 'PhysicalSizeX="0,5"').encode())
    with pytest.raises(UserError, match="PhysicalSizeX is '0,5', which is not a number; give the size") as error:
        read_both(path)
    assert "whole" not in str(error.value)
    assert read_both(path, Part(voxel_um=(1.0, 2.0, 3.0))).spacing == (1.0, 2.0, 3.0)


@pytest.mark.parametrize(
    ("unit", "extra", "spacing", "told"),
    [("inch", {}, (25400 / 4, 25400 / 2, 50800.0), ""), ("nm", {"yunit": "mm"}, (0.25e-3, 500.0, 2e-3), ""),
     ("\\u00B5m", {}, (0.25, 0.5, 2.0), ""), ("\\u00C5", {}, (0.25e-4, 0.5e-4, 2e-4), ""),
     ("pixel", {}, None, ""), ("cubit", {}, None, "the unit 'cubit' of pixels along x is unknown")],
)  # fmt: skip
def test_units_of_imagej(
    unit: str, extra: dict[str, str], spacing: Any, told: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "x.tif"
    metadata = {"axes": "ZYX", "unit": unit, "spacing": 2.0, **extra}
    tifffile.imwrite(path, numbers((3, 9, 8), "uint8"), imagej=True, resolution=(4.0, 2.0), metadata=metadata)
    image = read_both(path)
    assert image.unit == ("pixel" if spacing is None else "um")
    assert spacing is None or image.spacing == pytest.approx(spacing)
    assert told in messages(caplog) and bool(told) == bool(messages(caplog))


# Samples of a pixel


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("kind", ["unassalpha", "assocalpha"])
@pytest.mark.parametrize("colours", [1, 3])
def test_opacity_is_told_where_it_is_not_full(
    colours: int, kind: str, planar: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = numbers((ROWS, COLUMNS, colours + 1), "uint8")
    data[..., -1] = 255
    path, photometric = tmp_path / "x.tif", "rgb" if colours == 3 else "minisblack"
    for transparent in (0, 5):
        data[0, :transparent, -1] = 7
        stored = data if planar == "contig" else np.ascontiguousarray(np.moveaxis(data, -1, 0))
        options: Any = {"photometric": photometric, "planarconfig": planar, "extrasamples": [kind], "metadata": None}
        tifffile.imwrite(path, stored, **options, compression="zlib", rowsperstrip=8)
        caplog.clear()
        image = format_of(path).read(path)
        np.testing.assert_array_equal(sections_of(image), np.moveaxis(data[..., :colours], -1, 0))
        told = messages(caplog)
        assert ("5 of 1850 pixels are not opaque; the opacity (alpha)" in told) == bool(transparent)
        assert ("premultiplied" in told) == (bool(transparent) and kind == "assocalpha")
    caplog.clear()
    read_both(path)
    assert f"{path}: the opacity (alpha) of pixels is left out" in messages(caplog), "part by part it is not counted"


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("count", [2, 5])
def test_samples_that_are_no_opacity_are_channels(count: int, compression: Any, planar: Any, tmp_path: Path) -> None:
    data = numbers((count, ROWS, COLUMNS), "uint16")
    stored = data if planar == "separate" else np.ascontiguousarray(np.moveaxis(data, 0, -1))
    options: Any = {"photometric": "minisblack", "planarconfig": planar, "metadata": None, "compression": compression}
    tifffile.imwrite(tmp_path / "x.tif", stored, **options)
    image = read_both(tmp_path / "x.tif")
    np.testing.assert_array_equal(sections_of(image), data)
    tiff_format.write(tmp_path / "out.tif", image)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out.tif"), data)


def test_samples_beyond_rgb_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = numbers((ROWS, COLUMNS, 5), "uint8")
    tifffile.imwrite(tmp_path / "x.tif", data, photometric="rgb", extrasamples=[0, 0], metadata=None)
    np.testing.assert_array_equal(sections_of(read_both(tmp_path / "x.tif")), np.moveaxis(data[..., :3], -1, 0))
    assert "2 samples per pixel beyond RGB" in messages(caplog)


# Types and compressions


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "int32", "uint32"])
def test_inverted_and_negative_intensities_keep_their_meaning(dtype: str, tmp_path: Path) -> None:
    data = numbers((2, ROWS, COLUMNS), dtype)
    options: Any = {"photometric": "miniswhite", "metadata": None, "compression": "zlib"}
    tifffile.imwrite(tmp_path / "x.tif", data, **options)
    image = read_both(tmp_path / "x.tif")
    limits = np.iinfo(dtype)
    np.testing.assert_array_equal(sections_of(image), float(limits.min + limits.max) - data.astype(float))
    tiff_format.write(tmp_path / "out.tif", image)
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        assert file.pages.first.photometric == tifffile.PHOTOMETRIC.MINISWHITE
        np.testing.assert_array_equal(file.asarray(), data)
    write_quantity(tmp_path / "error.tif", image)
    with tifffile.TiffFile(tmp_path / "error.tif") as file:
        assert file.pages.first.photometric == tifffile.PHOTOMETRIC.MINISBLACK
        np.testing.assert_allclose(file.asarray(), sections_of(image), rtol=1e-6)


def test_a_page_that_does_not_say_what_zero_is_counts_as_grey(tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, GREY, photometric="minisblack", metadata=None)
    content = path.read_bytes()
    entry = struct.pack("<HHIHH", 262, 3, 1, 1, 0)
    assert content.count(entry) == 1
    path.write_bytes(
        content.replace(entry, struct.pack("<HHIHH", 263, 3, 1, 1, 0))
    )  # Threshholding, which says nothing
    np.testing.assert_array_equal(sections_of(read_both(path))[0], GREY)


def test_half_floats_become_floats_of_32_bits(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    data = numbers((2, ROWS, COLUMNS), "float16")
    tifffile.imwrite(tmp_path / "x.tif", data, photometric="minisblack", metadata=None, compression="zlib")
    image = read_both(tmp_path / "x.tif")
    assert "floats of 16 bits are written with 32" in messages(caplog, logging.INFO)
    tiff_format.write(tmp_path / "out.ome.tif", image)
    found = tifffile.imread(tmp_path / "out.ome.tif")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, data.astype(np.float32))


CODECS: list[tuple[str, str, dict[str, Any]]] = [
    ("lzw", "uint16", {"predictor": True}),
    ("lzw", "uint8", {}),
    ("zstd", "int16", {"predictor": True}),
    ("zstd", "float32", {"predictor": 3}),
    ("packbits", "uint8", {}),
    ("deflate", "float64", {"predictor": 3}),
    ("deflate", "uint32", {"predictor": 2}),
    ("lzma", "uint16", {}),
    ("lerc", "float32", {}),
    ("jpeg2000", "uint16", {}),
    ("png", "uint8", {}),
    ("webp", "uint8", {"compressionargs": {"lossless": True}}),
    ("jpegxl", "uint8", {"compressionargs": {"lossless": True}}),
    ("jpeg", "uint8", {}),
]


@pytest.mark.parametrize(("codec", "dtype", "options"), CODECS, ids=str)
@pytest.mark.parametrize("tile", [None, (16, 32)])
def test_compressions_are_read(codec: str, dtype: str, options: dict[str, Any], tile: Any, tmp_path: Path) -> None:
    rows, columns = np.mgrid[:ROWS, :COLUMNS]
    grey = (40 * np.sin(rows / 5) * np.cos(columns / 7) + 100).astype(dtype)
    colour = codec == "webp"
    data = np.stack([grey, grey // 2, 255 - grey], axis=-1) if colour else grey
    path, photometric = tmp_path / "x.tif", "rgb" if colour else "minisblack"
    tifffile.imwrite(path, data, compression=codec, photometric=photometric, tile=tile, metadata=None, **options)
    found = sections_of(read_both(path))
    expected = np.moveaxis(np.atleast_3d(data), -1, 0)
    if codec == "jpeg":
        np.testing.assert_array_equal(found[0], tifffile.imread(path))
        assert np.abs(found - expected).max() < 12
    else:
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("subsampling", [(1, 1), (2, 2)])
def test_colours_that_jpeg_keeps_as_ycbcr_are_rgb(subsampling: tuple[int, int], tmp_path: Path) -> None:
    rows, columns = np.mgrid[:64, :48]
    data = np.stack([3 * rows, 4 * columns, 2 * rows + columns], axis=-1).astype(np.uint8)
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, data, photometric="rgb", compression="jpeg", subsampling=subsampling, metadata=None)
    with PillowImage.open(path) as picture:
        expected = np.asarray(picture.convert("RGB")).astype(float)
    found = np.moveaxis(sections_of(read_both(path)), 0, -1)
    assert np.abs(found - expected).max() < 20 and np.abs(found - data).mean() < 5


WITHOUT_CODECS = """
import sys
sys.modules["imagecodecs"] = None
from pathlib import Path
from pipeline.errors import UserError
from pipeline.formats import format_of
path = Path(sys.argv[1])
try:
    format_of(path).read(path)
except UserError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("codec", "dtype", "name"), [("zstd", "int16", "ZSTD"), ("lzw", "uint8", "LZW"), ("jpeg", "uint8", "JPEG")]
)
def test_a_compression_whose_package_is_missing_is_named(codec: str, dtype: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, numbers((ROWS, COLUMNS), dtype), compression=codec, metadata=None)
    command = [sys.executable, "-c", WITHOUT_CODECS, str(path)]
    found = subprocess.run(command, capture_output=True, text=True, check=True, cwd=CHECKOUT).stdout
    assert f"is compressed with {name}, which needs the package imagecodecs" in found and "whole" not in found


def with_tag(path: Path, data: NDArray, tag: int, value: int, **options: Any) -> None:
    tifffile.imwrite(path, data, metadata=None, **options)
    with tifffile.TiffFile(path, mode="r+") as file:
        file.pages.first.tags[tag].overwrite(value)


NAMED = {
    "PALETTE": lambda path: with_tag(path, GREY, 262, 3),
    "ink": lambda path: tifffile.imwrite(path, numbers((9, 8, 4), "uint8"), photometric="separated", metadata=None),
    "CIELAB": lambda path: tifffile.imwrite(path, RGB, photometric="cielab", metadata=None),
    "YCBCR": lambda path: with_tag(path, RGB, 262, 6, photometric="rgb"),
    "CFA": lambda path: tifffile.imwrite(path, GREY, photometric="cfa", metadata=None),
    "1 bit": lambda path: tifffile.imwrite(path, GREY > 99, metadata=None),
    "complex64 are not intensities.*magnitude": lambda path: tifffile.imwrite(path, (GREY * 1j).astype("complex64")),
    "int64 are not intensities": lambda path: tifffile.imwrite(path, GREY.astype("int64")),
    "compressed with THUNDERSCAN, which cannot be decoded": lambda path: with_tag(path, GREY, 259, 32809),
    "compressed with 54321": lambda path: with_tag(path, GREY, 259, 54321),
}


@pytest.mark.parametrize("words", NAMED)
def test_pixels_that_cannot_be_used_are_named(words: str, tmp_path: Path) -> None:
    NAMED[words](tmp_path / "x.tif")
    for read in (format_of(tmp_path / "x.tif").read, lambda path: open_tiled(path).__enter__()):
        with pytest.raises(UserError, match=words) as error:
            read(tmp_path / "x.tif")
        assert "whole" not in str(error.value)


@pytest.mark.parametrize("bits", [4, 12])
def test_packed_bits_are_unpacked(bits: int, tmp_path: Path) -> None:
    data = numbers((2, ROWS, COLUMNS), "uint8" if bits <= 8 else "uint16") & (2**bits - 1)
    tifffile.imwrite(tmp_path / "x.tif", data, bitspersample=bits, photometric="minisblack", metadata=None)
    np.testing.assert_array_equal(sections_of(read_both(tmp_path / "x.tif")), data)


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"planarconfig": "separate"}])
def test_stacks_of_coloured_pages_are_read(options: dict[str, Any], tmp_path: Path) -> None:
    data = numbers((4, 3, ROWS, COLUMNS), "uint8")
    stored = data if "planarconfig" in options else np.ascontiguousarray(np.moveaxis(data, 1, -1))
    tifffile.imwrite(tmp_path / "x.tif", stored, photometric="rgb", **options)
    np.testing.assert_array_equal(sections_of(read_both(tmp_path / "x.tif")), data.reshape(-1, ROWS, COLUMNS))
    green = sections_of(read_both(tmp_path / "x.tif", Part(channel="green")))
    np.testing.assert_array_equal(green, data[:, 1])


def test_the_companion_and_bigtiff_endings_belong_to_tiff() -> None:
    for name in ("a.companion.ome", "a.ome.tf8", "a.btf", "a.OME.TIF"):
        assert format_of(Path(name)) is tiff_format
        assert getattr(tiled_format_of(Path(name)), "__name__", "").endswith(".tiff")


# PNG and JPEG


def saved(path: Path, picture: PillowImage.Image, kind: str, **options: Any) -> Path:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    path.write_bytes(buffer.getvalue())
    return path


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P", "I;16"])
def test_transparent_pixels_of_a_picture_are_told(mode: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pixels = numbers((9, 8), "uint8") | 1
    options: dict[str, Any] = {}
    if mode == "I;16":
        deep = pixels.astype(np.uint16)
        deep[0, :5] = 4242
        picture, expected, options = PillowImage.fromarray(deep), deep[None], {"transparency": 4242}
    elif mode == "P":
        pixels = numbers((9, 8), "uint8") % 3
        pixels[0, :5], pixels[1:] = 3, pixels[1:] % 3
        pixels[0, 5:] = 0
        picture = PillowImage.fromarray(pixels, "P")
        palette = np.array([[10, 200, 30], [90, 90, 0], [0, 0, 250], [1, 2, 3]], np.uint8)
        picture.putpalette(palette.tobytes())
        expected, options = np.moveaxis(palette[pixels], -1, 0), {"transparency": 3}
    else:
        alpha = np.full((9, 8), 255, np.uint8)
        alpha[0, :5] = 9
        colours = [pixels] if mode == "LA" else [pixels, pixels[::-1], pixels[:, ::-1]]
        picture, expected = PillowImage.fromarray(np.stack([*colours, alpha], axis=-1), mode), np.stack(colours)
    image = picture_format.read(saved(tmp_path / "x.png", picture, "PNG", **options))
    np.testing.assert_array_equal(sections_of(image), expected)
    assert "x.png: 5 of 72 pixels are not opaque" in messages(caplog)


def test_an_opaque_picture_is_not_remarked_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = np.dstack([numbers((9, 8, 3), "uint8"), np.full((9, 8), 255, np.uint8)])
    (tmp_path / "x.png").write_bytes(png(data))
    picture_format.read(tmp_path / "x.png")
    assert not messages(caplog)


@pytest.mark.parametrize(("suffix", "kind"), [(".png", "PNG"), (".jpg", "MPO")])
def test_files_of_several_pictures_are_refused(suffix: str, kind: str, tmp_path: Path) -> None:
    first, *others = (PillowImage.fromarray(numbers((16, 16), "uint8", seed)).convert("RGB") for seed in range(3))
    path = saved(tmp_path / f"x{suffix}", first, kind, save_all=True, append_images=others)
    with pytest.raises(UserError, match="contains 3 pictures; save the one that is meant"):
        picture_format.read(path)


def test_a_jpeg_of_inks_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.jpg", PillowImage.fromarray(RGB).convert("CMYK"), "JPEG")
    with pytest.raises(UserError, match="CMYK"):
        picture_format.read(path)


DIM = np.stack([numbers((16, 16), "uint8", seed) % 16 for seed in range(3)], axis=-1)
TINTED = np.repeat(GREY[:16, :16, None] // 2, 3, axis=2) + np.array([1, 0, 0], np.uint8)


@pytest.mark.parametrize("data", [DIM, DIM * np.array([1, 0, 0], np.uint8), TINTED], ids=["dim", "red", "tinted"])
def test_small_differences_of_colours_are_kept(data: NDArray, tmp_path: Path) -> None:
    path = saved(tmp_path / "1.png", PillowImage.fromarray(data), "PNG")
    np.testing.assert_array_equal(sections_of(picture_format.read(path)), np.moveaxis(data, -1, 0))
    stack = format_of(tmp_path).read(tmp_path)
    np.testing.assert_array_equal(sections_of(stack), np.moveaxis(data, -1, 0))


def test_a_dim_jpeg_keeps_its_colours_and_a_grey_one_is_grey(tmp_path: Path) -> None:
    rows = np.tile(np.arange(16, dtype=np.uint8)[:, None], (4, 64))
    dim = saved(tmp_path / "dim.jpg", PillowImage.fromarray(np.stack([rows, rows // 2, 0 * rows], -1)), "JPEG")
    with PillowImage.open(dim) as picture:
        expected = np.asarray(picture)
    np.testing.assert_array_equal(sections_of(picture_format.read(dim)), np.moveaxis(expected, -1, 0))
    for quality in (30, 75, 98):
        grey = saved(tmp_path / "grey.jpg", PillowImage.fromarray(GREY).convert("RGB"), "JPEG", quality=quality)
        assert picture_format.read(grey).data.shape == (COLUMNS, ROWS, 1)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_picture_exchanges_its_resolutions(kind: str, orientation: int, tmp_path: Path) -> None:
    exif = PillowImage.Exif()
    exif[274] = orientation
    picture = PillowImage.fromarray(GREY)
    path = saved(tmp_path / f"x.{kind.lower()}", picture, kind, exif=exif, dpi=(300, 150))
    image = picture_format.read(path)
    assert image.data.shape[:2] == ((ROWS, COLUMNS) if orientation > 4 else (COLUMNS, ROWS))
    picture_format.write(tmp_path / "out.png", image)
    with PillowImage.open(tmp_path / "out.png") as written:
        assert written.info["dpi"] == pytest.approx((150, 300) if orientation > 4 else (300, 150), rel=1e-3)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [({}, None), ({274: 1}, None), ({282: 300.0, 283: 150.0, 296: 2}, (300, 150)),
     ({282: 10.0, 283: 20.0, 296: 1}, None), ({282: 300.0, 296: 2}, None),
     ({282: 100.0, 283: 50.0, 296: 3, 274: 6}, (127, 254))],
)  # fmt: skip
def test_a_resolution_is_taken_from_exif_and_never_invented(
    tags: dict[int, Any], expected: Any, tmp_path: Path
) -> None:
    exif = PillowImage.Exif()
    exif.update(tags)
    path = saved(tmp_path / "x.jpg", PillowImage.fromarray(GREY), "JPEG", exif=exif)
    assert path.read_bytes()[13:14] == b"\0", "the JFIF header states no unit"
    picture_format.write(tmp_path / "out.png", picture_format.read(path))
    with PillowImage.open(tmp_path / "out.png") as written:
        assert written.info.get("dpi") == (None if expected is None else pytest.approx(expected, rel=1e-3))


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_grey_values_of_few_bits_are_scaled_with_a_warning(
    bits: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = png(np.zeros((2, 8), np.uint8))
    samples = np.arange(16, dtype=np.uint8).reshape(2, 8) % 2**bits
    unpacked = (samples[..., None] >> np.arange(bits - 1, -1, -1, dtype=np.uint8)) & 1
    lines = b"".join(b"\0" + np.packbits(line.ravel()).tobytes() for line in unpacked)
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", 8, 2, bits, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(lines)),
        (b"IEND", b""),
    ]
    content = content[:8] + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    )
    (tmp_path / "x.png").write_bytes(content)
    if bits == 1:
        with pytest.raises(UserError, match="its pixels have 1 bit, black or white"):
            picture_format.read(tmp_path / "x.png")
        return
    factor = 255 // (2**bits - 1)
    image = picture_format.read(tmp_path / "x.png")
    np.testing.assert_array_equal(sections_of(image)[0], samples.astype(int) * factor)
    assert f"grey values of {bits} bits are scaled to 8 bits (times {factor})" in messages(caplog)


def test_a_file_that_is_no_picture_is_named_as_such(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.png", PillowImage.fromarray(GREY), "TIFF")
    with pytest.raises(UserError, match=r"x\.png: cannot be read as a picture \(it is no PNG or JPEG file"):
        picture_format.read(path)


# Sizes that are given, and folders of other images


@pytest.mark.parametrize("wrong", [0.0, -1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["x.tif", "x.png", "folder", "x.ome.zarr"])
def test_a_given_size_that_cannot_be_true_is_refused(wrong: float, name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if name == "x.tif":
        tifffile.imwrite(path, GREY)
    elif name == "x.ome.zarr":
        group = zarr.open_group(path, mode="w", zarr_format=2)
        group.create_array("0", data=GREY)
        axes = [{"name": axis, "type": "space"} for axis in "yx"]
        dataset = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1.0, 1.0]}]}
        group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": [dataset]}]
    else:
        path.mkdir() if name == "folder" else None
        (path / "1.png" if name == "folder" else path).write_bytes(png(GREY))
    part = Part(voxel_um=(1.0, wrong, 1.0))
    with pytest.raises(UserError, match=r"voxel_um is .*; it needs three finite sizes above zero, in micrometres"):
        format_of(path).read(path, part)
    if tiled_format_of(path) is not None:
        with open_tiled(path) as image, pytest.raises(UserError, match="three finite sizes above zero"):
            chosen(image, part)


@pytest.mark.parametrize("packed", [False, True])
def test_a_folder_of_tiff_files_is_refused_with_advice(packed: bool, tmp_path: Path) -> None:
    source = tmp_path / "scans"
    source.mkdir()
    for index in range(2):
        tifffile.imwrite(source / f"{index}.tif", GREY)
    if packed:
        source = Path(shutil.make_archive(str(source), "zip", source))
    with pytest.raises(UserError, match="contains 2 TIFF files; save them as one stack, or name one"):
        format_of(source)


def test_a_stack_of_pictures_says_how_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(png(GREY))
    image = format_of(tmp_path).read(tmp_path)
    with pytest.raises(UserError, match=r"a stack of pictures is written as .*\.ome\.tiff"):
        check_output(tmp_path / "out.png", image)
    check_output(tmp_path / "out.ome.tiff", image)

"""NRRD and MetaImage: whatever SimpleITK or a hand-written header says is placed, kept, converted, named or refused."""

from __future__ import annotations

import itertools
import resource
import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.formats import Part, format_by_name, format_of
from pipeline.formats.io.container import read_image, write_image
from pipeline.formats.io.predictions import suffix_of, write_prediction, write_quantity
from pipeline.image.image import Image
from pipeline.physics.forward import ForwardModel
from pipeline.physics.low_resolution import LowResolutionImage
from tests.image_files import numbers

SHAPE = (6, 7, 5)
ENDINGS = (".nrrd", ".mha")
DTYPES = ("uint8", "int8", "int16", "uint16", "int32", "uint32", "float32", "float64")
LEFT = np.diag([-1.0, -1.0, 1.0, 1.0])
"""Between axes that run to the left and the back, as ITK's do, and those that run to the right and the front."""


def oblique() -> NDArray:
    """An affine to right, front and top whose axes are in another order and turned by a little."""
    affine = np.eye(4)
    turn = np.array([[0.98, -0.199, 0], [0.199, 0.98, 0], [0, 0, 1]])
    affine[:3, :3] = turn @ np.array([[0, -1.5, 0], [0, 0, 2.0], [0.7, 0, 0]])
    affine[:3, 3] = (-12.0, 30.5, 7.25)
    return affine


def picture_of(data: NDArray, affine: NDArray) -> Any:
    """SimpleITK's image of voxels (x, y, z, ...)."""
    picture = SimpleITK.GetImageFromArray(np.ascontiguousarray(data.T), isVector=False)
    axes = data.ndim
    matrix, origin = np.eye(axes), np.zeros(axes)
    inside = min(axes, 3)
    matrix[:inside, :inside] = (LEFT @ affine)[:inside, :inside]
    origin[:inside] = (LEFT @ affine)[:inside, 3]
    sizes = np.linalg.norm(matrix, axis=0)
    picture.SetSpacing(sizes.tolist())
    picture.SetDirection((matrix / sizes).ravel().tolist())
    picture.SetOrigin(origin.tolist())
    return picture


def file_of(path: Path, data: NDArray, affine: NDArray | None = None, **metadata: str) -> Path:
    picture = picture_of(data, oblique() if affine is None else affine)
    for key, value in metadata.items():
        picture.SetMetaData(key, value)
    SimpleITK.WriteImage(picture, str(path), useCompression=True)
    return path


def nrrd(path: Path, header: str, data: NDArray | None = None) -> Path:
    """Write an NRRD of 16-bit integers, of which `header` has the rest, by hand."""
    content = b"" if data is None else data.astype("<i2").tobytes(order="F")
    text = f"NRRD0005\ntype: int16\nendian: little\nencoding: raw\n{header}\n\n"
    path.write_bytes(text.encode() + content)
    return path


def meta(path: Path, header: str, content: bytes = b"", data_file: str = "LOCAL") -> Path:
    """Write a MetaImage by hand."""
    text = (
        f"ObjectType = Image\nNDims = 3\nDimSize = 6 7 5\nBinaryData = True\n{header}\nElementDataFile = {data_file}\n"
    )
    path.write_bytes(text.encode() + content)
    return path


def doubled(low: Image, path: Path) -> Any:
    """The image enlarged along x and y, written through a file between stages, and read back by SimpleITK."""
    factors = [2 if size > 1 else 1 for size in low.data.shape]
    shape = [size * factor for size, factor in zip(low.data.shape, factors, strict=True)]
    low = LowResolutionImage.of(low, ForwardModel(tuple(factors), tuple(shape)))
    write_image(path.with_suffix(".safetensors"), low)
    low = read_image(path.with_suffix(".safetensors"), LowResolutionImage)
    write_prediction(path, low, np.kron(low.data, np.ones(factors)))
    return SimpleITK.ReadImage(str(path))


@pytest.mark.parametrize(("ending", "dtype"), itertools.product(ENDINGS, DTYPES))
def test_voxels_type_and_place_are_those_that_simpleitk_finds(ending: str, dtype: str, tmp_path: Path) -> None:
    data = numbers(SHAPE, dtype) if np.dtype(dtype).kind == "f" else (numbers(SHAPE, "int16") % 100).astype(dtype)
    source = file_of(tmp_path / f"a{ending}", data)
    low = format_of(source).read(source)
    assert np.all(np.diag(low.affine[:3, :3]) > 0) and low.unit == "mm" and suffix_of(low) == ending
    for place in ((0, 0, 0), (5, 2, 4)):
        where = low.affine @ [*np.argwhere(low.data == data[place])[0], 1]
        if np.count_nonzero(data == data[place]) == 1:
            np.testing.assert_allclose(where, oblique() @ [*place, 1], atol=1e-9)
    after = doubled(low, tmp_path / f"b{ending}")
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(after).T, np.kron(data, np.ones((2, 2, 2))))
    assert SimpleITK.GetArrayFromImage(after).dtype == np.dtype(dtype)
    before = SimpleITK.ReadImage(str(source))
    for corner in itertools.product(*((-0.5, size - 0.5) for size in SHAPE)):
        expected = before.TransformContinuousIndexToPhysicalPoint(corner)
        found = after.TransformContinuousIndexToPhysicalPoint([2 * (one + 0.5) - 0.5 for one in corner])
        np.testing.assert_allclose(found, expected, atol=1e-9)
    write_quantity(tmp_path / f"u{ending}", low)
    assert SimpleITK.ReadImage(str(tmp_path / f"u{ending}")).GetPixelID() == SimpleITK.sitkFloat32
    content = (tmp_path / f"b{ending}").read_bytes()
    doubled(low, tmp_path / f"b{ending}")
    assert (tmp_path / f"b{ending}").read_bytes() == content, "the same image always gives the same bytes"


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_same_volume_as_nifti_lies_in_the_same_place(ending: str, tmp_path: Path) -> None:
    data = numbers(SHAPE, "int16")
    nib.save(nib.Nifti1Image(data, oblique()), tmp_path / "a.nii")  # pyright: ignore[reportArgumentType]
    images = [format_of(path).read(path) for path in (tmp_path / "a.nii", file_of(tmp_path / f"a{ending}", data))]
    np.testing.assert_array_equal(images[0].data, images[1].data)
    np.testing.assert_allclose(images[0].affine, images[1].affine, atol=1e-5)


PLACED = "dimension: 3\nsizes: 6 7 5\nspace directions: (0,2,0) (0,0,3) (1.5,0,0)\nspace origin: (10,20,30)"
DIRECTIONS = np.array([[0, 0, 1.5, 10], [2, 0, 0, 20], [0, 3, 0, 30], [0, 0, 0, 1]])
SPACES = {
    "right-anterior-superior": [1, 1, 1, 1],
    "RAS": [1, 1, 1, 1],
    "left-anterior-superior": [-1, 1, 1, 1],
    "LAS": [-1, 1, 1, 1],
    "left-posterior-superior": [-1, -1, 1, 1],
    "LPS": [-1, -1, 1, 1],
}


@pytest.mark.parametrize("space", SPACES)
def test_the_space_of_an_nrrd_says_where_left_is(space: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = np.zeros(SHAPE, np.int16)
    data[4, 1, 3] = 9
    source = nrrd(tmp_path / "a.nrrd", f"space: {space}\n{PLACED}", data)
    expected = np.diag(SPACES[space]) @ DIRECTIONS @ [4, 1, 3, 1]
    image = format_of(source).read(source)
    np.testing.assert_allclose(image.affine @ [*np.argwhere(image.data == 9)[0], 1], expected)
    format_of(source).write(tmp_path / "b.nrrd", image)
    after = SimpleITK.ReadImage(str(tmp_path / "b.nrrd"))
    place = [int(one) for one in np.argwhere(SimpleITK.GetArrayFromImage(after).T == 9)[0]]
    np.testing.assert_allclose(LEFT[:3, :3] @ after.TransformIndexToPhysicalPoint(place), expected[:3])
    assert caplog.text == ""


@pytest.mark.parametrize(
    "header",
    ["dimension: 3\nsizes: 6 7 5\nspacings: 1 2 3", f"space: scanner-xyz\n{PLACED}", f"space dimension: 3\n{PLACED}"],
    ids=["spacings alone", "scanner", "dimension"],
)
def test_an_nrrd_that_does_not_say_where_left_is_lies_as_in_itk_and_is_named(
    header: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = nrrd(tmp_path / "a.nrrd", header, numbers(SHAPE, "int16"))
    image = format_of(source).read(source)
    assert "a.nrrd: does not state where left, front and top are" in caplog.text
    format_of(source).write(tmp_path / "b.nrrd", image)
    before, after = (SimpleITK.ReadImage(str(tmp_path / name)) for name in ("a.nrrd", "b.nrrd"))
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(after), SimpleITK.GetArrayFromImage(before))
    for what in ("GetSpacing", "GetOrigin", "GetDirection"):
        np.testing.assert_allclose(getattr(after, what)(), getattr(before, what)(), atol=1e-9)


# dimensions, frames, colours


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("shape", [(6, 7), (6, 7, 1), (1, 6, 7)])
def test_single_slices_come_and_go_in_their_dimensions(ending: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    data = numbers(shape, "int16")
    source = file_of(tmp_path / f"a{ending}", data, np.diag([0.5, 0.7, 3.0, 1.0]))
    low = format_of(source).read(source)
    after = doubled(low, tmp_path / f"b{ending}")
    assert after.GetSize() == tuple(2 * size if size > 1 else 1 for size in shape)
    np.testing.assert_array_equal(
        SimpleITK.GetArrayFromImage(after).T, np.kron(data, np.ones([2 if size > 1 else 1 for size in shape]))
    )
    before = SimpleITK.ReadImage(str(source))
    scale = [2 if size > 1 else 1 for size in shape]
    found = after.TransformContinuousIndexToPhysicalPoint([factor * 0.5 - 0.5 for factor in scale])
    np.testing.assert_allclose(found, before.GetOrigin(), atol=1e-9)


@pytest.mark.parametrize("kind", ["nrrd", "mha", "list first", "list last", "time"])
def test_of_several_volumes_one_is_chosen(kind: str, tmp_path: Path) -> None:
    data = numbers((*SHAPE, 3), "int16")
    last, first = "(1,0,0) (0,1,0) (0,0,1) none", "none (1,0,0) (0,1,0) (0,0,1)"
    sizes = "dimension: 4\nspace: RAS\n"
    if kind in ("nrrd", "mha"):
        source = file_of(tmp_path / f"a.{kind}", data)
    elif kind == "time":
        directions = "(1,0,0,0) (0,1,0,0) (0,0,1,0) (0,0,0,2)"
        header = f"dimension: 4\nspace: RAST\nsizes: 6 7 5 3\nspace directions: {directions}\nspace origin: (0,0,0,0)"
        source = nrrd(tmp_path / "a.nrrd", header, data)
    elif kind == "list last":
        header = f"{sizes}sizes: 6 7 5 3\nkinds: domain domain domain list\nspace directions: {last}"
        source = nrrd(tmp_path / "a.nrrd", header, data)
    else:
        header = f"{sizes}sizes: 3 6 7 5\nkinds: list domain domain domain\nspace directions: {first}"
        source = nrrd(tmp_path / "a.nrrd", header, np.moveaxis(data, -1, 0))
    with pytest.raises(UserError, match="contains 3 frames; choose one with frame: 0 to 2"):
        format_of(source).read(source)
    image = format_of(source).read(source, Part(frame=2))
    target = tmp_path / f"b{suffix_of(image)}"
    format_of(source).write(target, image)
    after = SimpleITK.ReadImage(str(target))
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(after).T, data[..., 2])
    with pytest.raises(UserError, match="has no channel"):
        format_of(source).read(source, Part(channel=0))


def coloured(path: Path) -> Path:
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(numbers((5, 7, 6, 3), "uint8"), isVector=True), str(path))
    return path


def complex_of(path: Path) -> Path:
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(numbers(SHAPE, "float32").astype(np.complex64)), str(path))
    return path


SHORTS = "ElementType = MET_SHORT"
FIVE = "dimension: 5\nsizes: 6 7 5 2 2"
NO_KIND = "dimension: 4\nsizes: 3 6 7 5\nspacings: NaN 1 1 1"
UNITS = f'space: LPS\n{PLACED}\nspace units: "parsec" "parsec" "parsec"'
UNSUPPORTED: dict[str, tuple[str, Any, str]] = {
    "colours": ("a.nrrd", coloured, "vectors or colours of 3 numbers"),
    "MetaImage of colours": ("a.mha", coloured, "vectors or colours of 3 numbers"),
    "complex": ("a.nrrd", complex_of, "complex numbers"),
    "five dimensions": ("a.nrrd", lambda p: nrrd(p, FIVE, numbers((*SHAPE, 4), "int16")), "has 5 dimensions"),
    "an axis of no kind": ("a.nrrd", lambda p: nrrd(p, NO_KIND, numbers((*SHAPE, 3), "int16")), "field kinds"),
    "unit": ("a.nrrd", lambda p: nrrd(p, UNITS, numbers(SHAPE, "int16")), "unit of length 'parsec' is unknown"),
    "unit of MetaImage": ("a.mha", lambda p: meta(p, f"DistanceUnits = in\n{SHORTS}", bytes(420)), "'in' is unknown"),
    "no spacing": ("a.mha", lambda p: meta(p, f"ElementSpacing = 1 1 0\n{SHORTS}", bytes(420)), "above zero"),
    "complex MetaImage": ("a.mha", lambda p: meta(p, "ElementType = MET_COMPLEX", bytes(999)), "Unknown PixelType"),
    "missing voxels": ("a.mhd", lambda p: meta(p, SHORTS, data_file="gone.raw"), "gone.raw, which is not beside it"),
    "missing voxels of NRRD": ("a.nhdr", lambda p: nrrd(p, f"{PLACED}\ndata file: gone.raw"), "gone.raw, which is not"),
}


@pytest.mark.parametrize("kind", UNSUPPORTED)
def test_what_cannot_be_used_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    name, make, words = UNSUPPORTED[kind]
    source = make(tmp_path / name)
    with pytest.raises(UserError) as error:
        format_of(source).read(source)
    assert words in str(error.value) and str(source) in str(error.value)
    assert "complete?" not in str(error.value) and "\n" not in str(error.value)


# damage


@pytest.mark.parametrize("ending", ENDINGS)
def test_no_damage_of_compressed_voxels_passes(ending: str, tmp_path: Path) -> None:
    """SimpleITK returns wrong voxels without an error from many of these."""
    source = file_of(tmp_path / f"a{ending}", numbers(SHAPE, "int16") % 50)
    whole = source.read_bytes()
    expected = format_of(source).read(source).data
    start = whole.index(b"\n\n") + 2 if ending == ".nrrd" else whole.index(b"LOCAL\n") + 6
    refused = 0
    for place in range(start, len(whole), 3):
        changed = bytearray(whole)
        changed[place] ^= 4
        source.write_bytes(changed)
        try:
            np.testing.assert_array_equal(format_of(source).read(source).data, expected)
        except UserError:
            refused += 1
    assert refused > 0.9 * (len(whole) - start) / 3, "some bytes at the beginning of gzip mean nothing"
    for length in (0, 20, len(whole) - 200, len(whole) - 1):
        source.write_bytes(whole[:length])
        with pytest.raises(UserError, match=f"a{ending}: .*Is it complete"):
            format_of(source).read(source)
    source.write_bytes(whole)
    np.testing.assert_array_equal(format_of(source).read(source).data, expected)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("missing", [1, 8, 100, 400])
def test_a_file_whose_last_bytes_do_not_fit_on_the_disk_is_not_written(
    ending: str, missing: int, tmp_path: Path
) -> None:
    """SimpleITK does not report all of these."""
    image = format_of(source := file_of(tmp_path / f"a{ending}", numbers(SHAPE, "int16"))).read(source)
    output = tmp_path / f"sr{ending}"
    format_of(output).write(output, image)
    size, limits = output.stat().st_size, resource.getrlimit(resource.RLIMIT_FSIZE)
    output.unlink()
    resource.setrlimit(resource.RLIMIT_FSIZE, (size - missing, limits[1]))  # fails as on a full disk
    try:
        with pytest.raises(UserError, match=f"cannot write .*sr{ending}: .*room on the disk"):
            format_of(output).write(output, image)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in tmp_path.iterdir()] == [source.name]


def test_uncompressed_voxels_that_end_early_are_refused(tmp_path: Path) -> None:
    content = numbers(SHAPE, "int16").tobytes(order="F")
    for source in (
        meta(tmp_path / "a.mha", SHORTS, content[:-2]),
        nrrd(tmp_path / "a.nrrd", PLACED, numbers((6, 7, 4), "int16")),
    ):
        with pytest.raises(UserError, match="Is it complete"):
            format_of(source).read(source)


@pytest.mark.parametrize("packed", [False, True])
def test_detached_voxels_are_read_and_written_into_one_file(packed: bool, tmp_path: Path) -> None:
    data = numbers(SHAPE, "int16")
    content = data.tobytes(order="F")
    (tmp_path / "voxels").write_bytes(zlib.compress(content) if packed else content)
    header = f"CompressedData = {packed}\nElementSpacing = 1 2 3\n{SHORTS}"
    sources = [meta(tmp_path / "a.mhd", header, data_file="voxels")]
    if not packed:
        sources.append(nrrd(tmp_path / "a.nhdr", f"space: LPS\n{PLACED}\ndata file: voxels"))
    for source in sources:
        image = format_of(source).read(source)
        target = tmp_path / f"b{suffix_of(image)}"
        format_of(source).write(target, image)
        np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(target))).T, data)
        with pytest.raises(UserError, match="name the file"):
            write_prediction(tmp_path / source.name, image, image.data)


# metadata and units


def test_keys_and_values_are_kept_and_what_is_lost_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    frame = "measurement frame: (1,0,0) (0,1,0) (0,0,1)\nthicknesses: NaN NaN 5\ncontent: head\nscanner:=Prisma fit"
    source = nrrd(tmp_path / "a.nrrd", f"space: LPS\n{PLACED}\n{frame}", numbers(SHAPE, "int16"))
    after = doubled(format_of(source).read(source), tmp_path / "b.nrrd")
    assert after.GetMetaData("scanner") == "Prisma fit" and after.GetMetaData("NRRD_content") == "head"
    assert "results lack them: measurement frame, thicknesses" in caplog.text
    assert "thicknesses" not in (tmp_path / "b.nrrd").read_bytes()[:600].decode("latin-1")
    slope = "Modality = MET_MOD_MR\nScanner = Prisma\nElementToIntensityFunctionSlope = 2\nComment = a"
    source = meta(tmp_path / "a.mha", f"{slope}\n{SHORTS}", numbers(SHAPE, "int16").tobytes(order="F"))
    after = doubled(format_of(source).read(source), tmp_path / "b.mha")
    assert after.GetMetaData("Scanner") == "Prisma" and not after.GetMetaData("Modality").endswith("MR")
    assert "results lack them: comment, modality, elementtointensityfunctionslope" in caplog.text


@pytest.mark.parametrize("stated", [False, True])
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_voxel_size_that_is_not_stated_is_named(
    ending: str, stated: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source, data = tmp_path / f"a{ending}", numbers(SHAPE, "int16")
    if ending == ".mha":
        size = "\nElementSpacing = 1 1 1" if stated else ""
        meta(source, f"ElementType = MET_SHORT{size}", data.tobytes(order="F"))
    else:
        size = "\nspacings: 1 1 1" if stated else ""
        nrrd(source, f"dimension: 3\nsizes: 6 7 5{size}", data)
    assert format_of(source).read(source).spacing == (1, 1, 1)
    assert ("does not state its voxel size" in caplog.text) is not stated


@pytest.mark.parametrize(("unit", "factor"), [("um", 1e-3), ("mm", 1.0), ("m", 1e3), ("µm", 1e-3)])
@pytest.mark.parametrize("ending", ENDINGS)
def test_lengths_in_other_units_become_millimetres(
    unit: str, factor: float, ending: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = numbers(SHAPE, "int16")
    if ending == ".nrrd":
        source = nrrd(tmp_path / "a.nrrd", f'space: LPS\n{PLACED}\nspace units: "{unit}" "{unit}" "{unit}"', data)
    else:
        header = f"DistanceUnits = {unit}\nElementSpacing = 2 3 1.5\nOffset = 10 20 30\n{SHORTS}"
        source = meta(tmp_path / "a.mha", header, data.tobytes(order="F"))
    image = format_of(source).read(source)
    assert image.unit == "mm" and sorted(image.spacing) == pytest.approx([1.5 * factor, 2 * factor, 3 * factor])
    format_of(source).write(tmp_path / f"b{ending}", image)
    after = SimpleITK.ReadImage(str(tmp_path / f"b{ending}"))
    np.testing.assert_allclose(sorted(after.GetSpacing()), np.array([1.5, 2, 3]) * factor)
    np.testing.assert_allclose(after.GetOrigin(), np.array([10, 20, 30]) * factor)
    np.testing.assert_allclose(format_of(source).read(tmp_path / f"b{ending}").affine, image.affine)
    assert ("converted to mm" in caplog.text) == (factor != 1)


@pytest.mark.parametrize("name", ["a.nrrd", "A.NHDR", "a.mha", "a.mhd"])
def test_a_name_tells_the_format(name: str) -> None:
    assert format_by_name(name) == ("nrrd" if "n" in name.lower() else "metaimage")

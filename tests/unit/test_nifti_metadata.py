"""What NIfTI and MGH files say beside their voxels: it is kept, converted, named in a warning or refused."""

from __future__ import annotations

import gzip
import itertools
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.nifti1 import Nifti1Extension
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from pipeline.errors import UserError
from pipeline.fidelity.gate.measurement import as_measurement
from pipeline.formats import Part, format_of, mgh, nifti
from pipeline.formats._checks import header_of
from pipeline.formats.io.container import read_image, write_image
from pipeline.formats.io.predictions import write_prediction, write_quantity
from pipeline.formats.io.segmentation import read_segmentation
from pipeline.formats.mgh import MghHeader
from pipeline.image.image import Image
from pipeline.image.slices import cut_block
from pipeline.physics.forward import ForwardModel
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.provenance.bids import size_of
from tests.helpers import described, ras_affine
from tests.image_files import numbers

SHAPE = (6, 7, 5)
NIFTI: Any = nib.Nifti1Image
MGH: Any = nib.MGHImage


def turned(angle: float = 0.0, spacing: tuple[float, float, float] = (0.8, 1.1, 2.0)) -> NDArray:
    """An affine whose axes are turned about z by an angle in degrees."""
    affine = ras_affine(spacing)
    affine[:3, :3] = Rotation.from_euler("z", angle, degrees=True).as_matrix() @ affine[:3, :3]
    return affine


def file_of(path: Path, affine: NDArray | None = None, data: NDArray | None = None, **header: Any) -> Path:
    """A NIfTI file with given header fields, written by nibabel."""
    data = numbers(SHAPE, "int16") if data is None else data
    image = NIFTI(data, turned(20) if affine is None else affine, dtype=data.dtype)
    image.header.set_xyzt_units("mm")
    for name, value in header.items():
        image.header[name] = value
    # Without an affine of its own, nibabel writes the codes as they are.
    nib.save(NIFTI(data, None, image.header, dtype=data.dtype), path)
    return path


def doubled(low: Image, path: Path, factors: tuple[int, int, int] = (2, 2, 2)) -> Any:
    """The image enlarged, written, and read back by nibabel alone."""
    shape = [size * factor for size, factor in zip(low.data.shape, factors, strict=True)]
    low = LowResolutionImage.of(low, ForwardModel(tuple(factors), tuple(shape)))
    write_prediction(path, low, np.kron(low.data, np.ones(factors)))
    return nib.load(path)


def corners(affine: NDArray, shape: tuple[int, ...]) -> NDArray:
    """Where the outer corners of a volume lie."""
    shape = (*shape, 1)[:3]
    return np.array([affine @ [*one, 1] for one in itertools.product(*((-0.5, size - 0.5) for size in shape))])


# qform and sform


@pytest.mark.parametrize("codes", [(0, 0), (0, 1), (1, 0), (1, 1), (4, 2)])
def test_the_codes_are_kept_and_nibabel_finds_the_result_in_the_same_place(
    codes: tuple[int, int], tmp_path: Path
) -> None:
    source = file_of(tmp_path / "a.nii.gz", sform_code=codes[0], qform_code=codes[1])
    after = doubled(nifti.read(source), tmp_path / "b.nii.gz")
    before: Any = nib.load(source)
    assert (int(after.header["sform_code"]), int(after.header["qform_code"])) == codes
    np.testing.assert_allclose(corners(after.affine, after.shape), corners(before.affine, before.shape), atol=1e-4)
    np.testing.assert_allclose(after.header.get_zooms(), np.array(before.header.get_zooms()) / 2, rtol=1e-6)


def test_without_codes_the_reader_is_told_and_a_part_that_is_not_centred_gets_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = file_of(tmp_path / "a.nii", sform_code=0, qform_code=0)
    image = nifti.read(source)
    assert "does not state its position" in caplog.text and str(source) in caplog.text
    part = cut_block(image, (0, 2), 2)
    nifti.write(tmp_path / "b.nii", part)
    after: Any = nib.load(tmp_path / "b.nii")
    assert (int(after.header["sform_code"]), int(after.header["qform_code"])) == (2, 0)
    np.testing.assert_allclose(nifti.read(tmp_path / "b.nii").affine, part.affine, atol=1e-5)
    assert "sform of code 2" in caplog.text


@pytest.mark.parametrize(
    ("angle", "warned"), [(30.0, True), (5.0, True), (0.0, False)], ids=["30 degrees", "5 degrees", "alike"]
)
def test_forms_that_contradict_each_other_are_named_and_both_move(
    angle: float, warned: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image = NIFTI(numbers(SHAPE, "int16"), turned())
    image.set_sform(turned(angle), code=1)
    image.set_qform(turned(), code=1)
    nib.save(image, tmp_path / "a.nii")
    low = nifti.read(tmp_path / "a.nii")
    after = doubled(low, tmp_path / "b.nii")
    for name in ("get_sform", "get_qform"):
        old, new = (corners(getattr(one.header, name)(), one.shape) for one in (image, after))
        np.testing.assert_allclose(new, old, atol=1e-4)
    np.testing.assert_allclose(after.affine, after.header.get_sform())
    apart = np.max(np.linalg.norm(corners(turned(angle), SHAPE) - corners(turned(), SHAPE), axis=1))
    assert (f"a.nii: its sform and its qform contradict each other: they put corners of the volume up to {apart:.4g} mm"
            in caplog.text) == warned  # fmt: skip


def test_a_voxel_size_that_contradicts_the_sform_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    nifti.read(file_of(tmp_path / "a.nii", pixdim=[1, 1, 1, 1, 0, 0, 0, 0], sform_code=1, qform_code=0))
    assert "its sform and its pixdim contradict each other" in caplog.text


# units


@pytest.mark.parametrize(
    ("name", "size", "unit", "spacing"),
    [("meter", 0.001, "mm", 1.0), ("micron", 1.0, "um", 1.0), ("mm", 1.0, "mm", 1.0), ("unknown", 1.0, "mm", 1.0)],
)
def test_lengths_are_what_the_unit_says_and_go_out_in_it(
    name: str, size: float, unit: str, spacing: float, tmp_path: Path
) -> None:
    affine = np.diag([size, 2 * size, 3 * size, 1.0])
    image = NIFTI(numbers(SHAPE, "int16"), affine)
    image.header.set_xyzt_units(name)
    nib.save(image, tmp_path / "a.nii.gz")
    low = nifti.read(tmp_path / "a.nii.gz")
    assert low.unit == unit and low.spacing == pytest.approx((spacing, 2 * spacing, 3 * spacing))
    after = doubled(low, tmp_path / "b.nii.gz")
    assert after.header.get_xyzt_units()[0] == name
    np.testing.assert_allclose(corners(after.affine, after.shape), corners(affine, SHAPE), rtol=1e-5, atol=1e-6 * size)
    inside = np.array(SimpleITK.ReadImage(str(tmp_path / "b.nii.gz")).GetSpacing())  # ITK converts to millimetres
    in_mm = np.array([0.5, 1.0, 1.5]) * (1e-3 if unit == "um" else 1.0)
    np.testing.assert_allclose(inside, in_mm, rtol=1e-5)
    np.testing.assert_allclose(size_of(tmp_path / "b.nii.gz", (), {})["VoxelSizeMillimetres"], in_mm, atol=1e-6)
    model = ForwardModel((2, 2, 1), tuple(low.data.shape))
    seen = as_measurement(described(low, slice_axis=2), model, 0.01, "x")
    np.testing.assert_allclose(seen.forward_model.spacing_mm or (), in_mm * [1, 1, 2], rtol=1e-5)


@pytest.mark.parametrize(("size", "stated"), [(0.001, "millimetres"), (1000.0, "millimetres")])
def test_an_implausible_size_is_named(
    size: float, stated: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nifti.read(file_of(tmp_path / "a.nii", np.diag([size, size, size, 1.0]), xyzt_units=0))
    assert "implausible for a brain" in caplog.text and stated in caplog.text


def test_a_segmentation_may_be_in_another_unit_than_its_image(tmp_path: Path) -> None:
    affine = np.diag([5.0, 5.0, 8.0, 1.0])
    image = nifti.read(file_of(tmp_path / "a.nii", affine, xyzt_units=3))
    labels = np.where(np.arange(np.prod(SHAPE)).reshape(SHAPE) % 3 == 0, np.nan, 4).astype(np.float32)
    name = file_of(tmp_path / "l.nii", np.diag([5e-3, 5e-3, 8e-3, 1.0]), labels)
    np.testing.assert_array_equal(read_segmentation(name, image, "x"), np.nan_to_num(labels))
    with pytest.raises(UserError, match="differs from that of volume 'x'"):
        read_segmentation(file_of(tmp_path / "m.nii", affine, labels), image, "x")
    huge = np.full(SHAPE, 2**32 + 7, np.int64)
    with pytest.raises(UserError, match="whole numbers from 0 to 2147483647"):
        read_segmentation(file_of(tmp_path / "n.nii", affine, huge, xyzt_units=3), image, "x")


# what else the header says

KEPT = {
    "descrip": b"FreeSurfer",
    "aux_file": b"lut.txt",
    "cal_min": 3.0,
    "cal_max": 900.0,
    "toffset": 1.5,
    "intent_code": 5,
    "intent_p1": 12.0,
    "intent_name": b"z-scores",
    "dim_info": 57,
}


def test_what_the_header_says_is_kept_through_a_run_and_error_maps_have_no_window(tmp_path: Path) -> None:
    source = file_of(tmp_path / "a.nii.gz", slice_code=1, slice_end=4, **KEPT)
    write_image(tmp_path / "a.safetensors", nifti.read(source))
    low = read_image(tmp_path / "a.safetensors")
    nifti.write(tmp_path / "same.nii.gz", low)
    before, same = nib.Nifti1Header(), nib.Nifti1Header()
    with gzip.open(source) as one, gzip.open(tmp_path / "same.nii.gz") as other:
        before, same = (nib.Nifti1Header.from_fileobj(stream, check=False) for stream in (one, other))
    for key in before:
        # "not scaled" has two spellings, which mean the same
        if key not in ("scl_slope", "scl_inter"):
            np.testing.assert_array_equal(same[key], before[key], err_msg=key)
    after = doubled(low, tmp_path / "b.nii.gz").header
    for key, value in KEPT.items():
        assert after[key] == value, key
    assert (int(after["slice_code"]), int(after["slice_end"])) == (0, 0), "its slices are others now"
    write_quantity(tmp_path / "u.nii.gz", low)
    header: Any = nib.load(tmp_path / "u.nii.gz").header
    assert (header["cal_min"], header["cal_max"], header["intent_code"]) == (0, 0, 0)
    assert header.get_data_dtype() == np.float32 and header["descrip"] == KEPT["descrip"]


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.hdr"])
def test_extensions_are_kept_byte_by_byte(name: str, tmp_path: Path) -> None:
    kind: Any = nib.Nifti1Pair if name == "a.hdr" else nib.Nifti1Image
    image = kind(numbers(SHAPE, "int16"), turned())
    contents = [(6, b"a comment of odd length"), (4, b"<AFNI/>\xff\x00\x01"), (44, b'{"a": 1}')]
    for code, content in contents:
        image.header.extensions.append(Nifti1Extension(code, content))
    nib.save(image, tmp_path / name)
    write_image(tmp_path / "a.safetensors", nifti.read(tmp_path / name))
    after = doubled(read_image(tmp_path / "a.safetensors"), tmp_path / "b.nii.gz")
    # The standard pads extensions with zeros to multiples of 16 bytes.
    found = [(one.get_code(), one.content.rstrip(b"\x00")) for one in after.header.extensions]
    assert found == contents
    np.testing.assert_array_equal(np.asarray(after.dataobj)[::2, ::2, ::2], image.dataobj)


# few dimensions, pairs


@pytest.mark.parametrize("shape", [(6, 7), (6, 7, 1), (1, 6, 7), (6, 1, 7)])
@pytest.mark.parametrize("version", [1, 2])
def test_single_slices_come_and_go_in_their_dimensions(shape: tuple[int, ...], version: int, tmp_path: Path) -> None:
    kind: Any = nifti.IMAGE_TYPES[version]
    before = kind(numbers(shape, "int16"), turned(20))
    before.header["pixdim"][3] = 2.0
    nib.save(before, tmp_path / "a.nii")
    low = nifti.read(tmp_path / "a.nii")
    assert sorted(low.data.shape) == [1, 6, 7]
    nifti.write(tmp_path / "b.nii", low)
    same: Any = nib.load(tmp_path / "b.nii")
    assert same.shape == shape
    np.testing.assert_array_equal(same.dataobj, before.dataobj)
    factors = tuple(2 if size > 1 else 1 for size in low.data.shape)
    after = doubled(low, tmp_path / "c.nii", (factors[0], factors[1], factors[2]))
    assert after.shape == tuple(2 * size if size > 1 else 1 for size in shape)
    np.testing.assert_allclose(corners(after.affine, after.shape), corners(before.affine, shape), atol=1e-4)


def test_a_slice_without_a_thickness_is_read_and_a_row_is_not(tmp_path: Path) -> None:
    flat = numbers((6, 7, 1), "int16")
    source = file_of(tmp_path / "a.nii", data=flat, pixdim=[1, 1, 1, 0, 0, 0, 0, 0], sform_code=0, qform_code=1)
    assert nifti.read(source).spacing == pytest.approx((1, 1, 1))
    with pytest.raises(UserError, match=r"fewer than two spatial axes have more than one voxel \(shape \(6, 1, 1\)\)"):
        nifti.read(file_of(tmp_path / "b.nii", data=flat[:, :1]))


@pytest.mark.parametrize("zipped", ["", ".gz"])
@pytest.mark.parametrize("version", [1, 2])
def test_a_pair_is_read_by_either_name_and_written_as_one_file(zipped: str, version: int, tmp_path: Path) -> None:
    kind: Any = {1: nib.Nifti1Pair, 2: nib.Nifti2Pair}[version]
    pair = kind(numbers(SHAPE, "int16"), turned(20))
    pair.header.set_slope_inter(0.5, -3.0)
    nib.save(pair, tmp_path / f"a.img{zipped}")
    images = [nifti.read(tmp_path / f"a.{name}{zipped}") for name in ("hdr", "img")]
    np.testing.assert_array_equal(images[0].data, images[1].data)
    nifti.write(tmp_path / "b.nii.gz", images[0])
    after: Any = nib.load(tmp_path / "b.nii.gz")
    assert type(after) is nifti.IMAGE_TYPES[version]
    np.testing.assert_array_equal(after.dataobj, np.asarray(pair.dataobj) * 0.5 - 3)
    np.testing.assert_allclose(after.affine, pair.affine, atol=1e-5)
    (tmp_path / f"a.img{zipped}").unlink()
    with pytest.raises(UserError, match=r"one file of a pair, but a\.img.* is not beside it"):
        nifti.read(tmp_path / f"a.hdr{zipped}")


# refused by name


def written(image: Any, path: Path) -> Path:
    nib.save(image, path)
    return path


def typed(path: Path, code: int) -> Path:
    """A whole file whose header states another type of voxels."""
    content = bytearray(file_of(path).read_bytes())
    content[70:72] = code.to_bytes(2, "little")
    path.write_bytes(content + bytes(16 * int(np.prod(SHAPE))))
    return path


def vector(path: Path, intent: int) -> Path:
    return file_of(path, data=numbers((*SHAPE, 1, 3), "float32"), intent_code=intent)


REFUSED: dict[str, tuple[Any, str]] = {
    "Analyze": (lambda p: written(nib.AnalyzeImage(numbers(SHAPE, "int16"), turned()), p.with_suffix(".img")),
                "Analyze 7.5, which does not distinguish left from right"),
    "complex64": (lambda p: typed(p, 32), "complex numbers (complex64)"),
    "complex128": (lambda p: typed(p, 1792), "complex numbers (complex128)"),
    "RGB": (lambda p: typed(p, 128), "colours (RGB)"),
    "RGBA": (lambda p: typed(p, 2304), "colours (RGBA)"),
    "binary": (lambda p: typed(p, 1), "binary (1 bit)"),
    "float128": (lambda p: typed(p, 1536), "float128"),
    "complex256": (lambda p: typed(p, 2048), "complex256"),
    "vectors": (lambda p: vector(p, 1007), "vectors (intent code 1007)"),
    "displacements": (lambda p: vector(p, 1006), "displacements (intent code 1006)"),
    "RGB vectors": (lambda p: vector(p, 2003), "RGB colours (intent code 2003)"),
    "two series": (lambda p: file_of(p, data=numbers((*SHAPE, 2, 3), "int16")), "5 dimensions"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_holds_no_intensities_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    make, words = REFUSED[kind]
    with pytest.raises(UserError) as error:
        nifti.read(make(tmp_path / "a.nii"))
    assert words in str(error.value) and str(tmp_path) in str(error.value)
    assert "complete?" not in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("dtype", ["int8", "uint64", "int64", "uint32"])
@pytest.mark.parametrize("frames", [(), (1, 1), (1, 3)])
def test_every_type_of_number_and_axes_of_one_are_read(dtype: str, frames: tuple[int, ...], tmp_path: Path) -> None:
    data = (numbers((*SHAPE, *frames), "int16").astype(np.int64) % 100).astype(dtype)
    source = file_of(tmp_path / "a.nii", data=data)
    image = nifti.read(source, Part(frame=frames[-1] - 1 if frames else None))
    nifti.write(tmp_path / "b.nii", image)
    after: Any = nib.load(tmp_path / "b.nii")
    assert after.get_data_dtype() == np.dtype(dtype)
    np.testing.assert_array_equal(after.dataobj, data.reshape(*SHAPE, -1)[..., -1])


def test_nan_passes_and_infinity_does_not(tmp_path: Path) -> None:
    data = numbers(SHAPE, "float32")
    data[0, :2] = np.nan
    image = nifti.read(file_of(tmp_path / "a.nii", data=data))
    assert np.count_nonzero(np.isnan(image.data)) == np.count_nonzero(np.isnan(data))
    data[1, 1, 1] = -np.inf
    with pytest.raises(UserError, match="1 voxels are infinite"):
        nifti.read(file_of(tmp_path / "b.nii", data=data))


# MGH

MGH_HEADER = 284
"""Bytes before the voxels; what follows those are scan parameters and tags."""


@pytest.mark.parametrize(("source", "target"), itertools.product(("a.mgh", "a.mgz"), ("b.mgh", "b.mgz")))
def test_scan_parameters_and_tags_of_freesurfer_are_kept(source: str, target: str, tmp_path: Path) -> None:
    image = MGH(numbers(SHAPE, "int16"), turned(20))
    for name, value in (("tr", 2300.0), ("flip_angle", 0.15), ("te", 2.98), ("ti", 900.0), ("fov", 256.0)):
        image.header[name] = value
    nib.save(image, tmp_path / "plain.mgh")
    tags = bytes.fromhex("0000001f00000000000000") + b"transforms/talairach.xfm\x00"
    content = (tmp_path / "plain.mgh").read_bytes() + tags
    (tmp_path / source).write_bytes(gzip.compress(content) if source.endswith("z") else content)
    write_image(tmp_path / "a.safetensors", mgh.read(tmp_path / source))
    mgh.write(tmp_path / target, read_image(tmp_path / "a.safetensors"))
    found = (tmp_path / target).read_bytes()
    after = gzip.decompress(found) if target.endswith("z") else found
    assert after[MGH_HEADER:] == content[MGH_HEADER:] and len(after) == len(content)


def test_tags_about_several_frames_are_left_out_by_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    nib.save(MGH(numbers((*SHAPE, 2), "int16"), turned()), tmp_path / "a.mgh")
    with (tmp_path / "a.mgh").open("ab") as stream:
        stream.write(b"tags")
    image = mgh.read(tmp_path / "a.mgh", Part(frame=1))
    assert "FreeSurfer tags are left out" in caplog.text and header_of(image, MghHeader).tags == ""


def test_a_volume_without_good_ras_lies_where_freesurfer_puts_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nib.save(MGH(numbers(SHAPE, "int16"), turned()), tmp_path / "a.mgh")
    content = bytearray((tmp_path / "a.mgh").read_bytes())
    content[28:30] = bytes(2)
    (tmp_path / "a.mgh").write_bytes(content)
    low = mgh.read(tmp_path / "a.mgh")
    assert "goodRASFlag 0" in caplog.text
    before: Any = nib.load(tmp_path / "a.mgh")
    after = doubled(low, tmp_path / "b.mgh")
    np.testing.assert_allclose(corners(after.affine, after.shape), corners(before.affine, SHAPE), atol=1e-4)


def test_a_slice_of_mgh_is_read(tmp_path: Path) -> None:
    nib.save(MGH(numbers((6, 7, 1), "float32"), turned(20)), tmp_path / "a.mgz")
    low = mgh.read(tmp_path / "a.mgz")
    after = doubled(low, tmp_path / "b.mgz", (2, 2, 1))
    before: Any = nib.load(tmp_path / "a.mgz")
    np.testing.assert_allclose(corners(after.affine, after.shape), corners(before.affine, before.shape), atol=1e-4)


# where a voxel lies


@settings(max_examples=40, deadline=None)
@given(
    axes=st.permutations([0, 1, 2]),
    signs=st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3),
    turn=st.tuples(*[st.floats(-180, 180) | st.sampled_from([0.0, 45.0, -135.0])] * 3),
    shape=st.tuples(*[st.integers(1, 5)] * 3).filter(lambda sizes: sum(size > 1 for size in sizes) > 1),
    spacing=st.tuples(*[st.floats(0.1, 9.0)] * 3),
    suffix=st.sampled_from([".nii", ".mgh", ".nrrd", ".mha"]),
    data=st.data(),
)
def test_a_marked_voxel_stays_where_it_is(
    tmp_path_factory: Any, axes: Any, signs: Any, turn: Any, shape: Any, spacing: Any, suffix: str, data: Any
) -> None:
    """Written and read by other programs' code; however the axes lie, also halfway between two of the head."""
    folder = tmp_path_factory.mktemp("n")
    affine = np.eye(4)
    permuted = np.eye(3)[list(axes)] * signs
    affine[:3, :3] = Rotation.from_euler("xyz", turn, degrees=True).as_matrix() @ permuted * spacing
    affine[:3, 3] = (-31.0, 17.5, 8.25)
    place = tuple(data.draw(st.integers(0, size - 1)) for size in shape)
    voxels = np.zeros(shape, np.int16)
    voxels[place] = 7
    source, target = folder / f"a{suffix}", folder / f"b{suffix}"
    write_by_others(source, voxels, affine)
    module = format_of(source)
    image = module.read(source)
    found = image.affine @ [*np.argwhere(image.data == 7)[0], 1]
    np.testing.assert_allclose(found, affine @ [*place, 1], atol=1e-4)
    module.write(target, image)
    again, matrix = read_by_others(target)
    np.testing.assert_array_equal(again, voxels)
    np.testing.assert_allclose(matrix, affine, atol=1e-4)


def write_by_others(path: Path, voxels: NDArray, affine: NDArray) -> None:
    """Write with nibabel or, through its axes that run left and posterior, with SimpleITK."""
    if path.suffix in (".nii", ".mgh"):
        nib.save((NIFTI if path.suffix == ".nii" else MGH)(voxels, affine), path)
        return
    picture = SimpleITK.GetImageFromArray(np.ascontiguousarray(voxels.T))
    left = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    sizes = np.linalg.norm(left[:3, :3], axis=0)
    picture.SetSpacing(sizes.tolist())
    picture.SetDirection((left[:3, :3] / sizes).ravel().tolist())
    picture.SetOrigin(left[:3, 3].tolist())
    SimpleITK.WriteImage(picture, str(path))


def read_by_others(path: Path) -> tuple[NDArray, NDArray]:
    """Return voxels and affine as nibabel or SimpleITK finds them."""
    if path.suffix in (".nii", ".mgh"):
        image: Any = nib.load(path)
        return np.asarray(image.dataobj), image.affine
    picture = SimpleITK.ReadImage(str(path))
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(picture.GetDirection(), (3, 3)) * picture.GetSpacing()
    affine[:3, 3] = picture.GetOrigin()
    return SimpleITK.GetArrayFromImage(picture).T, np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine

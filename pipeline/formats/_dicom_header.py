"""Select the DICOM elements of a series that its result keeps, and log the others."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pydicom
from pydicom.datadict import keyword_for_tag

from pipeline.formats._dicom_files import shortened, telling
from pipeline.formats._dicom_places import Slice

logger = logging.getLogger(__name__)

WINDOWS = ("WindowCenter", "WindowWidth", "WindowCenterWidthExplanation", "VOILUTSequence")
PRIVATE_GROUPS = 2
"""Private groups have odd numbers."""
OVERLAY_GROUPS = range(0x6000, 0x6100, 2)
PIXEL_GROUP = 0x7FE0
OF_ONE_IMAGE = (
    *("SOPInstanceUID", "SeriesInstanceUID", "InstanceNumber", "ImagePositionPatient", "SliceLocation"),
    *("AcquisitionNumber", "InstanceCreationDate", "InstanceCreationTime", "ContentDate", "ContentTime"),
    *("SmallestImagePixelValue", "LargestImagePixelValue", "IconImageSequence", "ReferencedImageSequence"),
    *("SourceImageSequence", "RescaleSlope", "RescaleIntercept", "DataSetTrailingPadding"),
    *("ImageIndex", "InStackPositionNumber"),
)
"""Rewritten or no longer valid; in a series of one slice all elements are shared."""
OF_THE_GRID = (
    *("PixelAspectRatio", "ImagerPixelSpacing", "NominalScannedPixelSpacing", "PixelSpacingCalibrationType"),
    *("PixelSpacingCalibrationDescription", "PixelSpacingSequence", "SequenceOfUltrasoundRegions"),
    *("ShutterShape", "ShutterLeftVerticalEdge", "ShutterRightVerticalEdge", "ShutterUpperHorizontalEdge"),
    *("ShutterLowerHorizontalEdge", "CenterOfCircularShutter", "RadiusOfCircularShutter"),
    *("VerticesOfThePolygonalShutter", "ShutterPresentationValue", "ShutterOverlayGroup"),
    *("CollimatorShape", "CollimatorLeftVerticalEdge", "CollimatorRightVerticalEdge"),
    *("CollimatorUpperHorizontalEdge", "CollimatorLowerHorizontalEdge", "CenterOfCircularCollimator"),
    *("RadiusOfCircularCollimator", "VerticesOfThePolygonalCollimator"),
)
"""Measured in pixels of the source, or another pixel size."""
OF_THE_SERIES = (
    *("SmallestPixelValueInSeries", "LargestPixelValueInSeries", "SmallestValidPixelValue", "LargestValidPixelValue"),
    *("SmallestImagePixelValueInPlane", "LargestImagePixelValueInPlane", "ImagesInAcquisition"),
    *("NumberOfTemporalPositions", "NumberOfSlices", "NumberOfTimeSlices", "NumberOfSeriesRelatedInstances"),
    *("NumberOfFrames", "DigitalSignaturesSequence", "MACParametersSequence", "PixelDataProviderURL"),
)
"""Extremes and counts of the source, and signatures of its bytes."""
UNTRUE = (*OF_THE_GRID, *OF_THE_SERIES)


def shared_elements(path: Path, slices: Sequence[Slice]) -> Mapping[str, Any]:
    """Return the elements that all slices share, as DICOM JSON (PS3.18, F).

    Left out are pixels, overlays, private elements, and elements that would not be true of the result. The log names
    what was left out.

    Raises:
        UserError: an element is damaged.
    """
    found: dict[str, Any] = {}
    differing: set[str] = set()
    damaged: set[str] = set()
    for number, one in enumerate(slices):
        with telling(path, one.name):
            kept = pydicom.Dataset({tag: one.header[tag] for tag in one.header.keys() if _is_kept(tag)})  # noqa: SIM118
            kept.remove_private_tags()
            entries = kept.to_json_dict(suppress_invalid_tags=True)
            damaged |= {f"{int(tag):08X}" for tag in kept.keys()} - entries.keys()  # noqa: SIM118
        if number == 0:
            found = entries
            continue
        same = {tag: value for tag, value in found.items() if entries.get(tag) == value}
        differing |= (found.keys() | entries.keys()) - same.keys()
        found = same
    _log_left_out(path, slices[0].header, differing - damaged, damaged)
    return found


def _is_kept(tag: Any) -> bool:
    outside = tag.group % PRIVATE_GROUPS == 0 and tag.group not in OVERLAY_GROUPS and tag.group != PIXEL_GROUP
    return outside and keyword_for_tag(tag) not in (*OF_ONE_IMAGE, *UNTRUE)


def _log_left_out(path: Path, header: Any, differing: set[str], damaged: set[str]) -> None:
    """Log the elements that the result does not have, except those that are rewritten."""
    tags = list(header.keys())
    private = sum(tag.group % PRIVATE_GROUPS == 1 and tag.element > 0xFF for tag in tags)  # noqa: PLR2004
    overlays = any(tag.group in OVERLAY_GROUPS for tag in tags)
    names, broken = (
        shortened(sorted(keyword_for_tag(int(tag, 16)) or tag for tag in found)) for found in (differing, damaged)
    )
    untrue = [keyword_for_tag(tag) for tag in tags if keyword_for_tag(tag) in UNTRUE]
    parts = [
        f"{private} private elements" if private else "",
        "overlays" if overlays else "",
        f"elements that differ between the slices ({names})" if names else "",
        f"elements with values that are not valid ({broken})" if broken else "",
        f"elements that describe the pixels of the source alone ({shortened(untrue)})" if untrue else "",
    ]
    said = "; ".join(part for part in parts if part)
    if said:
        logger.warning("%s: the result does not keep %s", path, said)

"""Images of a BIDS data set, selected by suffix and entities."""

from __future__ import annotations

import csv
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline import plugins
from pipeline.config.bids.ignore import IGNORE_FILE, Ignored, read_ignored
from pipeline.config.bids.names import MICROSCOPY_SUFFIXES, BidsName, check_place, extensions_of, parse
from pipeline.config.bids.sidecars import PLANE_AXES, forget_sidecars, pixel_size_um, read_sidecars, sidecars_of
from pipeline.config.datasets import BidsDataset
from pipeline.config.finding.items import Item, Outcome, holds, named_after
from pipeline.config.length_units import micrometres_in
from pipeline.config.mistakes import explain, shown
from pipeline.config.sources import LocalSource, Source
from pipeline.errors import UserError

DESCRIPTION_FILE = "dataset_description.json"
PARTICIPANTS_FILE = "participants.tsv"
LARGEST_DESCRIPTION_BYTES = 2**20
OTHER_FOLDERS = ("derivatives", "sourcedata", "rawdata", "code", "stimuli", "phenotype", "logs")
"""Folders at any level that contain no raw images."""
MAGNITUDE = "mag"
NO_INTENSITIES = {
    **dict.fromkeys(("phase", "phase1", "phase2", "phasediff"), "phases, which wrap around"),
    **dict.fromkeys(("mask", "dseg", "probseg", "defacemask", "roi"), "labels"),
}
"""Suffixes of images whose values are not intensities, with a description."""
REPEATED = ("sub", "ses", "run")
"""Entities that are expected to differ between images of a subject."""
MAX_NAMED = 5
"""Maximum number of subjects listed in a message."""


class Description(BaseModel):
    """Fields of dataset_description.json, named as in the standard."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    Name: str = Field(min_length=1)
    BIDSVersion: str
    License: str = "not stated"
    Authors: tuple[str, ...] = ()
    HowToAcknowledge: str = ""
    DatasetDOI: str = ""

    @property
    def citation(self) -> str:
        """Citation: the requested one, otherwise authors, name and DOI."""
        known = self.Authors or self.DatasetDOI
        parts = [", ".join(self.Authors), self.Name, self.DatasetDOI] if known else []
        return self.HowToAcknowledge or ". ".join(part for part in parts if part)


def find(dataset: BidsDataset, place: str, sources: Mapping[str, Source]) -> Outcome:
    """Find the images of a BIDS data set, in the order of their paths.

    Names are read, the description of the data set, its list of participants, and the sidecars of micrographs.
    """
    del sources
    found = search(dataset)
    if isinstance(found, list):
        return Outcome(mistakes=[f"{place}.path: {one}" for one in found])
    mistakes = [*(f"{place}.path: {one}" for one in found.mistakes.values()), *found.unknown_labels(f"{place}.only")]
    if not found.items and not mistakes:
        mistakes.append(f"{place}.path: {found.none_found()}")
    notes = [f"{place} ({dataset.path}): {note}" for note in found.notes()]
    return Outcome(found.items, mistakes, found.reasons(), notes)


def search(dataset: BidsDataset) -> Search | list[str]:
    """Search a BIDS data set for images; return the mistakes if it cannot be searched."""
    root = Path(dataset.path)
    if not holds(root.is_dir):
        where = "" if root.is_absolute() else f" in {Path.cwd()}"
        return [f"there is no folder {shown(dataset.path)}{where}"]
    description = read_description(root)
    if isinstance(description, list):
        return description
    try:
        ignored, participants = read_ignored(root), read_participants(root)
    except (OSError, ValueError) as error:
        return [f"{IGNORE_FILE} or {PARTICIPANTS_FILE} cannot be read: {error}"]
    forget_sidecars()
    found = Search(dataset, root, description, ignored, participants)
    for path in images(root, dataset.suffix):
        found.look_at(path)
    return found


def read_description(root: Path) -> Description | list[str]:
    """Read the description of a data set; return the mistakes if it is invalid."""
    path = root / DESCRIPTION_FILE
    if not path.is_file():
        return [
            f"{path}: there is no such file; a BIDS data set has one, with at least the keys Name and BIDSVersion. "
            'Write it, such as {"Name": "My study", "BIDSVersion": "1.10.0"}, or restore the files without it: by '
            "`brainsr apply`, or in a run by a data set of kind glob"
        ]
    try:
        return Description.model_validate_json(json.dumps(_mapping(path)))
    except ValidationError as error:
        return [f"{path}: {line}" for line in explain(error, Description)]
    except OSError as error:
        return [f"{path}: cannot be read: {error.strerror}"]
    except (ValueError, RecursionError) as error:
        return [f"{path}: is not a data set description: {error}"]


def _mapping(path: Path) -> dict[str, Any]:
    if path.stat().st_size > LARGEST_DESCRIPTION_BYTES:
        raise ValueError(f"larger than {LARGEST_DESCRIPTION_BYTES} bytes")
    values = json.loads(path.read_text(encoding="utf-8-sig"))
    if not isinstance(values, dict):
        raise ValueError("expected keys and values")
    return values


def read_participants(root: Path) -> list[str]:
    """Return the subjects listed in participants.tsv, such as sub-01; empty if the file does not exist."""
    path = root / PARTICIPANTS_FILE
    if not path.is_file():
        return []
    rows = csv.reader(path.read_text(encoding="utf-8-sig").splitlines(), delimiter="\t")
    header = next(rows, [])
    if "participant_id" not in header:
        return []
    column = header.index("participant_id")
    return [row[column].strip() for row in rows if len(row) > column and row[column].strip()]


def images(root: Path, suffix: str) -> Iterator[Path]:
    """Yield files and folders with a suffix in the folders of the subjects, sorted by path."""
    endings = tuple(f"_{suffix}{extension}" for extension in extensions_of(suffix))
    for subject in sorted(root.glob("sub-*")):
        places = [*subject.glob("*"), *subject.glob("ses-*/*")]
        for folder in sorted(path for path in places if _may_hold_images(path)):
            yield from sorted(path for path in folder.iterdir() if path.name.endswith(endings))


def _may_hold_images(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(("ses-", ".")) and path.name not in OTHER_FOLDERS


def _states_size(path: Path) -> bool:
    """Return whether the metadata of an OME-Zarr contains known units for all spatial axes."""
    for name in ("zarr.json", ".zattrs"):
        try:
            values = _mapping(path / name)
            attributes = values.get("attributes", values)
            axes = attributes.get("ome", attributes)["multiscales"][0]["axes"]
            return all(micrometres_in(axis.get("unit", "")) for axis in axes if axis.get("type") == "space")
        except FileNotFoundError:
            continue
        except (OSError, ValueError, LookupError, TypeError, RecursionError, AttributeError):
            return False  # damaged metadata is reported when the image is read
    return False


def _unlisted(items: Iterable[Item], participants: Sequence[str]) -> Iterator[str]:
    """Yield a message about subjects that participants.tsv does not list."""
    found = dict.fromkeys(str(item.values["subject"]) for item in items)
    unlisted = [name for name in found if name not in participants]
    if participants and unlisted:
        yield (
            f"{PARTICIPANTS_FILE} does not list {_some(unlisted)}, whose images are taken nevertheless; if they are to "
            f"be left out, name them in {IGNORE_FILE}"
        )


def _some(names: list[str]) -> str:
    rest = len(names) - MAX_NAMED
    return ", ".join(names[:MAX_NAMED]) + (f" and {rest} more" if rest > 0 else "")


@dataclass
class Search:
    """State of a search through a data set.

    Attributes:
        dataset: its entry of the configuration.
        root: its folder.
        description: of the data set.
        ignored: what its .bidsignore leaves out.
        participants: subjects that participants.tsv lists; empty if there is no such file.
        items: images that are taken.
        names: of these, in the same order.
        mistakes: what is wrong with an image, by its path relative to the data set.
        left_out: numbers of images, by the reason.
        why: reasons why images of a subject were left out.
        labels: labels by entity, of all images but those that .bidsignore leaves out.
        ignored_labels: labels by entity, of those.
        sizes: numbers of micrographs whose sidecars do not give their whole size, by what is missing.
    """

    dataset: BidsDataset
    root: Path
    description: Description
    ignored: Ignored
    participants: Sequence[str]
    items: list[Item] = field(default_factory=list)
    names: list[BidsName] = field(default_factory=list)
    mistakes: dict[str, str] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    why: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    labels: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    ignored_labels: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    sizes: Counter[str] = field(default_factory=Counter)

    def look_at(self, path: Path) -> None:
        """Add an image, or record why it is left out."""
        relative = path.relative_to(self.root).as_posix()
        subject = relative.split("/", 1)[0]
        is_ignored = self.ignored(relative, path.is_dir())
        try:
            name = parse(path.name)
        except ValueError as error:
            if is_ignored:
                self._leave_out(subject, f"by {IGNORE_FILE}", f"{IGNORE_FILE} leaves it out")
            else:
                self._mistake(relative, f"{error}. Rename it, or name it in {IGNORE_FILE}")
            return
        for key, label in name.entities.items():
            (self.ignored_labels if is_ignored else self.labels)[key].add(label)
        reason = self._reason(name, is_ignored)
        if reason:
            self._leave_out(subject, *reason)
            return
        try:
            self._take(path, relative, name)
        except ValueError as error:
            self._mistake(relative, str(error))

    def _reason(self, name: BidsName, is_ignored: bool) -> tuple[str, str] | None:
        """Return why an image is left out, for the image and for its subject; None if it is used."""
        if is_ignored:
            return f"by {IGNORE_FILE}", f"{IGNORE_FILE} leaves it out"
        only, part = self.dataset.only, name.entities.get("part")
        if any(name.entities.get(key) not in wanted for key, wanted in only.items()):
            return "by `only`", "`only` leaves its images out"
        if "part" not in only and part not in (None, MAGNITUDE):
            remedy = f"taken with only: {{part: [{part}]}}"
            return f"part-{part}, not magnitude ({remedy})", f"its images are not magnitude but part-{part}, {remedy}"
        return None

    def _leave_out(self, subject: str, count_as: str, why: str) -> None:
        self.left_out[count_as] += 1
        self.why[subject].append(why)

    def _mistake(self, relative: str, text: str) -> None:
        self.mistakes[relative] = text
        self.why[relative.split("/", 1)[0]].append("something is wrong with its images, see the other mistakes")

    def _take(self, path: Path, relative: str, name: BidsName) -> None:
        """Add the item of an image; raises ValueError if it is invalid."""
        check_place(relative)
        if not path.resolve().is_relative_to(self.root.resolve()):
            raise ValueError(f"{relative!r} is a link that leads out of the data set")
        if not (path.is_dir() if name.extension == ".ome.zarr" else path.is_file()):
            raise ValueError(
                f"{relative!r} is not a readable file; if it is a DataLad link, fetch it with: datalad get"
            )
        values: dict[str, Any] = {"id": named_after(path.name), "subject": f"sub-{name.entities['sub']}"}
        source = LocalSource(
            kind="local",
            path=f"{self.dataset.path}/{relative}",
            bids=self.dataset.path,
            title=f"{self.description.Name}: {path.name}",
            licence=self.description.License,
            citation=self.description.citation,
            format="tiff" if name.extension == ".ome.btf" else None,
        )
        if name.suffix in MICROSCOPY_SUFFIXES and "voxel_um" not in self.dataset.each_volume:
            values.update(self._size(relative, name))
        self.items.append(Item(relative, source, values))
        self.names.append(name)

    def _size(self, relative: str, name: BidsName) -> dict[str, Any]:
        """Return the voxel size of a micrograph from its sidecars, as a key of its volume."""
        paths = sidecars_of(self.dataset.path, relative)
        try:
            size = pixel_size_um(read_sidecars(paths))
        except UserError as error:
            raise ValueError(str(error)) from error
        except ValueError as error:
            raise ValueError(f"{relative}: its sidecar ({', '.join(paths)}): {error}") from error
        if size is None:
            self.sizes["no PixelSize: their lengths are in pixels, unless the file states a size"] += 1
            return {}
        if len(size) == PLANE_AXES and name.extension == ".ome.zarr" and _states_size(self.root / relative):
            self.sizes["a PixelSize without z: the size that the OME file states is taken"] += 1
            return {}
        if len(size) == PLANE_AXES and name.extension != ".png":
            # Whether an OME-TIFF states a size is not looked up here; where it states another one, reading it says so.
            self.sizes[
                "a PixelSize without z: the slice spacing is taken to equal that of columns, whatever the file states; "
                "if an image has several planes, set it with each_volume: {voxel_um: [x, y, z]}, or in PixelSize"
            ] += 1
        return {"voxel_um": [*size, size[0]][:3]}

    def unknown_labels(self, place: str) -> Iterator[str]:
        """Check for entities and labels of `only` that no image has."""
        for key, wanted in self.dataset.only.items():
            known, ignored = self.labels.get(key, set()), self.ignored_labels.get(key, set())
            asked = [label for label in wanted if label is not None and label not in known]
            if not self.labels:
                continue  # there is no image at all
            if not known and not ignored:
                yield f"{place}.{key}: no image has this entity; {plugins.suggest(key, sorted(self.labels))}"
                continue
            for label in asked:
                if label in ignored:
                    yield f"{place}.{key}: {IGNORE_FILE} leaves out all images with {key}-{label}"
                elif key == "sub" and (self.root / f"sub-{label}").is_dir():
                    yield f"{place}.{key}: the folder of sub-{label} contains no image {self._pattern}"
                else:
                    yield f"{place}.{key}: no image has {key}-{label}; {plugins.suggest(label, sorted(known))}"

    @property
    def _pattern(self) -> str:
        return f"*_{self.dataset.suffix}" + " or ".join(extensions_of(self.dataset.suffix))

    def none_found(self) -> str:
        """Return a message that no image was found, with the reasons."""
        found = f"{self.dataset.path!r} contains no image sub-*/**/{self._pattern}"
        only = f" with the labels of `only`: {json.dumps(dict(self.dataset.only))}" if self.dataset.only else ""
        return f"{found}{only}{f'; left out: {self._counts()}' if self.left_out else ''}"

    def _counts(self) -> str:
        return ", ".join(f"{count} {reason}" for reason, count in self.left_out.items())

    def notes(self) -> Iterator[str]:
        """Yield warnings about the selected images."""
        if any(reason != "by `only`" for reason in self.left_out):
            taken = len(self.items)
            yield f"{taken} image{'s' if taken != 1 else ''} taken; left out: {self._counts()}"
        if self.dataset.suffix in NO_INTENSITIES:
            yield f"images *_{self.dataset.suffix} contain {NO_INTENSITIES[self.dataset.suffix]}, not intensities"
        for what, count in self.sizes.items():
            yield f"{count} image{'s have' if count != 1 else ' has'} {what}"
        varied = self._varied() if self.dataset.suffix not in MICROSCOPY_SUFFIXES else []
        if varied:
            yield (
                f"images of one subject and session differ in {', '.join(varied)}, and each becomes a volume; `only` "
                f"chooses among them, such as only: {{{varied[0]}: [{_shown_label(self.names, varied[0])}]}}"
            )
        yield from _unlisted(self.items, self.participants)

    def _varied(self) -> list[str]:
        """Return the entities in which images of the same subject and session differ."""
        groups: dict[tuple[str | None, ...], list[BidsName]] = defaultdict(list)
        for name in self.names:
            groups[name.entities["sub"], name.entities.get("ses")].append(name)
        keys = dict.fromkeys(key for name in self.names for key in name.entities if key not in REPEATED)
        return [
            key for key in keys if any(len({one.entities.get(key) for one in group}) > 1 for group in groups.values())
        ]

    def reasons(self) -> dict[str, str]:
        """Return the reasons why subjects have no volume."""
        folders = [path.name for path in sorted(self.root.glob("sub-*")) if path.is_dir()]
        taken = {str(item.values["subject"]) for item in self.items}
        found = dict.fromkeys(self.participants, f"{PARTICIPANTS_FILE} lists it, but it has no folder")
        found |= {
            name: f"{IGNORE_FILE} leaves it out"
            if self.ignored(name, True)
            else f"its folder contains no image {self._pattern}"
            for name in folders
        }
        found |= {name: ", and ".join(dict.fromkeys(whys)) for name, whys in self.why.items()}
        return {name: reason for name, reason in found.items() if name not in taken}


def _shown_label(names: Iterable[BidsName], key: str) -> str:
    return next(name.entities[key] for name in names if key in name.entities)

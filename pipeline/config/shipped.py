"""The table of networks that ship with BrainSR: `networks.yaml` in the folder of their weights."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, TypeAdapter

from pipeline import plugins
from pipeline.config.base import Section
from pipeline.config.parameters import Direction
from pipeline.config.recipe import Recipe
from pipeline.config.sources import Network, Sha256, ShippedSource
from pipeline.config.volumes import Identifier
from pipeline.errors import UserError
from pipeline.tables.network_gains import NetworkGain

FOLDER = Path(__file__).resolve().parents[1] / "models" / "zoo"
FOLDER_VARIABLE = "BRAINSR_ZOO"
"""Environment variable with a folder of networks that replaces `FOLDER`."""
TABLE = "networks.yaml"

Modality = Literal["mri", "micrograph"]


class ShippedNetwork(Section):
    """A network that ships."""

    purpose: str
    """what the network is for, in one sentence"""
    modality: Modality
    """images that it restores; micrograph includes all pictures without anatomical axes"""
    direction: Direction
    """axes that it enlarges"""
    factor: Annotated[int, Field(ge=1)] | None
    """enlargement of each of these axes; null for any ratio of the slice spacing to the voxel size in the plane"""
    sha256: Sha256
    """SHA-256 of the weights"""
    licence: str
    """licence of the weights"""
    citation: str
    """citation"""
    network: Network
    """architecture, and a summary of the training data"""
    training_sources: tuple[str, ...]
    """names of known sources of the persons on whom the network was trained or validated"""
    gains: tuple[NetworkGain, ...] = ()
    """measured gains by kind of image; each line is a row of pipeline/tables/network_gains.py"""

    def enlargement(self) -> str:
        """Describe the enlargement, such as "in-plane, factor 2"."""
        axes = {"in_plane": "in-plane", "through_plane": "through-plane", "isotropic": "all three axes"}[self.direction]
        return f"{axes}, factor {self.factor}" if self.factor else f"{axes}, to isotropic voxels"


def zoo_folder() -> Path:
    """Return the folder of the networks that ship, or the one that the environment variable BRAINSR_ZOO names."""
    given = os.environ.get(FOLDER_VARIABLE)
    return Path(given) if given else FOLDER


def shipped_networks() -> Mapping[str, ShippedNetwork]:
    """Return the networks that ship by name, in the order of preference.

    Raises:
        UserError: the table of the networks is damaged.
    """
    return read_networks(zoo_folder() / TABLE)


def listed_networks() -> str:
    """Return the names of the networks that ship as a text for messages; errors as `shipped_networks`."""
    return ", ".join(shipped_networks()) or "none yet"


def check_model(model: str | None, factor: int | None) -> None:
    """Check the options --model and --factor.

    Args:
        model: file or name of a network, which come first, or name of a baseline; None chooses a network that ships.
        factor: enlargement within the slices, for baselines.

    Raises:
        UserError: there is nothing of this name, or the factor of a network was given.
    """
    is_network = model is None or Path(model).is_file() or model in shipped_networks()
    baselines = plugins.names("pipeline.baselines")
    if not is_network and model not in baselines:
        raise UserError(
            f"--model: there is no file, network or baseline {model!r}; the networks that ship are: "
            f"{listed_networks()}; the baselines are: {', '.join(baselines)}."
        )
    if is_network and factor is not None:
        raise UserError("--factor applies to baselines; the factor of a network is fixed. Leave out --factor.")


@cache
def read_networks(path: Path) -> Mapping[str, ShippedNetwork]:
    """Read a table of networks; errors as `shipped_networks`."""
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        return TypeAdapter(dict[Identifier, ShippedNetwork]).validate_json(json.dumps(entries))
    except OSError as error:
        raise UserError(
            f"cannot read the table of networks {path}: {error.strerror}. {FOLDER_VARIABLE} must be a folder of "
            "networks, or not be set; otherwise install BrainSR again."
        ) from error
    except (ValueError, yaml.YAMLError, TypeError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: is not a table of networks ({reason}). Restore it; see docs/networks.md.") from error


def restores_any_ratio(initial_weights: str, recipes: Iterable[Recipe]) -> bool:
    """Return whether the networks of a run restore thick slices of any ratio.

    Args:
        initial_weights: name of the initial network, which decides if none is trained.
        recipes: of all networks that the run trains.
    """
    ranges = [recipe.ratio_range for recipe in recipes]
    if ranges:
        return any(ranges)
    return is_any_ratio(initial_weights)


def is_any_ratio(name: str) -> bool:
    """Return whether a network ships under this name that restores thick slices of any ratio."""
    shipped = shipped_networks().get(name)
    return shipped is not None and shipped.factor is None


def weights_file(name: str) -> str:
    """Return the file name of the weights of a network that ships."""
    return f"{name}.safetensors"


def shipped_sources() -> dict[str, ShippedSource]:
    """Return the networks that ship as known sources of initial weights."""
    return {
        name: ShippedSource(
            kind="shipped",
            title=f"{name}, a network that ships with BrainSR",
            licence=one.licence,
            citation=one.citation,
            network=one.network,
            file=weights_file(name),
            sha256=one.sha256,
        )
        for name, one in shipped_networks().items()
    }

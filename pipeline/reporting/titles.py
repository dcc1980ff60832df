"""How methods, splits and regions are called in front of a reader."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pipeline import plugins

BASELINES = "pipeline.baselines"
REFERENCE = "reference"
"""Name of the reference where a table lists it among the methods."""

CLASSICAL_ORDER = ("nearest", "bicubic", "bspline3", "lanczos", "zerofill", "nlm_bspline3")
"""From the simplest on; plug-ins that are not named here follow by name."""


@dataclass(frozen=True)
class Network:
    """A network that BrainSR knows by name.

    Attributes:
        title: as a reader sees it.
        description: what it is, as the end of a sentence.
        reference: a key of the literature; empty where there is none.
        colour: of its curves.
    """

    title: str
    description: str
    reference: str
    colour: str


NETWORKS: Mapping[str, Network] = {
    "pretrained": Network(
        "Pretrained network, untouched",
        "the initial network as it was downloaded, which learnt nothing from the data of this run",
        "",
        "#667085",
    ),
    "rrdb_l1": Network(
        "RRDB network, pixel loss",
        "residual-in-residual dense blocks trained with a pixel loss alone: faithful, and softer than the reference",
        "esrgan",
        "#0072b2",
    ),
    "srresnet": Network(
        "SRResNet, pixel loss",
        "the generator of SRGAN, residual blocks with batch normalisation, trained with the squared error alone",
        "srgan",
        "#b8860b",
    ),
    "srgan": Network(
        "SRGAN",
        "SRResNet trained on against a discriminator, with a distance in the features of a VGG network",
        "srgan",
        "#d55e00",
    ),
    "esrgan": Network(
        "ESRGAN",
        "the RRDB network trained on against a relativistic discriminator, with VGG features before their activation",
        "esrgan",
        "#b0478f",
    ),
    "real-esrgan": Network(
        "Real-ESRGAN",
        "the RRDB network trained on against a U-Net discriminator, which judges every pixel",
        "real-esrgan",
        "#2e7d32",
    ),
    "brainsr": Network(
        "BrainSR",
        "the recipe of this project: the RRDB network and a short adversarial stage that stays close to the pixels, "
        "suppresses artifacts and agrees with the forward model",
        "ldl",
        "#0b6e75",
    ),
}
"""In the order of tables; recipes that a user named follow by name."""

SPARE_COLOURS = ("#5b4b8a", "#8b1a4a", "#5d6b1e", "#4d4d4d", "#a0522d")
"""For networks that are not named above, one after the other."""

REGION_TITLES = {
    "foreground": "Foreground",
    "whole": "Whole slice",
    "neighbours": "Against the neighbouring slices (other noise, nearly the same structure)",
    "denoised": "Against a denoised reference (an estimate, no reference)",
}

SPLIT_TITLES: Mapping[str, str] = {
    "test": "Another subject",
    "test_within_subject": "Held-out block of the same subject",
    "val": "Validation",
    "train": "Training",
}

TESTED = ("test", "test_within_subject")
SELF_SUPERVISED_TITLE = "Learnt from its own slices"
SELF_SUPERVISED_CLAIM = (
    "The network learnt from the thick slices of this very volume, and saw nothing of its reference. It shows what "
    "can be "
    "gained without other data. It does not show that the network carries over to other volumes."
)
PICTURES_TITLE = "Other pictures"
"""Of the split test, where it holds pictures without the names of the subjects."""
PICTURES_CLAIM = (
    "Pictures of which nothing was learnt; near-duplicates of pictures that were learnt from are left out. Whose heads "
    "they show is not known: the network may have seen other slices of the same heads. They do not show that it "
    "carries over to new heads."
)

SPLIT_ORDER = ("test", "test_within_subject", "val", "train")


def baselines() -> list[str]:
    """Return the names of all baselines, in the order of tables."""
    known = plugins.names(BASELINES)
    first = [name for name in CLASSICAL_ORDER if name in known]
    return first + [name for name in known if name not in first]


def method_title(name: str) -> str:
    """Return the name of a method as a reader sees it; an unknown method keeps its own."""
    if name in NETWORKS:
        return NETWORKS[name].title
    if name == REFERENCE:
        return "Reference"
    return plugins.load(BASELINES, name).TITLE if name in plugins.names(BASELINES) else name


def network_description(name: str) -> str:
    """Says what a network is, as the end of a sentence; of a recipe that a user named, only that it is one."""
    return NETWORKS[name].description if name in NETWORKS else "trained by a recipe of this run's configuration"


def loss_title(name: str) -> str:
    """Return the name of a loss term as a reader sees it."""
    titles = {"l1": "L1", "mse": "squared error", "ldl": "LDL", "ms_ssim": "MS-SSIM", "ssim": "SSIM"}
    return titles.get(name, name.replace("_", " "))


def network_colours(networks: Iterable[str]) -> dict[str, str]:
    """Return a colour for every network; the same networks have the same colours on every page."""
    named = set(networks)
    unknown = sorted(named - set(NETWORKS))
    spare = {name: SPARE_COLOURS[place % len(SPARE_COLOURS)] for place, name in enumerate(unknown)}
    return {**{name: network.colour for name, network in NETWORKS.items() if name in named}, **spare}


def method_style(method: str, deliver: str) -> str:
    """Return the style in which a method is drawn, a key of `pipeline.reporting.figures.lines.STYLES`."""
    if method == deliver:
        return "delivered"
    return "baseline" if method in baselines() else "reference" if method == REFERENCE else "network"


def readable(name: str) -> str:
    """Return an identifier of a table, such as "residual_mean", with spaces."""
    return str(name).replace("_", " ")


def in_order(methods: Iterable[str], deliver: str) -> list[str]:
    """Sort methods: classical ones, networks in the order of `NETWORKS`, others by name, the deliverable last."""
    classical, networks = baselines(), list(NETWORKS)

    def place(name: str) -> tuple[int, int, str]:
        if name in classical:
            return 0, classical.index(name), name
        if name == deliver:
            return 2, 0, name
        return 1, networks.index(name) if name in networks else len(networks), name

    return sorted(set(methods), key=place)


def split_title(split: str, *, pictures: bool = False, self_supervised: bool = False) -> str:
    """Name what a split holds; arguments as in `split_claim`."""
    if self_supervised and split in TESTED:
        return SELF_SUPERVISED_TITLE
    return PICTURES_TITLE if pictures and split == "test" else SPLIT_TITLES[split]


def split_claim(
    split: str, gap_slices: int | None = None, *, pictures: bool = False, self_supervised: bool = False
) -> str:
    """Says what the results on a split can prove, and what they cannot.

    Args:
        split: one of the configuration's splits.
        gap_slices: slices between a held-out block and the nearest slice that was learnt from, where known.
        pictures: whether it holds pictures of which nobody knows whose heads they show.
        self_supervised: whether the networks learnt from the low-resolution volumes that they restored.
    """
    if self_supervised and split in TESTED:
        return SELF_SUPERVISED_CLAIM
    if pictures and split == "test":
        return PICTURES_CLAIM
    gap = f", kept apart from them by at least {gap_slices} slices" if gap_slices is not None else ", kept apart"
    claims = {
        "test": "Another subject, of which nothing was learnt. It shows whether the network carries over to one that "
        "it has never seen.",
        "test_within_subject": "Slices of the same subject that the network learnt from"
        f"{gap}. They show that it learnt this subject and this instrument. They do not show that it works on "
        "others.",
        "val": "Used to choose settings and to watch the training. Good numbers here prove nothing.",
        "train": "The network learnt from these slices. They are neither restored nor measured.",
    }
    return claims[split]

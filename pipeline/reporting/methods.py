"""How methods, splits and regions are called in front of a reader."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pipeline import plugins

UPSAMPLERS = "pipeline.upsamplers"

CLASSICAL_ORDER = ("nearest", "bicubic", "bspline3", "lanczos", "zerofill", "nlm_bspline3")
"""From the simplest on; plug-ins that are not named here follow by name."""

NETWORK_TITLES = {
    "pretrained": "Pretrained network, untouched",
    "rrdb_l1": "BrainSR network, fine-tuned (L1)",
}

REGION_TITLES = {"foreground": "Foreground", "whole": "Whole slice"}

SPLIT_TITLES: Mapping[str, str] = {
    "test": "Another head",
    "test_within_subject": "Held-out block of the same head",
    "val": "Validation",
    "train": "Training",
}

SPLIT_ORDER = ("test", "test_within_subject", "val", "train")


def classical_methods() -> list[str]:
    """Returns the names of all classical methods, in the order of tables."""
    known = plugins.names(UPSAMPLERS)
    first = [name for name in CLASSICAL_ORDER if name in known]
    return first + [name for name in known if name not in first]


def method_title(name: str) -> str:
    """Returns the name of a method as a reader sees it; an unknown method keeps its own."""
    if name in NETWORK_TITLES:
        return NETWORK_TITLES[name]
    return plugins.load(UPSAMPLERS, name).TITLE if name in plugins.names(UPSAMPLERS) else name


def in_order(methods: Iterable[str], deliver: str) -> list[str]:
    """Sorts methods: classical ones, then networks, the pretrained one first and the delivered one last."""
    classical = classical_methods()

    def place(name: str) -> tuple[int, int, str]:
        if name in classical:
            return 0, classical.index(name), name
        return 1, {"pretrained": 0, deliver: 2}.get(name, 1), name

    return sorted(set(methods), key=place)


def split_claim(split: str, gap_slices: int | None = None) -> str:
    """Says what the results on a split can prove, and what they cannot.

    Args:
        split: one of the configuration's splits.
        gap_slices: slices between a held-out block and the nearest slice that was learnt from, where known.
    """
    gap = f", kept apart from them by at least {gap_slices} slices" if gap_slices is not None else ", kept apart"
    claims = {
        "test": "Another head, of which nothing was learnt. It shows whether the network carries over to a head that "
        "it has never seen.",
        "test_within_subject": "Slices of the same head that the network learnt from"
        f"{gap}. They show that it learnt this head and this scanner. They do not show that it works on other heads.",
        "val": "Used to choose settings and to watch the training. Good numbers here prove nothing.",
        "train": "The network learnt from these slices. They are neither restored nor measured.",
    }
    return claims[split]

"""The page of a reader study: one file, which holds pictures under codes and no word on how they were made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from pipeline.config.sections import Reading
from pipeline.fidelity.reading.design import ANSWERS, Item, design, draw_code
from pipeline.fidelity.reading.key import Key
from pipeline.reporting.templates import render

STUDY_DIGITS = 12


@dataclass(frozen=True)
class Shown:
    """A picture: its data URI, and its width over its height."""

    uri: str
    aspect: float


Pictures = Mapping[tuple[str, str], Shown]
"""By case and method."""


def make_study(cases: Sequence[str], methods: Sequence[str], pictures: Pictures, settings: Reading, seed: int) -> Key:
    """Decide what is asked.

    The name of the study, and with it all that chance decides, hangs on the seed and on every picture: answers of
    another page can never be taken for answers of this one.
    """
    digest = hashlib.sha256(f"{seed}\n{settings.model_dump_json()}\n".encode())
    for (case, method), picture in sorted(pictures.items()):
        digest.update(f"{case}\n{method}\n{picture.uri}\n".encode())
    study = digest.hexdigest()[:STUDY_DIGITS]
    generator = np.random.default_rng([seed, int(study, 16)])
    items = design(cases, methods, settings.choices_per_pair, settings.repeats, generator)
    return Key(study, seed, tuple(items))


def reading_page(key: Key, pictures: Pictures) -> str:
    """Write the page as HTML.

    Pictures have codes of their own, and stand in the order of these codes.
    """
    generator = np.random.default_rng([key.seed, int(key.study, 16), 1])
    codes = {shown: draw_code(generator) for shown in sorted(pictures)}
    content: dict[str, Any] = {
        "study": key.study,
        "answers": ANSWERS,
        "items": [_asked(item, codes) for item in key.items],
        "pictures": {code: vars(pictures[shown]) for shown, code in sorted(codes.items(), key=lambda one: one[1])},
    }
    text = json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")
    counts = {question: sum(item.question == question for item in key.items) for question in ANSWERS}
    return render(
        "reading.html.j2",
        style_files=("style.css", "reading.css"),
        scripts=("reading.js",),
        study=Markup(text),
        counts=counts,
    )


def _asked(item: Item, codes: Mapping[tuple[str, str], str]) -> dict[str, Any]:
    shown = [codes[item.case, method] for method in item.methods]
    return {"item": item.code, "question": item.question, "pictures": shown}

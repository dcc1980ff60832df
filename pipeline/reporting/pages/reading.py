"""The page of a reader study: one file with pictures under random codes, without any hint at the methods."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from markupsafe import Markup

from pipeline.fidelity.reading.design import ANSWERS, draw_code
from pipeline.fidelity.reading.key import Key
from pipeline.fidelity.reading.study import Pictures
from pipeline.reporting.templates import render


def reading_page(key: Key, pictures: Pictures) -> str:
    """Render the page as HTML; the pictures are sorted by their random codes.

    Args:
        key: the key of the study.
        pictures: its pictures.
    """
    generator = np.random.default_rng([key.seed, int(key.study, 16), 1])
    codes = {shown: draw_code(generator) for shown in sorted(pictures)}
    content: dict[str, Any] = {
        "study": key.study,
        "answers": ANSWERS,
        "items": [
            {
                "item": item.code,
                "question": item.question,
                "pictures": [codes[item.case, method] for method in item.methods],
            }
            for item in key.items
        ],
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

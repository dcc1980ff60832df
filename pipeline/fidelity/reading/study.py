"""A reader study: its identifier and its items, determined by the pictures and the seed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.config.sections import Reading
from pipeline.errors import UserError
from pipeline.fidelity.reading.design import design
from pipeline.fidelity.reading.key import Key

ID_DIGITS = 12
MIN_METHODS = 2


@dataclass(frozen=True)
class Picture:
    """A slice as one method restored it.

    Attributes:
        uri: data URI of the picture.
        aspect: width over height.
    """

    uri: str
    aspect: float


Pictures = Mapping[tuple[str, str], Picture]
"""Pictures by case and method."""


def make_study(cases: Sequence[str], pictures: Pictures, settings: Reading, seed: int) -> Key:
    """Design a study of all methods.

    The identifier of the study, from which all random numbers are derived, is a hash of the seed and of all pictures:
    answers to another page are never accepted as answers to this one.

    Args:
        cases: names of the slices.
        pictures: their pictures by every method.
        settings: the section `reading`.
        seed: random seed.

    Raises:
        UserError: there are fewer than two methods, or a method has no picture of a case.
    """
    methods = sorted({method for _, method in pictures})
    if len(methods) < MIN_METHODS:
        raise UserError(f"--predictions: give at least {MIN_METHODS} methods to compare, not {len(methods)}.")
    for case in cases:
        missing = [method for method in methods if (case, method) not in pictures]
        if missing:
            volume = case.rpartition("/")[0]
            raise UserError(f"volume {volume!r} has no prediction of {', '.join(missing)}; other volumes have.")
    digest = hashlib.sha256(f"{seed}\n{settings.model_dump_json()}\n".encode())
    for (case, method), picture in sorted(pictures.items()):
        digest.update(f"{case}\n{method}\n{picture.uri}\n".encode())
    study = digest.hexdigest()[:ID_DIGITS]
    generator = np.random.default_rng([seed, int(study, 16)])
    items = design(cases, methods, settings.choices_per_pair, settings.repeats, generator)
    return Key(study, seed, tuple(items))

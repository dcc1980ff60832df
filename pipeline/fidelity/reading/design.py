"""Design of a reader study: items and their random order.

Every method is rated on every case, every pair of methods is compared on some cases, and some items are repeated to
measure intra-reader consistency. The order of the items, and of the two images of a pair, is random.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

RATING, CHOICE = "rating", "choice"
ANSWERS = {RATING: ("1", "2", "3", "4", "5"), CHOICE: ("A", "B")}
"""Possible answers by question: a five-point scale (Likert 1932), or the first (A) or second (B) image."""
CODE_BYTES = 4


@dataclass(frozen=True)
class Item:
    """One item of the study.

    Attributes:
        code: random identifier in the page and in the answers.
        question: RATING or CHOICE.
        case: name of the slice.
        first: method of the image, or of image A of a pair.
        second: method of image B; empty for a rating.
        repeats: code of the item that this one repeats; empty for a new item.
    """

    code: str
    question: str
    case: str
    first: str
    second: str = ""
    repeats: str = ""

    @property
    def methods(self) -> tuple[str, ...]:
        """Methods whose images are shown."""
        return (self.first, self.second) if self.second else (self.first,)


def draw_code(generator: np.random.Generator) -> str:
    """Return a random code of eight hexadecimal digits."""
    return generator.bytes(CODE_BYTES).hex()


def design(
    cases: Sequence[str], methods: Sequence[str], choices_per_pair: int, repeats: int, generator: np.random.Generator
) -> list[Item]:
    """Return the items in order: all ratings, then all choices.

    Args:
        cases: names of slices.
        methods: methods to compare.
        choices_per_pair: maximum number of cases on which each pair of methods is compared.
        repeats: number of repeated ratings, and of repeated choices.
        generator: random number generator.
    """
    ratings = [(case, method, "") for case in cases for method in methods]
    return [
        *_shuffled(RATING, ratings, repeats, generator),
        *_shuffled(CHOICE, _pairs(cases, methods, choices_per_pair, generator), repeats, generator),
    ]


def _pairs(
    cases: Sequence[str], methods: Sequence[str], per_pair: int, generator: np.random.Generator
) -> list[tuple[str, str, str]]:
    """Return case, first and second method, balanced over cases and over the order of the methods."""
    count = min(per_pair, len(cases))
    found, place = [], 0
    mixed = [cases[index] for index in generator.permutation(len(cases))]
    for pair in combinations(methods, 2):
        turned = int(generator.integers(2))
        for number in range(count):
            first, second = pair if (number + turned) % 2 == 0 else reversed(pair)
            found.append((mixed[place % len(mixed)], first, second))
            place += 1
    return found


def _shuffled(
    question: str, contents: Sequence[tuple[str, str, str]], repeats: int, generator: np.random.Generator
) -> list[Item]:
    """Shuffle the items of a question; items of the first third are repeated in the second half."""
    mixed = [contents[index] for index in generator.permutation(len(contents))]
    items = [Item(draw_code(generator), question, *one) for one in mixed]
    early = items[: -(-len(items) // 3)]
    again = [
        replace(early[index], code=draw_code(generator), repeats=early[index].code)
        for index in generator.permutation(len(early))[:repeats]
    ]
    if question == CHOICE:  # reveals a reader who always chooses the same side
        again = [replace(item, first=item.second, second=item.first) for item in again]
    half = len(items) // 2
    late = [*items[half:], *again]
    return [*items[:half], *(late[index] for index in generator.permutation(len(late)))]

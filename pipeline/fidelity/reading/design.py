"""Which images a reader is asked about, in which order.

Every method is rated on every case, every two methods are compared on some cases, and some questions come a second
time, to see how steady a reader is. Chance decides the order, and which of two images stands first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

RATING, CHOICE = "rating", "choice"
ANSWERS = {RATING: ("1", "2", "3", "4", "5"), CHOICE: ("A", "B")}
"""What can be answered, by question: a scale of five steps (Likert 1932), or the first (A) or second (B) image."""
CODE_BYTES = 4


@dataclass(frozen=True)
class Item:
    """One thing that a reader is asked.

    Attributes:
        code: says nothing; it stands in the page and in the answers.
        question: RATING or CHOICE.
        case: name of the slice that is shown.
        first: method of the image, or of image A of two.
        second: method of image B; empty where one image is rated.
        repeats: code of the item that this one asks again; empty where it asks something new.
    """

    code: str
    question: str
    case: str
    first: str
    second: str = ""
    repeats: str = ""

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods whose images are shown."""
        return (self.first, self.second) if self.second else (self.first,)


def draw_code(generator: np.random.Generator) -> str:
    """Return a code that says nothing: eight hexadecimal digits."""
    return generator.bytes(CODE_BYTES).hex()


def design(
    cases: Sequence[str], methods: Sequence[str], choices_per_pair: int, repeats: int, generator: np.random.Generator
) -> list[Item]:
    """Return everything that is asked, in order: all ratings, then all choices.

    Args:
        cases: names of slices.
        methods: what is judged.
        choices_per_pair: cases on which every two methods are compared, as far as there are so many.
        repeats: ratings, and as many choices, that are asked again.
        generator: decides the order.
    """
    ratings = [(case, method, "") for case in cases for method in methods]
    return [
        *_in_order(RATING, ratings, repeats, generator),
        *_in_order(CHOICE, _pairs(cases, methods, choices_per_pair, generator), repeats, generator),
    ]


def _pairs(
    cases: Sequence[str], methods: Sequence[str], per_pair: int, generator: np.random.Generator
) -> list[tuple[str, str, str]]:
    """Case, first and second method: cases are used alike often, and each method of a pair stands first as often."""
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


def _in_order(
    question: str, asked: Sequence[tuple[str, str, str]], repeats: int, generator: np.random.Generator
) -> list[Item]:
    """Mix the items of a question; what is repeated comes from the first third, and again in the second half."""
    mixed = [asked[index] for index in generator.permutation(len(asked))]
    items = [Item(draw_code(generator), question, *one) for one in mixed]
    early = items[: -(-len(items) // 3)]
    again = [
        replace(early[index], code=draw_code(generator), repeats=early[index].code)
        for index in generator.permutation(len(early))[:repeats]
    ]
    if question == CHOICE:  # so that a reader who always takes the left one is found out
        again = [replace(item, first=item.second, second=item.first) for item in again]
    half = len(items) // 2
    late = [*items[half:], *again]
    return [*items[:half], *(late[index] for index in generator.permutation(len(late)))]

"""The reader study without its page: what is asked, what answers mean, and scores against other implementations."""

from __future__ import annotations

import base64
import io
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image as PillowImage

from pipeline.config.load import read_run
from pipeline.errors import UserError
from pipeline.fidelity.reading.answers import read_answers
from pipeline.fidelity.reading.design import CHOICE, RATING, Item, design
from pipeline.fidelity.reading.key import Key, read_key, write_key
from pipeline.fidelity.reading.scores import (
    ALL,
    Study,
    mean_with_interval,
    opinion_scores,
    preferences,
    reader_agreement,
    reader_table,
    resample_counts,
)
from pipeline.image.channels import COLOURS
from pipeline.image.image import Image
from pipeline.reporting.figures.reading_cases import LONGEST_SIDE, choose_cases
from pipeline.statistics.krippendorff import krippendorff_alpha
from pipeline.steps.__main__ import main
from pipeline.tables.reading_answers import READING_ANSWERS
from tests.helpers import configuration, described

CASES, METHODS = [f"v/{index}" for index in range(6)], ["bicubic", "ours", "reference"]
TASTE = {"reference": 5, "ours": 4, "bicubic": 2}


def asked(seed: int = 0, choices: int = 4, repeats: int = 3) -> Key:
    return Key("s", seed, tuple(design(CASES, METHODS, choices, repeats, np.random.default_rng(seed))))


# What is asked


def test_every_method_is_rated_on_every_case_and_every_pair_compared():
    items = asked().items
    fresh = [item for item in items if not item.repeats]
    rated = [(item.case, item.first) for item in fresh if item.question == RATING]
    assert sorted(rated) == sorted((case, method) for case in CASES for method in METHODS)
    pairs = Counter(frozenset(item.methods) for item in fresh if item.question == CHOICE)
    assert pairs == {frozenset(pair): 4 for pair in combinations(METHODS, 2)}
    firsts = Counter(item.first for item in fresh if item.question == CHOICE)
    assert set(firsts.values()) == {4}, "every method stands first as often as second"
    used = Counter(item.case for item in fresh if item.question == CHOICE)
    assert max(used.values()) - min(used.values()) <= 1
    assert len({item.code for item in items}) == len(items)


def test_what_is_asked_again_comes_later_and_with_images_changed_over():
    items = {item.code: item for item in asked().items}
    places = {code: place for place, code in enumerate(items)}
    again = [item for item in items.values() if item.repeats]
    assert Counter(item.question for item in again) == {RATING: 3, CHOICE: 3}
    for item in again:
        first = items[item.repeats]
        assert places[item.code] > places[first.code] + 1 and item.case == first.case and not first.repeats
        assert item.methods == (first.methods if item.question == RATING else first.methods[::-1])


def test_chance_hangs_on_the_seed_alone():
    assert asked(1) == asked(1)
    assert [item.case for item in asked(1).items] != [item.case for item in asked(2).items]


def test_more_is_asked_than_there_is():
    items = design(["only"], METHODS, 9, 99, np.random.default_rng(0))
    assert Counter(item.question for item in items if not item.repeats) == {RATING: 3, CHOICE: 3}


def volume(name: str, size: int = 40) -> Image:
    mask = np.zeros((size, size, 9), dtype=bool)
    mask[4:-4, 6:-6, 1:8] = True
    data = mask * np.random.default_rng(0).random(mask.shape).astype(np.float32)
    facts = {"id": name, "slice_axis": 2, "foreground_slices": list(range(1, 8))}
    return described(Image(data, np.eye(4), masks={"foreground": mask}), **facts)


def test_cases_are_spread_over_volumes():
    cases = choose_cases([volume("a"), volume("b")], 5)
    assert Counter(case.volume for case in cases) == {"a": 2, "b": 3}
    assert len({case.name for case in cases}) == 5
    assert len(choose_cases([volume(name) for name in "abc"], 2)) == 2


def test_all_methods_share_part_and_window():
    case = choose_cases([volume("a")], 1)[0]
    data = np.asarray(volume("a").data)
    assert case.picture(data, 2) == case.picture(data.copy(), 2) != case.picture(0.9 * data, 2)
    assert case.box.shape == (32, 36), "the foreground and a margin"


def test_of_large_slices_a_part_is_shown_and_nothing_is_scaled_down():
    case = choose_cases([volume("a", 900)], 1)[0]
    assert case.box.shape == (LONGEST_SIDE, LONGEST_SIDE)
    assert 0 <= case.box.top < case.box.bottom <= 900


# What answers mean


def test_colours_are_shown_as_one_picture():
    grey = volume("a")
    colours = {"channels": list(COLOURS), "sections": [0, 0, 0], "plane": "picture"}
    data, mask = np.asarray(grey.data)[..., 4:5] * np.array([1, 0.5, 0], np.float32), grey.masks["foreground"][..., 3:6]
    coloured = described(grey.with_data(data, masks={"foreground": mask}), **colours, foreground_slices=[0, 1, 2])
    (case,) = choose_cases([coloured], 5)
    encoded = case.picture(data, 2).split(",", 1)[1]
    drawn = np.asarray(PillowImage.open(io.BytesIO(base64.b64decode(encoded))).convert("RGB"), dtype=float)
    assert drawn[..., 2].max() == 0 and drawn[..., 0].max() > drawn[..., 1].max() > 0


def answer(item: Item, taste: dict[str, int]) -> str:
    """Answers of a reader who has a taste and no doubt."""
    if item.question == RATING:
        return str(taste[item.first])
    return "A" if taste[item.first] > taste[item.second] else "B"


def write_answers(path: Path, key: Key, name: str, taste: dict[str, int], **changes: str) -> Path:
    rows = [
        {"study": key.study, "reader": name, "item": item.code, "question": item.question}
        | {"answer": answer(item, taste), "seconds": "1.5"}
        for item in key.items
    ]
    rows[3] |= changes
    pd.DataFrame(rows, columns=pd.Index(READING_ANSWERS.columns)).to_csv(path, index=False)
    return path


def test_a_key_is_read_back(tmp_path):
    write_key(tmp_path / "key.json", asked())
    assert read_key(tmp_path / "key.json") == asked()
    (tmp_path / "other.json").write_text('{"study": "s"}')
    with pytest.raises(UserError, match=r"other\.json: is not the key"):
        read_key(tmp_path / "other.json")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"study": "another"}, "line 5: belongs to study 'another'"),
        ({"item": "ffffffff"}, "line 5: the key has no item 'ffffffff'"),
        ({"answer": "6"}, "line 5: the answer '6' is not one of 1, 2, 3, 4, 5"),
        ({"answer": "=1+1"}, "not one of 1, 2"),
        ({"answer": "A"}, "not one of 1, 2"),
        ({"reader": " "}, "the reader is empty"),
        ({"item": asked().items[0].code}, "answered item '[0-9a-f]{8}' twice"),
    ],
)
def test_answers_that_cannot_be_are_refused(tmp_path, changes, words):
    path = write_answers(tmp_path / "one.csv", asked(), "r1", TASTE, **changes)
    with pytest.raises(UserError, match=words) as caught:
        read_answers([path], asked())
    assert "one.csv" in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "a,b\n1,2\n", ",".join(READING_ANSWERS.columns) + "\n", "\x00\xff", "study,reader\n\n\n"]
)
def test_other_files_are_refused_with_one_message(tmp_path, text, capsys):
    write_key(tmp_path / "key.json", asked())
    (tmp_path / "bad.csv").write_bytes(text.encode("latin-1"))
    given = ["--key", str(tmp_path / "key.json"), "--answers", str(tmp_path / "bad.csv")]
    assert main(["reading_scores", *given, "--output", str(tmp_path / "scores")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") or "\nerror: " in error
    assert "bad.csv" in error and "Traceback" not in error
    assert not (tmp_path / "scores").exists()


def test_the_same_reader_twice_is_refused(tmp_path):
    paths = [write_answers(tmp_path / f"{name}.csv", asked(), "r1", TASTE) for name in "ab"]
    with pytest.raises(UserError, match=r"b\.csv: reader 'r1' answered"):
        read_answers(paths, asked())


# Scores


def study(answers: pd.DataFrame, samples: int = 500) -> Study:
    return Study(answers, samples, 0.95, 1)


def of_readers(tmp_path: Path, key: Key, **tastes: dict[str, int]) -> pd.DataFrame:
    return read_answers([write_answers(tmp_path / f"{name}.csv", key, name, one) for name, one in tastes.items()], key)


def test_the_best_method_wins(tmp_path):
    key = asked()
    answers = of_readers(tmp_path, key, r1=TASTE, r2={**TASTE, "ours": 3}, r3=TASTE)
    scores = opinion_scores(study(answers)).set_index("method")
    assert list(scores.index) == ["reference", "ours", "bicubic"]
    assert scores.loc["ours", "mean_opinion"] == pytest.approx(11 / 3)
    assert scores.loc["ours", "ci_low"] == 3 and scores.loc["ours", "ci_high"] == 4, "readers are drawn"
    assert scores.loc["reference", ["readers", "cases", "ratings", "ci_low"]].tolist() == [3, 6, 18, 5]
    shares = preferences(study(answers)).set_index(["method", "other"])
    assert shares.loc[("ours", ALL), "share"] == 0.5 and shares.loc[("ours", "bicubic"), "won"] == 12
    assert shares.loc[("reference", ALL), "choices"] == 24 and shares.loc[("reference", ALL), "ci_low"] == 1
    table = reader_table(study(answers))
    assert table["same_rating"].tolist() == [1, 1, 1] and table["same_choice"].tolist() == [1, 1, 1]
    agreement: Any = reader_agreement(study(answers)).set_index("question")
    assert agreement.loc[CHOICE, "alpha"] == 1 and 0.7 < agreement.loc[RATING, "alpha"] < 1
    assert agreement.loc[RATING, "ci_low"] <= agreement.loc[RATING, "alpha"] <= agreement.loc[RATING, "ci_high"]


def test_of_one_reader_no_agreement_is_known(tmp_path):
    answers = of_readers(tmp_path, asked(), r1=TASTE)
    table: Any = reader_agreement(study(answers))
    assert table["readers"].tolist() == [1, 1] and table["alpha"].isna().all()


def test_a_reader_who_does_not_look_is_found_out(tmp_path):
    key = asked()
    answers = of_readers(tmp_path, key, r1=TASTE, r2=TASTE)
    blind = (answers["reader"] == "r2") & (answers["question"] == CHOICE)
    answers.loc[blind, "chosen"] = answers["first"]  # always the first image
    table = reader_table(study(answers)).set_index("reader")
    assert table.loc["r1", "first_taken"] < 1
    assert table.loc["r2", "first_taken"] == 1 and table.loc["r2", "same_choice"] == 0


def test_the_interval_over_cases_is_that_of_the_mean():
    values = np.random.default_rng(0).normal(3, 1, (1, 400))
    mean, low, high = mean_with_interval(values, np.ones_like(values), resample_counts(1, 400, 4000, 2), 0.95)
    half = 1.96 * values.std() / 20
    assert mean == pytest.approx(values.mean())
    assert (mean - low, high - mean) == (pytest.approx(half, rel=0.06), pytest.approx(half, rel=0.06))


def test_the_interval_over_readers_and_cases_is_that_of_a_crossed_design():
    """Of additive effects, the variance of the mean is that of readers over their number and of cases over theirs."""
    generator = np.random.default_rng(1)
    readers, cases = generator.normal(0, 1, 40), generator.normal(0, 0.5, 60)
    values = readers[:, None] + cases[None, :]
    _, low, high = mean_with_interval(values, np.ones_like(values), resample_counts(40, 60, 4000, 2), 0.95)
    expected = np.sqrt(readers.var() / 40 + cases.var() / 60)
    assert (high - low) / 2 / 1.96 == pytest.approx(expected, rel=0.06)


def test_missing_answers_count_for_nothing():
    sums, counts = np.array([[4.0, 0.0], [2.0, 3.0]]), np.array([[1.0, 0.0], [1.0, 1.0]])
    assert mean_with_interval(sums, counts, resample_counts(2, 2, 200, 0), 0.95)[0] == 3


PUBLISHED = """
1 2 3 3 2 1 4 1 2 . . .
1 2 3 3 2 2 4 1 2 5 . 3
. 3 3 3 2 3 4 2 2 5 1 .
1 2 3 3 2 4 4 1 2 5 1 .
"""
"""Example C of Krippendorff's paper of 2011: four observers, twelve units, answers missing."""


@pytest.mark.parametrize(("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815)])
def test_alpha_is_that_of_the_paper(level, alpha):
    rows = [[float(one.replace(".", "nan")) for one in line.split()] for line in PUBLISHED.split("\n") if line]
    assert krippendorff_alpha(np.array(rows), level) == pytest.approx(alpha, abs=5e-4)


def test_alpha_at_its_ends():
    both = np.array([[1.0, 2.0, 3.0, 3.0], [1.0, 2.0, 3.0, 3.0]])
    assert krippendorff_alpha(both, "ordinal") == 1
    chance = np.random.default_rng(0).integers(1, 6, (2, 20000)).astype(float)
    assert krippendorff_alpha(chance, "ordinal") == pytest.approx(0, abs=0.03)
    assert np.isnan(krippendorff_alpha(np.ones((2, 5)), "nominal")), "nobody could have disagreed"
    assert np.isnan(krippendorff_alpha(both[:1], "nominal"))
    assert np.isnan(krippendorff_alpha(np.zeros((2, 0)), "ordinal"))


# The configuration


def test_readers_see_as_many_volumes_as_there_are_slices():
    run = read_run(configuration(reading={"slices": 1}))
    assert run.read_ids == ["other"]
    assert run.read_methods == ["reference", "bicubic", "nlm_bspline3", "rrdb_l1", "brainsr"]


@pytest.mark.parametrize(
    ("methods", "words"),
    [
        (["reference", "brainrs"], r"reading\.methods\[1\]: 'brainrs' is unknown; did you mean 'brainsr'"),
        (["bicubic"], "at least two methods"),
        (["bicubic", "bicubic"], "is listed twice"),
    ],
)
def test_methods_that_cannot_be_judged_are_told(methods, words):
    with pytest.raises(UserError, match=words):
        read_run(configuration(reading={"methods": methods}))

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from pipeline.config.recipe import preset_names
from pipeline.errors import UserError
from pipeline.reporting.figures.excerpts import MAX_STEPS, excerpt_grids, shown_steps
from pipeline.reporting.figures.fidelity_dial import dial_figure
from pipeline.reporting.figures.lines import Line, Marks, draw_lines
from pipeline.reporting.figures.training_curves import (
    MAX_POINTS,
    history_values,
    overview_figures,
    thinned,
    training_figures,
)
from pipeline.reporting.literature import Bibliography, works
from pipeline.reporting.methods_text import describe_networks
from pipeline.reporting.run_record import ModelRecord, read_dial
from pipeline.reporting.sections.training_network import MAX_EVENTS, card_facts, event_rows
from pipeline.reporting.sections.training_overview import validation_metrics
from pipeline.reporting.titles import NETWORKS, in_order, method_title, network_colours
from pipeline.reporting.training_record import Samples, read_samples, read_training
from pipeline.steps.__main__ import main
from pipeline.tables.training_events import TrainingEvent
from tests.helpers import Tags, run_step, the_message
from tests.provenance import provenance

HOSTILE = '<script>alert("pwned")</script>\'"&'
CARD = """# brainsr

- Recipe: made here; with a second part
- Training volumes:
  - low: subject S1, axial slices 8 to 19
  - mid: subject S1, axial slices 30 to 35
- Validation volumes (used to choose settings, no evidence of quality):
  - val: subject S2
- Contrast augmentation without a colon in 50 % of the patches
- Loss: 1 x l1; Adam, learning rate
  0.0002

## Limits

- Not: a fact
"""
HISTORY = """step,learning_rate,loss,loss_l1,loss_adversarial,adversarial_weight,gradient_generator,\
gradient_discriminator,discriminator_real,discriminator_fake,diversity,val_psnr,val_ssim,seconds
10,2e-4,0.5,0.04,0.7,0.001,0.3,0.4,0.5,0.5,,,,1.5
20,1e-4,0.4,0.03,0.6,0.005,0.2,0.5,0.6,0.4,0.8,24.5,0.7,61.5
30,9e-5,0.3,0.02,0.7,0.005,nan,0.4,0.7,0.3,,,,90.5
40,1e-5,0.2,0.01,0.8,0.005,0.1,0.4,0.8,0.2,0.7,24.25,0.75,120.5
"""
DIAL = """alpha,psnr,ssim,perceptual,lr_residual,noise_level,allowed,chosen
1,23.5,0.70,0.11,0.03,0.02,false,false
0,24.5,0.75,0.30,0.02,0.02,true,false
0.5,24.3,0.74,0.20,0.02,0.02,true,true
"""


def write_network(folder: Path, card: str, history: str, events: str = "", dial: str = "") -> None:
    folder.mkdir(parents=True)
    (folder / "model_card.md").write_text(card)
    (folder / "history.csv").write_text(history)
    (folder / "events.csv").write_text(f"step,kind,what,value\n{events}")
    if dial:
        (folder / "dial.csv").write_text(dial)
    random = np.random.default_rng(0).random
    steps = {f"step-{step:06d}": random((2, 16, 20), dtype=np.float32) for step in (0, 20, 40)}
    low, reference = random((2, 4, 5), dtype=np.float32), random((2, 16, 20), dtype=np.float32)
    save_file({"lr": low, "reference": reference, **steps}, folder / "samples.safetensors")


def model(history: str, method: str = "brainsr") -> ModelRecord:
    import io

    table = pd.read_csv(io.StringIO(history), keep_default_na=False, na_values=[""])
    return ModelRecord(method, CARD, table)


def config(**changes: Any) -> dict[str, Any]:
    train = {"initial_weights": "realesrgan-6b"}
    infer = {"deliver": "brainsr", "data_consistency": True}
    degrade = {"direction": "in_plane"}
    return {"run": "small", "train": train, "infer": infer, "degrade": degrade, "recipes": {}, **changes}


def command(folder: Path, output: Path) -> list[str]:
    models = sorted(str(path) for path in (folder / "models").iterdir())
    settings = ["--provenance", str(folder / "provenance.json"), "--settings", '{"title": "BrainSR"}']
    return ["report_training", "--models", *models, *settings, "--output", str(output)]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    (folder / "models/pretrained").mkdir(parents=True)
    (folder / "models/pretrained/model_card.md").write_text("# Untouched\n")
    (folder / "models/pretrained/history.csv").write_text("step,learning_rate,loss\n")
    plain = "step,learning_rate,loss,seconds\n1,1e-4,0.5,0.5\n2,1e-4,0.25,0.6\n"
    write_network(folder / "models/mine", f"# Mine\n\n- Recipe: {HOSTILE}\n", plain)
    events = f'20,skipped_step,"{HOSTILE.replace(chr(34), chr(34) * 2)}",inf\n30,rolled_back,it fell,-1.25\n'
    write_network(folder / "models/brainsr", CARD, HISTORY, events, DIAL)
    provenance(config()).write(folder / "provenance.json")
    return folder


@pytest.fixture(scope="module")
def page(run) -> str:
    assert main(command(run, run / "training.html")) == 0
    return (run / "training.html").read_text(encoding="utf-8")


# Curves


def test_rows_without_a_value_are_left_out_of_its_course():
    x, y = history_values(model(HISTORY), "val_psnr")
    assert x.tolist() == [20, 40]
    assert y.tolist() == [24.5, 24.25]
    assert history_values(model(HISTORY), "gradient_generator")[0].tolist() == [10, 20, 40]
    assert history_values(model(HISTORY), "discriminator_real", "diversity")[0].tolist() == [20, 40]
    assert [one.size for one in history_values(model(HISTORY), "absent")] == [0, 0]


def test_a_word_in_the_history_is_told_with_the_method():
    with pytest.raises(UserError, match=r"history\.csv of brainsr: .*oops"):
        history_values(model("step,loss\n1,oops\n"), "loss")


def test_long_lines_become_means_with_the_range_behind_them():
    y = np.random.default_rng(0).random(3 * MAX_POINTS)
    line = thinned(Line("a", np.arange(y.size, dtype=float), y, "part"))
    groups = y.reshape(MAX_POINTS, 3)
    assert line.band is not None
    np.testing.assert_allclose(line.y, groups.mean(axis=1))
    np.testing.assert_array_equal(line.band, (groups.min(axis=1), groups.max(axis=1)))
    np.testing.assert_allclose(line.x, np.arange(MAX_POINTS) * 3 + 1)
    uneven = thinned(Line("a", np.arange(MAX_POINTS + 1.0), np.ones(MAX_POINTS + 1), "part"))
    assert uneven.y.tolist() == [1.0] * MAX_POINTS


def test_every_part_of_the_history_is_drawn_and_told():
    drawings = training_figures(model(HISTORY), [TrainingEvent(20, "rolled_back", "", 0.0)])
    texts = [drawing.alt for drawing in drawings]
    for text in (
        "total loss from 0.5 to 0.2 over 40 steps",
        "adversarial from 0.7 to 0.8",
        "PSNR from 24.5 to 24.25",
        "generator from 0.3 to 0.1",
        "difference from 0 to 0.6",
        "diversity from 0.8 to 0.7",
    ):
        assert sum(text in one for one in texts) == 1, text
    assert all("rolled back 1 times" in text for text in texts)
    assert not any("61.5" in text or "second" in text for text in texts)


def test_a_pixel_network_has_no_drawing_of_a_discriminator():
    drawings = training_figures(model("step,learning_rate,loss,loss_l1\n1,1e-4,0.1,0.1\n2,1e-4,0.2,0.2\n"), [])
    assert [drawing.alt.split(":")[0] for drawing in drawings] == [
        "BrainSR, generator loss",
        "BrainSR, learning rate",
    ]


def test_marks_are_drawn_and_many_of_them_cost_little():
    lines = [Line("a", np.arange(100.0), np.arange(100.0), "part")]
    bare = draw_lines("t", "x", "y", lines)
    few = draw_lines("t", "x", "y", lines, marks=[Marks("rolled_back", "back", (50.0,))])
    many = draw_lines("t", "x", "y", lines, marks=[Marks("new_kind", "new", tuple(np.linspace(0, 99, 5000)))])
    assert len(bare) < len(few)
    assert len(many) < len(bare) + 20_000
    assert few == draw_lines("t", "x", "y", lines, marks=[Marks("rolled_back", "back", (50.0,))])


def test_what_is_not_positive_is_left_out_of_a_logarithmic_drawing():
    x = np.arange(4.0)
    with_zero = draw_lines("t", "x", "y", [Line("a", x, np.array([1, 0, 10, 100.0]), "part")], logarithmic=True)
    without = draw_lines("t", "x", "y", [Line("a", x[[0, 2, 3]], np.array([1, 10, 100.0]), "part")], logarithmic=True)
    assert with_zero == without


def test_paths_are_written_short_without_moving_them():
    from pipeline.reporting.figures.svg import _compact

    path = re.search(".+", "M 1.2345 2 L 3.456 4 L 5 -6.789 Q 1 2 3 4 L 5 60 L 7 8 z")
    assert path
    assert _compact(path) == "M 1.2 2 L 3.5 4 5 -6.8 Q 1 2 3 4 L 5 60 7 8 z"


def test_the_overview_has_a_line_for_every_network_that_was_validated():
    other = model("step,loss,val_psnr\n1,0.1,\n2,0.1,22.5\n", "mine")
    untouched = model("step,learning_rate,loss\n", "pretrained")
    without = model("step,loss,val_psnr\n1,0.1,\n", "esrgan")
    drawings = overview_figures([model(HISTORY), other, untouched, without], "brainsr")
    assert [drawing.alt.split(":")[0] for drawing in drawings] == ["Validation PSNR", "Validation SSIM"]
    assert "mine from 22.5 to 22.5 over 2 steps; BrainSR from 24.5 to 24.25 over 40 steps" in drawings[0].alt
    assert "mine" not in drawings[1].alt
    assert all("ESRGAN" not in drawing.alt and "Pretrained" not in drawing.alt for drawing in drawings)


def test_the_best_value_goes_by_the_direction_of_its_measure():
    found = validation_metrics(model("step,val_psnr,val_perceptual\n1,24,0.5\n2,26,0.2\n3,25,0.3\n"))
    assert (found["val_psnr"].best, found["val_psnr"].best_step, found["val_psnr"].last) == (26, 2, 25)
    assert (found["val_perceptual"].best, found["val_perceptual"].best_step) == (0.2, 2)


# Dial


def test_the_dial_is_read_by_rising_alpha_and_described(tmp_path):
    (tmp_path / "dial.csv").write_text(DIAL)
    settings = read_dial(tmp_path)
    assert [one.alpha for one in settings] == [0, 0.5, 1]
    assert [one.chosen for one in settings] == [False, True, False]
    text = dial_figure(settings, "BrainSR").alt
    assert "alpha 0.5: 24.30 dB at distance 0.2, chosen" in text
    assert "alpha 1: 23.50 dB at distance 0.11, not allowed" in text


@pytest.mark.parametrize(("old", "new"), [("true,true", "perhaps,true"), ("0.30", "wide")])
def test_a_damaged_dial_is_named(tmp_path, old, new):
    (tmp_path / "dial.csv").write_text(DIAL.replace(old, new, 1))
    with pytest.raises(UserError, match=r"dial\.csv"):
        read_dial(tmp_path)


# Excerpts


def test_the_first_and_the_last_step_are_always_shown():
    assert shown_steps([0, 5, 9]) == [0, 5, 9]
    shown = shown_steps(list(range(0, 1001, 10)))
    assert len(shown) == MAX_STEPS
    assert (shown[0], shown[-1]) == (0, 1000)
    assert shown == sorted(set(shown))


def test_excerpts_stand_in_the_order_of_time_and_fit_into_the_budget(monkeypatch):
    monkeypatch.setattr("pipeline.reporting.figures.excerpts.BUDGET_BYTES", 100_000)
    random = np.random.default_rng(0).random
    reference = random((3, 80, 80))
    samples = Samples(random((3, 20, 20)), reference, {0: random(reference.shape), 100: random(reference.shape)})
    grids = excerpt_grids([samples, samples], ["One", "Two"])
    assert grids[0].headings == ("Low resolution", "Step 0", "Step 100", "Reference")
    assert len(grids[0].rows) == 3
    assert not grids[0].lossless
    small = Samples(reference[:, :4, :4], reference[:, :16, :16], {7: reference[:, :16, :16]})
    (grid,) = excerpt_grids([small], ["One"])
    assert grid.lossless
    assert grid.size_bytes < 100_000
    assert grid.rows[1][1].alt == "One, excerpt 2: step 7"
    assert grid.rows[1][1].image == grid.rows[1][2].image
    assert grid.rows[0][1].image != grid.rows[1][1].image


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"reference": None}, "'reference' is missing"),
        ({"lr": (3, 4, 4)}, "not stacks"),
        ({"step-000100": (2, 8, 8)}, "step 100"),
    ],
)
def test_excerpts_that_do_not_fit_are_refused(tmp_path, changes, expected):
    shapes = {"lr": (2, 4, 4), "reference": (2, 16, 16), "step-000100": (2, 16, 16), **changes}
    arrays = {name: np.zeros(shape, np.float32) for name, shape in shapes.items() if shape}
    save_file(arrays, tmp_path / "samples.safetensors")
    with pytest.raises(UserError, match=expected):
        read_samples(tmp_path / "samples.safetensors")


# Words and names


def test_the_list_of_a_card_becomes_facts():
    assert card_facts(CARD) == [
        ("Recipe", "made here; with a second part"),
        ("Training volumes", "low: subject S1, axial slices 8 to 19; mid: subject S1, axial slices 30 to 35"),
        ("Validation volumes (used to choose settings, no evidence of quality)", "val: subject S2"),
        ("Loss", "1 x l1; Adam, learning rate 0.0002"),
    ]
    assert card_facts("# Nothing\n") == []


def test_where_events_are_many_the_grave_ones_are_listed():
    steps = [*range(1, 200), 200]
    kinds = [*["skipped_step"] * 199, "rolled_back"]
    rows = event_rows([TrainingEvent(step, kind, "x", np.nan) for step, kind in zip(steps, kinds, strict=True)])
    assert len(rows) == MAX_EVENTS
    assert [cell.text for cell in rows[-1]] == ["200", "rolled back", "x", ""]
    assert [row[0].number for row in rows] == sorted(float(row[0].text) for row in rows)


def test_networks_have_titles_an_order_and_colours_of_their_own():
    assert set(preset_names()) <= set(NETWORKS)
    assert {network.reference for network in NETWORKS.values()} - {""} <= set(works())
    names = [*NETWORKS, "mine", "another"]
    assert len(set(network_colours(names).values())) == len(names)
    assert network_colours(["srgan"])["srgan"] == network_colours(names)["srgan"]
    expected = [
        "bicubic",
        "pretrained",
        "rrdb_l1",
        "fast",
        "srresnet",
        "srgan",
        "esrgan",
        "real-esrgan",
        "another",
        "mine",
        "brainsr",
    ]
    assert in_order(["bicubic", *names], "brainsr") == expected
    assert method_title("mine") == "mine"


def test_the_methods_tell_how_presets_and_own_recipes_were_trained():
    own = {"based_on": "brainsr", "steps": 77, "learning_rate": 3e-5}
    record = provenance(config(recipes={"mine": own}))
    books = Bibliography()
    text = describe_networks(record, ["pretrained", *preset_names(), "mine", "unknown"], "brainsr", books).text
    for name in preset_names():
        assert f"\N{LEFT DOUBLE QUOTATION MARK}{method_title(name)}\N{RIGHT DOUBLE QUOTATION MARK} is" in text
    assert "for 77 steps" in text
    assert "learning rate 3e-05" in text
    assert "0.001 x adversarial (standard, vgg style)" in text
    assert "trained from scratch" in text
    assert {works()[key].reference for key in ("srgan", "esrgan", "real-esrgan", "ldl", "adam", "consistency")} <= set(
        books.references
    )


def test_without_trained_networks_no_training_is_described():
    record = provenance(config())
    text = describe_networks(record, ["pretrained"], "pretrained", Bibliography()).text
    assert "Adam" not in text
    assert "data-consistency" not in text


# Page


def test_the_page_shows_every_network(page):
    text = " ".join(re.sub(r"<[^>]*>", " ", page).split())
    assert "Used without further training: Pretrained network." in text
    assert text.count("None: no step was skipped") == 1
    assert "rolled back (1)" in text
    assert "0.5 chosen" in text
    assert text.count("Settings of the fidelity dial") == 1
    assert "24.25" in text and "24.5 step 20" in text
    assert len(page) < 3_000_000
    images = [attributes for tag, attributes in Tags(page).found if tag == "img"]
    assert sum("excerpt" in str(one["alt"]) for one in images) == 2 * 2 * 5


def test_the_page_needs_nothing_from_elsewhere_and_escapes_what_comes_from_data(page):
    tags = Tags(page)
    assert tags.open == []
    assert HOSTILE not in page
    assert "&lt;script&gt;alert" in page
    assert sum(tag == "script" for tag, _ in tags.found) == 1
    for tag, attributes in tags.found:
        assert tag != "img" or attributes.get("alt")
        target = attributes.get("src") or attributes.get("href") or "#"
        local = target.startswith(("data:", "#")) or target == "index.html"
        assert local or target.startswith(("https://doi.org/", "https://arxiv.org/"))
    identifiers = [attributes["id"] for _, attributes in tags.found if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    links = {str(attributes["href"])[1:] for _, attributes in tags.found if str(attributes.get("href")).startswith("#")}
    assert links <= set(identifiers)


def test_drawings_are_vector_pictures_that_can_be_parsed(page):
    from xml.etree import ElementTree

    found = re.findall(r"data:image/svg\+xml;base64,([^\"]+)", page)
    assert len(found) > 10
    for text in found:
        root = ElementTree.fromstring(base64.b64decode(text))
        assert root.tag.endswith("svg")
        assert list(root.iter("{http://www.w3.org/2000/svg}path"))


def test_the_clock_of_the_training_does_not_reach_the_page(run, page):
    path = run / "models/brainsr/history.csv"
    before = path.read_text()
    try:
        path.write_text(before.replace(",61.5", ",99.9"))
        assert main(command(run, run / "again.html")) == 0
        assert (run / "again.html").read_text(encoding="utf-8") == page
    finally:
        path.write_text(before)


def test_an_untouched_network_needs_its_card_and_an_empty_history_only(run):
    training = read_training(run / "models/pretrained")
    assert not training.trained
    assert training.samples is None


@pytest.mark.parametrize("name", ["events.csv", "samples.safetensors", "history.csv"])
def test_a_missing_file_of_a_trained_network_is_named(tmp_path, name):
    write_network(tmp_path / "models/mine", CARD, HISTORY)
    provenance(config()).write(tmp_path / "provenance.json")
    (tmp_path / "models/mine" / name).unlink()
    message = the_message(run_step(*command(tmp_path, tmp_path / "page.html")))
    assert name in message
    assert not (tmp_path / "page.html").exists()

"""Recipes: the presets, what a configuration changes of them, and the mistakes that are told."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from pipeline.config.load import read_run
from pipeline.config.recipe import PRESETS, Recipe, filled, preset, preset_names
from pipeline.errors import UserError
from tests.helpers import configuration

NAMES = ["brainsr", "esrgan", "fast", "real-esrgan", "rrdb_l1", "srgan", "srresnet"]


def recipe_of(name: str, given: dict[str, Any] | None = None) -> Recipe:
    return Recipe.model_validate_json(json.dumps(filled(name, given or {})))


def mistakes(**changes: Any) -> str:
    with pytest.raises(UserError) as caught:
        read_run(configuration(**changes))
    return str(caught.value)


def test_all_presets_are_valid_and_name_their_source():
    assert preset_names() == NAMES == sorted(path.stem for path in PRESETS.glob("*.yaml"))
    for name in NAMES:
        recipe = recipe_of(name)
        assert recipe.source, name
        assert recipe.starts_from in (*NAMES, "scratch", "pretrained"), name
        assert read_run(configuration(methods=[name], infer={"deliver": name})).recipe(name) == recipe


def test_srgan_is_as_published():
    """Ledig et al., CVPR 2017: VGG features divided by 12.75 before the error is squared, adversarial loss 1e-3."""
    recipe = recipe_of("srgan")
    assert recipe.losses == {"perceptual": 1.0}
    assert recipe.perceptual.layers == {"conv5_4": 1.0}
    assert (recipe.perceptual.activation, recipe.perceptual.criterion) == ("after", "mse")
    assert recipe.perceptual.scale == pytest.approx(1 / 12.75, rel=1e-3)
    assert recipe.perceptual.scale**2 == pytest.approx(0.006, rel=0.03)
    assert recipe.adversarial is not None
    assert (recipe.adversarial.loss, recipe.adversarial.weight) == ("standard", 1e-3)
    assert recipe.adversarial.discriminator == "vgg_style"
    assert recipe.learning_rate == recipe.adversarial.learning_rate == 1e-4
    assert recipe.starts_from == "srresnet"
    start = recipe_of("srresnet")
    assert (start.starts_from, start.architecture, start.blocks, start.features) == ("scratch", "srresnet", 16, 64)
    assert start.losses == {"mse": 1.0}
    assert start.learning_rate == 1e-4
    assert start.adversarial is None


def test_esrgan_is_as_published():
    """Wang et al., ECCV Workshops 2018, section 4.1: L = L_percep + 5e-3 L_G + 1e-2 L_1, features before ReLU."""
    recipe = recipe_of("esrgan")
    assert recipe.losses == {"perceptual": 1.0, "l1": 1e-2}
    assert recipe.perceptual.layers == {"conv5_4": 1.0}
    assert (recipe.perceptual.activation, recipe.perceptual.criterion) == ("before", "l1")
    assert recipe.perceptual.scale == 1.0
    assert recipe.adversarial is not None
    assert (recipe.adversarial.loss, recipe.adversarial.weight) == ("relativistic", 5e-3)
    assert recipe.adversarial.discriminator == "vgg_style"
    assert recipe.learning_rate == recipe.adversarial.learning_rate == 1e-4
    assert recipe.starts_from == "rrdb_l1"
    assert recipe.dial is None


def test_real_esrgan_is_as_published():
    """Wang et al., ICCV Workshops 2021, section 4.1: weights 1, 1, 0.1; features weighted 0.1, 0.1, 1, 1, 1."""
    recipe = recipe_of("real-esrgan")
    assert recipe.losses == {"l1": 1.0, "perceptual": 1.0}
    weights = {"conv1_2": 0.1, "conv2_2": 0.1, "conv3_4": 1.0, "conv4_4": 1.0, "conv5_4": 1.0}
    assert recipe.perceptual.layers == weights
    assert (recipe.perceptual.activation, recipe.perceptual.criterion) == ("before", "l1")
    assert recipe.adversarial is not None
    assert (recipe.adversarial.loss, recipe.adversarial.weight) == ("standard", 0.1)
    assert (recipe.adversarial.discriminator, recipe.adversarial.features) == ("unet_sn", 64)
    assert recipe.learning_rate == recipe.adversarial.learning_rate == 1e-4
    assert recipe.ema_decay == 0.999


def test_one_changed_value_leaves_the_others_as_they_are():
    changed = recipe_of("brainsr", {"adversarial": {"weight": 0.01}, "steps": 7})
    before = recipe_of("brainsr").model_dump()
    expected = {**before, "steps": 7, "adversarial": {**before["adversarial"], "weight": 0.01}}
    assert changed.model_dump() == expected


@pytest.mark.parametrize("given", [{"losses": {"mse": 2.0}}, {"perceptual": {"layers": {"conv3_4": 1.0}}}])
def test_tables_of_terms_are_taken_whole(given):
    recipe = recipe_of("real-esrgan", given)
    if "losses" in given:
        assert recipe.losses == {"mse": 2.0}
    else:
        assert recipe.perceptual.layers == {"conv3_4": 1.0}
        assert recipe.perceptual.activation == "before"


def test_a_section_can_be_taken_away():
    assert recipe_of("brainsr", {"dial": None}).dial is None
    assert recipe_of("esrgan", {"adversarial": None}).adversarial is None


def test_a_recipe_of_ones_own_may_be_based_on_a_preset_or_on_nothing():
    mine = {"based_on": "esrgan", "losses": {"l1": 1.0}}
    run = read_run(configuration(methods=["mine"], recipes={"mine": mine}, infer={"deliver": "mine"}))
    expected = {**recipe_of("esrgan").model_dump(), "based_on": "esrgan", "losses": {"l1": 1.0}}
    assert run.recipe("mine").model_dump() == expected
    bare = read_run(configuration(methods=["bare"], recipes={"bare": {}}, infer={"deliver": "bare"}))
    assert bare.recipe("bare") == Recipe()


def test_a_preset_is_not_changed_by_what_a_configuration_makes_of_it():
    before = yaml.safe_dump(preset("brainsr"))
    recipe_of("brainsr", {"adversarial": {"weight": 9.0}, "unfreeze": {"trunk_from": 0.9}, "losses": {"l1": 9.0}})
    assert yaml.safe_dump(preset("brainsr")) == before


def trained(methods: list[str], **recipes: Any) -> list[str]:
    return read_run(configuration(methods=methods, recipes=recipes, infer={"deliver": "pretrained"})).trained_methods


def test_networks_are_trained_after_those_they_start_from_and_once():
    assert trained(["brainsr"]) == ["rrdb_l1", "brainsr"]
    assert trained(["srgan"]) == ["srresnet", "srgan"]
    assert trained(["rrdb_l1"]) == ["rrdb_l1"]
    assert trained(["esrgan", "brainsr", "srgan"]) == ["rrdb_l1", "esrgan", "brainsr", "srresnet", "srgan"]
    assert trained(["brainsr", "rrdb_l1"]) == ["rrdb_l1", "brainsr"]
    chained = trained(["last"], last={"starts_from": "middle"}, middle={"starts_from": "brainsr"})
    assert chained == ["rrdb_l1", "brainsr", "middle", "last"]
    taught = {"starts_from": "fast", "teacher": "brainsr", "losses": {"distillation": 1.0}}
    assert trained(["taught"], taught=taught) == ["fast", "rrdb_l1", "brainsr", "taught"]
    run = read_run(configuration())
    assert run.network_methods == ["pretrained", "rrdb_l1", "brainsr"]


def test_a_run_without_methods_has_the_pretrained_network_if_it_supports_the_factor():
    for factor, expected in ((4, ["pretrained"]), (5, []), (5.5556, [])):
        run = read_run(configuration(methods=[], degrade={"factor": factor}, infer={"deliver": "bspline3"}))
        assert run.network_methods == expected
        assert not run.is_self_supervised


def test_a_run_without_methods_needs_no_training_volumes():
    without = [volume for volume in configuration()["volumes"] if volume["split"] != "train"]
    changes: dict[str, Any] = {"volumes": without, "degrade": {"factor": 2.5}, "infer": {"deliver": "bspline3"}}
    assert read_run(configuration(**changes, methods=[])).trained_methods == []
    with pytest.raises(UserError, match="none is in split 'train'"):
        read_run(configuration(**changes, methods=["brainsr"]))


def test_only_recipes_that_compare_features_need_a_vgg():
    needing = {name for name in NAMES if recipe_of(name).needs_perceptual}
    assert needing == {"brainsr", "esrgan", "real-esrgan", "srgan"}
    assert Recipe.model_validate({"dial": {}}).needs_perceptual


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"methods": ["esrgann"]}, ("methods[0]", "'esrgann'", "'esrgan'?")),
        ({"recipes": {"mine": {"based_on": "brainsrr"}}}, ("recipes.mine.based_on", "'brainsr'?")),
        ({"recipes": {"mine": {"starts_from": "rrdb_l2"}}}, ("recipes.mine.starts_from", "'rrdb_l2'", "'rrdb_l1'?")),
        ({"recipes": {"mine": {"starts_from": "mine"}}}, ("recipes.mine.starts_from", "no network 'mine'")),
        (
            {"recipes": {"a": {"starts_from": "b"}, "b": {"starts_from": "a"}}},
            ("recipes.a.starts_from: 'b' depends on 'a' itself", "recipes.b.starts_from"),
        ),
        (
            {"recipes": {"rrdb_l1": {"starts_from": "brainsr"}}},
            ("recipes.rrdb_l1.starts_from", "depends on 'rrdb_l1' itself"),
        ),
        (
            {"recipes": {"rrdb_l1": {"teacher": "brainsr", "losses": {"distillation": 1.0}}}},
            ("recipes.rrdb_l1.teacher: 'brainsr' depends on 'rrdb_l1' itself",),
        ),
        (
            {"recipes": {"mine": {"teacher": "brainsrr", "losses": {"distillation": 1.0}}}},
            ("recipes.mine.teacher: there is no network 'brainsrr'", "'brainsr'?"),
        ),
        ({"recipes": {"mine": {"losses": {"distillation": 1.0}}}}, ("recipes.mine", "the term requires a teacher")),
        ({"recipes": {"mine": {"teacher": "brainsr"}}}, ("recipes.mine", "requires the loss term `distillation`")),
        (
            {
                "recipes": {"brainsr": {"teacher": "pretrained", "losses": {"distillation": 1.0}}},
                "degrade": {"factor": 2},
            },
            ("recipes.brainsr.teacher: realesrgan-6b (train.initial_weights) enlarges by 4, but the run by 2",),
        ),
        ({"recipes": {"scratch": {}}}, ("recipes.scratch: the name is reserved",)),
        ({"recipes": {"bicubic": {}}}, ("recipes.bicubic: the name is reserved",)),
        ({"recipes": {"mine": {"losses": {}}}}, ("recipes.mine", "no loss")),
        ({"recipes": {"mine": {"losses": {"l11": 1.0}}}}, ("recipes.mine.losses", '"l11"', "'l1'?")),
        ({"recipes": {"mine": {"losses": {"l1": 0.0}}}}, ("recipes.mine.losses.l1", "> 0")),
        (
            {"recipes": {"mine": {"noise_sigma_range": [0.05, 0.01]}}},
            ("recipes.mine", "[0.05, 0.01] must be ascending"),
        ),
        ({"recipes": {"mine": {"starts_from": "scratch", "dial": {}}}}, ("recipes.mine", "no initial network")),
        ({"recipes": {"mine": {"stepss": 3}}}, ("recipes.mine.stepss", "steps")),
        ({"recipes": {"esrgan": {"adversarial": {"wait": 1.0}}}}, ("recipes.esrgan.adversarial.wait", "weight")),
        ({"recipes": {"mine": 3}}, ("recipes.mine",)),
        ({"recipes": [1]}, ("recipes",)),
        ({"infer": {"deliver": "esrgan"}}, ("infer.deliver", "'esrgan' is unknown")),
    ],
)
def test_mistakes_are_reported_with_place_and_nearest_name(changes, parts):
    message = mistakes(**changes)
    for part in parts:
        assert part in message


def test_all_mistakes_are_reported_at_once():
    message = mistakes(
        methods=["nothing"], recipes={"mine": {"based_on": "nothing", "steps": 0}}, train={"accumulate": 0}
    )
    assert "recipes.mine.steps" in message
    assert "train.accumulate" in message

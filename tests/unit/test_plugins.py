"""A file in a plug-in package is a plug-in, known by its name."""

from __future__ import annotations

import pytest

from pipeline import plugins
from pipeline.config.names import PluginName
from pipeline.errors import UserError

PACKAGES = {
    "pipeline.formats": ("SUFFIXES", "read", "write"),
    "pipeline.metrics": ("HIGHER_IS_BETTER", "PERFECT"),
    "pipeline.physics.noise": ("add_noise", "expected_value", "standard_deviation", "Parameters", "MAGNITUDE"),
    "pipeline.physics.operators": ("COARSENS", "Parameters"),
    "pipeline.training.adversarial": ("discriminator_loss", "generator_loss"),
    "pipeline.training.losses": ("loss",),
    "pipeline.baselines": ("upsample", "TITLE", "DESCRIPTION"),
}


@pytest.mark.parametrize("constant", ["NEEDS_FEATURES", "NEEDS_LR", "SINGLE_PROPERTY", "TITLE"])
def test_a_constant_is_read_without_importing(constant: str) -> None:
    for name in plugins.names("pipeline.metrics"):
        module = plugins.load("pipeline.metrics", name)
        assert plugins.constant("pipeline.metrics", name, constant) == getattr(module, constant, None)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_plugin_offers_what_its_package_promises(package: str) -> None:
    assert plugins.names(package)
    for name in plugins.names(package):
        module = plugins.load(package, name)
        assert [member for member in PACKAGES[package] if not hasattr(module, member)] == []
        assert module.__doc__


def test_helpers_with_an_underscore_are_no_plugins() -> None:
    assert "_pillow" not in plugins.names("pipeline.baselines")
    assert {"nearest", "bicubic", "lanczos", "zerofill"} <= set(plugins.names("pipeline.baselines"))


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"no metrics called 'psrn'; did you mean 'psnr'\?"):
        plugins.load("pipeline.metrics", "psrn")


def test_a_name_like_no_other_is_answered_with_the_list() -> None:
    assert plugins.suggest("zzz", ["b", "a"]) == "choose one of b, a"


def test_the_configuration_knows_the_same_names() -> None:
    check = PluginName("pipeline.physics.noise")
    assert {"none", "rician"} <= {check(name) for name in plugins.names("pipeline.physics.noise")}
    with pytest.raises(ValueError, match="did you mean 'rician'"):
        check("ricean")

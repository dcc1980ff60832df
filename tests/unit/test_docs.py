"""The README stays short, its commands exist, and the reference pages of the site list all keys and commands."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from types import ModuleType

import pytest
from pydantic import BaseModel

from pipeline.__main__ import COMMANDS
from pipeline.config.run import Run
from pipeline.steps._framework import names
from tests.helpers import CHECKOUT

MAX_WORDS = 1200
README = (CHECKOUT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", CHECKOUT / "docs/generate.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_readme_is_short():
    assert len(README.split()) <= MAX_WORDS


@pytest.mark.parametrize("file", ["README.md", "CONTRIBUTING.md", "docs/getting-started.md"])
def test_every_make_target_and_command_exists(file):
    text = (CHECKOUT / file).read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):.*## ", (CHECKOUT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE)) <= targets
    assert set(re.findall(r"(?:^|`)brainsr ([a-z]+)", text, re.MULTILINE)) <= set(COMMANDS)


def test_links_of_the_readme_lead_to_files():
    targets = [link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert targets
    assert [target for target in targets if not (CHECKOUT / target).exists()] == []


def test_every_statement_of_what_is_tested_names_tests_that_exist():
    page = (CHECKOUT / "docs/tested.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (?!statement|---).* \| (.*) \|$", page, re.MULTILINE)
    assert len(rows) > 15
    for tests in rows:
        for test in tests.split(", "):
            named = re.fullmatch(r"`(tests/[\w/]+\.py)::(\w+)`", test)
            assert named, test
            text = (CHECKOUT / named[1]).read_text(encoding="utf-8")
            assert re.search(rf"^def {named[2]}\(", text, re.MULTILINE), test


def test_the_configuration_page_lists_every_key(generate):
    page = generate.configuration()
    assert [name for name in Run.model_fields if f"\n## {name}\n" not in page] == []
    sections = [field.annotation for field in Run.model_fields.values()]
    keys = [key for model in sections if is_model(model) for key in all_keys(model)]  # pyright: ignore[reportArgumentType]
    assert len(keys) > 50
    assert set(keys) <= set(re.findall(r"\n\n *`(\w+)`\n *:   \S", page))


def test_the_command_line_page_lists_every_command_and_step(generate):
    page = generate.command_line()
    assert [name for name in COMMANDS if f"## brainsr {name}\n" not in page] == []
    assert [name for name in names() if f"- `{name}`: " not in page] == []
    assert "--noise-sigma" in page


def test_the_api_has_every_package_that_is_of_use_alone(generate):
    packages = {path.parent.name for path in (CHECKOUT / "pipeline").glob("*/__init__.py")}
    assert packages - {"commands", "steps", "config", "sources", "provenance", "reporting"} == set(generate.PACKAGES)


def is_model(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def all_keys(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield name
        if is_model(field.annotation):
            yield from all_keys(field.annotation)  # pyright: ignore[reportArgumentType]

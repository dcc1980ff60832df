"""Build of the package: its dependencies, and the files of the workflow that it contains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

WORKFLOW = (
    *("Snakefile", "config.yaml", "workflow", "profiles", "envs", "reports", "examples"),
    *("requirements/run.in", "requirements/optional.in"),
)
"""Files and folders that the package contains in `pipeline/_workflow`, see WORKFLOW_FOLDER in pipeline/__init__.py."""


class RequirementsHook(MetadataHookInterface):
    """Reads the dependencies from the lists in this folder."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set the dependencies; the extra `fast` contains the optional packages, which speed up inference on CPUs."""
        folder = Path(self.root) / "requirements"
        metadata["dependencies"] = _requirements(folder / "run.in")
        metadata["optional-dependencies"] = {"fast": _requirements(folder / "optional.in")}


class WorkflowHook(BuildHookInterface):
    """Adds the workflow to the package."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the files of the workflow, unless the package is installed in editable mode, from a checkout."""
        if version != "editable":
            build_data["force_include"] |= {path: f"pipeline/_workflow/{path}" for path in WORKFLOW}


def _requirements(path: Path) -> list[str]:
    """Return the requirements of a list, without those of other lists that it includes."""
    lines = map(str.strip, path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith(("#", "-"))]

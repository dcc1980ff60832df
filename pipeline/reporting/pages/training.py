"""The training page: curves, events of the sentinel, excerpts and fidelity dial of every network."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.config.sections import Report
from pipeline.provenance.record import Provenance
from pipeline.reporting.page import Page
from pipeline.reporting.section import Section
from pipeline.reporting.sections import training_network, training_overview
from pipeline.reporting.sections.references import references_section
from pipeline.reporting.training_record import TrainingRecord, TrainingReport


def training_page(trainings: Sequence[TrainingRecord], record: Provenance, settings: Report) -> str:
    """Render the page of all trainings as HTML.

    Args:
        trainings: records of all networks, including those without training.
        record: provenance record (provenance.json).
        settings: section `report` of the configuration.

    Raises:
        UserError: a table of a training contains invalid values.
    """
    report = TrainingReport(tuple(trainings), record)
    networks, references = training_network.network_sections(report)
    sections: list[Section] = [training_overview.for_training(report), *networks]
    if references:
        sections.append(references_section(references))
    run = record.config.run
    page = Page(
        site_title=settings.title,
        title=f"Training of {run}",
        heading=f"Training of the networks of {run}",
        sections=tuple(sections),
        version=record.brainsr,
        pages=(("index.html", "All volumes"),),
    )
    return page.html()

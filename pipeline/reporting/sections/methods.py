"""Methods of the run in prose, from its records."""

from __future__ import annotations

from pipeline.physics.forward import ForwardModel
from pipeline.reporting import methods_text
from pipeline.reporting.literature import Bibliography
from pipeline.reporting.section import Block, Heading, Preformatted, Section, Text
from pipeline.reporting.templates import cited
from pipeline.reporting.volume_report import VolumeReport


def for_volume(volume: VolumeReport) -> Section:
    """Return the methods behind the results of a volume, also as plain text to copy."""
    paragraphs, references = volume_methods(volume)
    blocks: list[Block] = []
    for paragraph in paragraphs:
        blocks += [Heading(paragraph.heading), Text(cited(paragraph.text), "prose")]
    numbered = "\n".join(f"[{number}] {text}" for number, text in enumerate(references, start=1))
    plain = "\n\n".join(f"{paragraph.heading}\n{paragraph.text}" for paragraph in paragraphs)
    blocks.append(Preformatted("Methods as plain text", f"{plain}\n\nReferences\n{numbered}\n", "methods-text"))
    return Section("methods", "Methods", tuple(blocks), link="Methods")


def volume_methods(volume: VolumeReport) -> tuple[list[methods_text.Paragraph], tuple[str, ...]]:
    """Return the paragraphs on a volume and the references that they cite."""
    record, books = volume.run.provenance, Bibliography()
    own = [one for one in record["volumes"] if one["id"] == volume.id]
    trained_on = [one for one in record["volumes"] if one["split"] in ("train", "val") and one not in own]
    model = ForwardModel.from_json(volume.low.facts["forward_model"])
    networks = [model.method for model in volume.run.models]
    paragraphs = [
        methods_text.data_words([*own, *trained_on], record, books),
        methods_text.extraction_words(record, books),
        methods_text.forward_words(model, volume.reference.spacing, volume.reference.unit, books),
        methods_text.network_words(record, networks, volume.deliver, books),
        methods_text.baseline_words(volume.tuned),
        methods_text.measure_words(record, books),
        methods_text.workflow_words(record, books),
    ]
    return paragraphs, books.references

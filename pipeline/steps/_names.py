"""The stages by name. A stage is a module with a docstring, `add_arguments(parser)` and `main(arguments)`."""

from __future__ import annotations

STAGES = {
    "download": "fetch a source and check it",
    "duplicates": "find pictures and volumes that stand in two splits",
    "extract": "read a volume, find the foreground, normalise",
    "degrade": "make the low-resolution volume",
    "self_supervised_pairs": "make training pairs out of a volume of thick slices alone",
    "tune": "choose the settings of denoise-then-interpolate on the validation volumes",
    "convert_weights": "turn downloaded weights into a one-channel network",
    "convert_vgg": "turn downloaded VGG weights into a feature network",
    "train": "fine-tune a network",
    "interpolate": "restore a volume with every baseline",
    "infer": "restore a volume with a network",
    "publish": "give results the names that other programs rely on",
    "denoise": "make a denoised reference of a volume whose reference is noisy",
    "evaluate": "measure every method on a volume",
    "tissue": "measure the volumes of tissue classes",
    "tissue_agreement": "say how far volumes of tissue agree with the reference",
    "insert_structures": "insert small structures and count which of them every method shows",
    "detection_rates": "say which share of what was inserted every method shows, with intervals",
    "calibrate": "find on the validation volumes what a network's disagreement is worth as an error",
    "uncertainty": "make the error map of a volume and measure how well it tells the error",
    "deliver_uncertainty": "write the error map beside the super-resolved volume",
    "merge": "put tables of single volumes into one",
    "gate": "tell whether restored volumes agree with what was measured",
    "enforce": "stop where the delivered volumes contradict what was measured",
    "summarise": "put all measurements into the tables",
    "diagnosis": "ask a classifier whether restored pictures keep their class",
    "reading_page": "write the page on which readers judge images blindly",
    "reading_scores": "turn readers' answers into scores",
    "mismatch": "try networks on images that were degraded otherwise than their training data",
    "provenance": "record what made the results",
    "derivatives": "write a result under its name in a BIDS data set",
    "describe_derivatives": "describe the BIDS data set of the results",
    "report_volume": "write the page of a volume",
    "report_training": "write the page over the trainings",
    "report_resources": "write the page that says where time and memory went",
    "report_index": "write the page over all volumes",
    "ro_crate": "describe a run's folder as an RO-Crate",
    "repeat": "prepare a folder in which a run is repeated from its provenance",
    "compare_runs": "tell whether two runs gave the same",
    "failures": "write a page on a run that failed",
    "apply": "sharpen a file of your own with a trained network",
    "figure": "draw a slice as several methods restored it",
    "table": "print the metric table of a run",
    "configure": "check a configuration, or write the default one and its schema",
}

COMMANDS = ("apply", "figure", "table", "configure", "repeat", "compare_runs")
"""Those of the stages that a person types."""


def module_of(stage: str) -> str:
    """Return the dotted name of the module of a stage."""
    return f"pipeline.{'commands' if stage in COMMANDS else 'steps'}.{stage}"

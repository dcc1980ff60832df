"""The stages by name. A stage is a module with a docstring, `add_arguments(parser)` and `main(arguments)`."""

from __future__ import annotations

STAGES = {
    "download": "fetch a source and check it",
    "duplicates": "find pictures and volumes that stand in two splits",
    "extract": "read a volume, find the foreground, normalise",
    "degrade": "make the low-resolution volume",
    "own_slices": "make training pairs out of a volume of thick slices alone",
    "tune": "choose the settings of denoise-then-interpolate on the validation volumes",
    "convert": "turn downloaded weights into a one-channel network",
    "features": "turn downloaded VGG weights into a feature network",
    "train": "fine-tune a network",
    "interpolate": "restore a volume with every classical method",
    "infer": "restore a volume with a network",
    "denoise": "make a denoised reference of a volume whose truth is noisy",
    "evaluate": "measure every method on a volume",
    "tissue": "measure the volumes of tissue classes",
    "tissue_agreement": "say how far volumes of tissue agree with the truth",
    "summarise": "put all measurements into the tables",
    "diagnosis": "ask a classifier whether restored pictures keep their class",
    "mismatch": "try networks on images that were degraded otherwise than their training data",
    "provenance": "record what made the results",
    "derivatives": "write a result under its name in a BIDS data set",
    "describe_derivatives": "describe the BIDS data set of the results",
    "report": "write the page of a volume",
    "report_training": "write the page over the trainings",
    "index": "write the page over all volumes",
    "apply": "sharpen a file of your own with a trained network",
    "figure": "draw a slice as several methods restored it",
    "table": "print the metric table of a run",
    "configure": "check a configuration, or write the default one and its schema",
}

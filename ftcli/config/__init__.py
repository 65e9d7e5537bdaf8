"""Every option of every command, declared once: its type, its default, its unit, its checks.

A command's configuration is a frozen dataclass; a shared option is inherited, never repeated. `options.py` turns a
class into a Typer signature, the report stores it, the documentation is printed from it. Nothing heavy is imported.
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ftcli.config.adapting import Adapt
from ftcli.config.declare import Numbers, Words
from ftcli.config.looking import Blocks, Cache, Compare, Data, Presets, Report, Schema
from ftcli.config.measuring import Agreement, Criticality, Distortion, Evaluate, Interpolate, Measuring, Predict
from ftcli.config.shared import SETTINGS, Common, Detailed, Loading, Reporting, Resumable, Running
from ftcli.config.training import AUTOMATIC, Finetune, Lpft, Probe, Surgical, Training, Tuning
from ftcli.explain.theory.options import Theory

__all__ = [
    "AUTOMATIC",
    "COMMANDS",
    "SETTINGS",
    "Adapt",
    "Agreement",
    "Blocks",
    "Cache",
    "Command",
    "Common",
    "Compare",
    "Criticality",
    "Data",
    "Distortion",
    "Evaluate",
    "Finetune",
    "Interpolate",
    "Loading",
    "Lpft",
    "Measuring",
    "Numbers",
    "Predict",
    "Presets",
    "Probe",
    "Report",
    "Reporting",
    "Resumable",
    "Running",
    "Schema",
    "Scored_",
    "Surgical",
    "Theory",
    "Training",
    "Tuning",
    "Words",
    "resolved",
]  # fmt: skip


def resolved(config: Common) -> dict[str, Any]:
    """Every option with its value, as JSON has it: the report's `config`."""
    plain: dict[str, Any] = {}
    for field in fields(config):
        value = getattr(config, field.name)
        if isinstance(value, Path):
            value = str(value)
        elif isinstance(value, tuple):
            value = list(value)
        plain[field.name.rstrip("_")] = value
    return plain


@dataclass(frozen=True)
class Command:
    """One row of the program: its options, where it runs ("module:function"), its help."""

    options: type[Common]
    runs: str
    help: str
    panel: str


COMMANDS: dict[str, Command] = {
    "probe": Command(Probe, "ftcli.run:train", "Linear probing: train the head alone, on frozen features.", "Train"),
    "finetune": Command(Finetune, "ftcli.run:train", "Fine-tuning: train everything, from a fresh head.", "Train"),
    "lpft": Command(Lpft, "ftcli.run:train", "LP-FT: probe first, then fine-tune from the probed head.", "Train"),
    "surgical": Command(
        Surgical, "ftcli.run:train", "Surgical fine-tuning: train one part, chosen or found out.", "Train"
    ),
    "adapt": Command(Adapt, "ftcli.run:adapt", "Test-time adaptation to each set, without its labels.", "Train"),
    "evaluate": Command(Evaluate, "ftcli.run:evaluate", "Figures of a model on ID and OOD sets.", "Measure"),
    "predict": Command(Predict, "ftcli.run:predict", "Classes of images without labels, as CSV or parquet.", "Measure"),
    "distortion": Command(
        Distortion, "ftcli.explain.distortion.command:distortion",
        "How far features and weights moved, and what stayed.", "Explain",
    ),
    "agreement": Command(
        Agreement, "ftcli.explain.agreement.command:agreement",
        "Which mistakes models share, and which only one makes.", "Explain",
    ),
    "interpolate": Command(
        Interpolate, "ftcli.explain.interpolation.command:interpolate",
        "The loss on the line between models; averages of weights.", "Explain",
    ),
    "criticality": Command(
        Criticality, "ftcli.explain.criticality.command:criticality",
        "How much each block matters: rewound, and shaken.", "Explain",
    ),
    "theory": Command(
        Theory, "ftcli.explain.theory.command:theory", "Two-layer linear networks under LP, FT and LP-FT.", "Explain"
    ),
    "compare": Command(Compare, "ftcli.look:compare", "Many reports as one table, with paired tests.", "Look"),
    "report": Command(Report, "ftcli.look:report", "The tables of a finished run.", "Look"),
    "blocks": Command(Blocks, "ftcli.look:blocks", "The blocks of a model, in order, with their sizes.", "Look"),
    "data": Command(Data, "ftcli.look:data", "Counts and classes of a set of images.", "Look"),
    "presets": Command(Presets, "ftcli.look:presets", "The named benchmarks.", "Look"),
    "cache": Command(Cache, "ftcli.look:cache", "What is kept between runs; clear removes it.", "Look"),
    "schema": Command(Schema, "ftcli.look:schema", "The JSON Schema of report.json.", "Look"),
}  # fmt: skip

"""The registry: one row per command. The command line, its help and completion, the Python functions, the report's type
and schema, the tables and the documentation are made from it.

A row names code by "module:name", which is imported when it is used: nothing is imported here. A method is one file in
methods/ and a row below; a measure is one folder in explain/ and a row below.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple


class Command(NamedTuple):
    """One command of the program. Names are "module:name"."""

    panel: str  # of the list of commands
    help: str
    options: str  # the class of its options
    function: str  # from these options to an Answer
    title: str = ""  # what tables call the method
    method: str = ""  # of a training method: (loaded, inputs, options, log) -> Trained
    match_head: str = ""  # of a method that starts from the checkpoint's head: (loaded, task, options, log) -> Loaded
    arrange: str = ""  # of a method that has roles of its own for the sets: (task, options) -> Task
    choices: str = ""  # of a method that compares choices: (model, options) -> {choice: number of trainable parameters}
    parts: str = ""  # keys that only its reports have: {key: type}
    tables: str = ""  # (report, width) -> tables, shown in place of the standard ones
    panels: str = ""  # (report) -> panels of its figure, where its tables are its own
    measure: str = ""  # for `--measure NAME`: (start, saved, inputs, log, same_classes=bool) -> {key: part}
    python_name: str = ""  # of its Python function, where a module of the package has the command's name already
    light: bool = False  # imports no module that computes, so it answers at once


def training_row(name: str, title: str, help: str, module: str = "training", **more: Any) -> Command:
    """A row of a method: its options in config/MODULE.py, the method in methods/NAME.py."""
    options = f"ftcli.config.{module}:{name.capitalize()}"
    return Command("Train", help, options, "ftcli.run:train", title, f"ftcli.methods.{name}:{name}", **more)


def measure_row(name: str, help: str, folder: str = "", *, figure: bool = True, **more: Any) -> Command:
    """A row of a measure: its options, function, tables, figure and part of the report in the folder explain/NAME."""
    folder = folder or name
    package = f"ftcli.explain.{folder}"
    return Command(
        "Explain", help, f"{package}.options:{name.capitalize()}", f"{package}.command:{name}",
        parts=f"{package}.types:PARTS", tables=f"{package}.tables:tables",
        panels=f"{package}.tables:panels" if figure else "", **more,
    )  # fmt: skip


def looking_row(name: str, help: str, python_name: str = "", *, light: bool = True) -> Command:
    """A row of a command that trains nothing; `light`: it only shows what is there."""
    function = f"ftcli.{'look' if light else 'report.inputs'}:{name}"
    options = f"ftcli.config.looking:{name.capitalize()}"
    return Command("Look", help, options, function, python_name=python_name, light=light)


COMMANDS: dict[str, Command] = {
    "probe": training_row("probe", "LP", "Linear probing: train the head alone, on frozen features."),
    "finetune": training_row(
        "finetune", "FT", "Fine-tuning: train all weights, starting from a random head.", "tuning"
    ),
    "lpft": training_row("lpft", "LP-FT", "LP-FT: probe first, then fine-tune from the probed head.", "tuning"),
    "surgical": training_row(
        "surgical", "surgical", "Surgical fine-tuning: train only some blocks, given or chosen by gradients.",
        module="surgical",
        match_head="ftcli.methods.surgical:match_head", choices="ftcli.methods.surgical:trainable_by_choice",
    ),
    "dfr": training_row(
        "dfr", "DFR", "Last-layer retraining: fit the head alone, on groups or classes of equal size.",
        module="heads.dfr", arrange="ftcli.methods.dfr:arrange",
    ),
    "adapt": Command(
        "Train", "Test-time adaptation without labels, set by set (TENT, MEMO).", "ftcli.config.adapting:Adapt",
        "ftcli.run:adapt",
    ),
    "evaluate": Command(
        "Measure", "Accuracy, loss and calibration of a model on ID and OOD sets.", "ftcli.config.measuring:Evaluate",
        "ftcli.run:evaluate", "as it is",
    ),
    "predict": Command(
        "Measure", "Predict the classes of images without labels, as CSV, JSON lines or parquet.",
        "ftcli.config.measuring:Predict", "ftcli.run:predict",
    ),
    "distortion": measure_row(
        "distortion", "How much features and weights differ between models.",
        measure="ftcli.explain.distortion.measure:of_training",
    ),
    "agreement": measure_row(
        "agreement", "Which mistakes models share, and which only one of them makes.", figure=False,
    ),
    "interpolate": measure_row(
        "interpolate", "Loss on the line between two models in weight space; weight averages.", folder="interpolation"
    ),
    "criticality": measure_row("criticality", "How much resetting or perturbing each block raises the error."),
    "theory": measure_row("theory", "Simulate LP, FT and LP-FT in two-layer linear networks."),
    "advise": measure_row(
        "advise", "Which kind of shift lies between a model's data and a target, and which blocks to tune.",
        figure=False,
    ),
    "rank": measure_row("rank", "Which checkpoint to start from: how well the features of each fit a training set."),
    "study": Command(
        "Study", "Run methods, benchmarks and seeds as one study, and name the winner.", "ftcli.config.study:Study",
        "ftcli.studies.command:study", light=True,
    ),
    "compare": looking_row("compare", "Compare several reports in one table, with paired tests."),
    "report": looking_row("report", "Print the tables of a finished run again.", "read_report"),
    "runs": looking_row("runs", "List the runs in a folder, finished or not, with their picks."),
    "blocks": looking_row("blocks", "The blocks of a model, in order, with their sizes.", light=False),
    "data": looking_row("data", "Check a data set: number of images and classes.", "read_data", light=False),
    "presets": looking_row("presets", "List the named benchmarks.", "read_presets"),
    "cache": looking_row("cache", "Show or clear cached images and features.", "manage_cache"),
    "schema": looking_row("schema", "The JSON Schema of report.json and study.json."),
}  # fmt: skip


def called(command: str, options: Mapping[str, Any]) -> str:
    """What a command with these options is called: by a name of its own where it fits the head to ID-val images."""
    return "dfr_val" if command == "dfr" and options.get("on") == "id-val" else command


def title_of(command: str, options: Mapping[str, Any]) -> str:
    """What tables call the method of a command with these options; empty of a command that has none."""
    name = called(command, options)
    return COMMANDS[command].title if name == command else name


def import_named(name: str) -> Any:
    """What "module:name" names; None for an empty name."""
    if not name:
        return None
    module, _, attribute = name.partition(":")
    return getattr(import_module(module), attribute)


def options_class(command: str) -> type[Any]:
    """The class of a command's options."""
    return import_named(COMMANDS[command].options)


def method_of(command: str) -> Any:
    """The method of a command that trains."""
    return import_named(COMMANDS[command].method)


def python_names() -> dict[str, str]:
    """Command by the name of its Python function."""
    return {row.python_name or command: command for command, row in COMMANDS.items()} | {"run_theory": "theory"}


def option_classes() -> dict[str, str]:
    """Command by the name of the class of its options."""
    return {row.options.partition(":")[2]: command for command, row in COMMANDS.items()}

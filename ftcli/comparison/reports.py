"""The reports of a comparison: what it uses of each, read from the report and the predictions in its folder."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

from ftcli.commands import called
from ftcli.comparison.predictions import SetPredictions, read_predictions
from ftcli.console.cells import interval_of
from ftcli.errors import RequestError
from ftcli.limits import MAX_COMPARED_SETS
from ftcli.report.read import NOT_OF_ONE_MODEL, read_both, report_file
from ftcli.run_folder.names import PREDICTIONS, REPORT
from ftcli.safe_text import shortest_unique_suffixes

Foreign = Mapping[str, Any]  # an object of a report that may be anybody's: it keeps the schema


@dataclass(frozen=True)
class Accuracy:
    """Accuracy of one report on one set, a fraction. `n`, `ci95`: examples and Wilson interval, None for `ood_mean`;
    `interval`: over seeds where there are several, and `kind`, its key in the report.
    """

    accuracy: float
    n: int | None
    ci95: Sequence[float] | None
    interval: tuple[float, float] | None
    kind: str | None
    seeds: int


@dataclass(frozen=True)
class ComparedReport:
    """One report. `accuracies` by set in the order of the report, `ood_mean` last; `seed_accuracies` by seed and set;
    `predictions` by set, None without predictions.parquet; `choice`: the one with these accuracies, where the command
    tries several; `fixed`: every seed gives this model, as the exact probe does.
    """

    name: str
    file: Path
    command: str
    choice: str | None
    accuracies: dict[str, Accuracy]
    seed_accuracies: dict[int, dict[str, Accuracy]]
    selected_seed: int | None
    ood_sets: frozenset[str]
    class_names: Sequence[str]
    data: dict[str, Foreign]
    predictions: dict[str, SetPredictions | None] | None
    fixed: bool = False

    @property
    def predictions_file(self) -> Path:
        return self.file.with_name(PREDICTIONS)

    @cached_property
    def classes(self) -> frozenset[str]:
        return frozenset(self.class_names)

    def fingerprint(self, name: str) -> str | None:
        """The fingerprint of the examples of a set."""
        return self.data.get(name, {}).get("fingerprint")

    def classes_of(self, name: str) -> frozenset[str]:
        """The classes that can be predicted on a set."""
        restricted = self.data.get(name, {}).get("restricted_to")
        return self.classes if restricted is None else frozenset(self.class_names[i] for i in restricted)


def open_reports(files: Sequence[Path]) -> list[ComparedReport]:
    """Every report once, with a name of its own. Raises RequestError for files that are no report of one model, or one
    of too many sets, and for predictions that cannot be read.
    """
    paths = {path.resolve(): path for path in map(report_file, files)}
    contents = {path: read_both(path)[0] for path in paths.values()}
    for path, content in contents.items():
        if content["command"] in NOT_OF_ONE_MODEL:
            refuse(f"{str(path)!r} is a report of `{content['command']}`, which has no figures of one model")
    names = report_names(list(paths), [called(content["command"], content["config"]) for content in contents.values()])
    return [open_report(name, path, content) for name, (path, content) in zip(names, contents.items(), strict=True)]


def open_report(name: str, path: Path, content: Foreign) -> ComparedReport:
    """A report with what lies beside it. Raises RequestError for one with too many sets."""
    accuracies = accuracies_of(content)
    if len(accuracies) > MAX_COMPARED_SETS:
        raise RequestError(
            f"{str(path)!r} has accuracies on {len(accuracies):,} sets, and at most {MAX_COMPARED_SETS:,} are compared",
            "evaluate the models on fewer sets at a time",
        )
    selected = content["selected"] or {}
    choice = selected.get("choice")
    if content["command"] == "adapt" and content.get("choices"):
        choice = f"{content['config']['method']} {next(iter(content['choices']))}"
    return ComparedReport(
        name, path, called(content["command"], content["config"]), choice, accuracies,
        seed_accuracies={entry["selected"]["seed"]: accuracies_of(entry) for entry in content.get("seeds") or []},
        selected_seed=selected.get("seed"),
        ood_sets=frozenset(content["results"].get("ood") or {}),
        class_names=content["data"]["classes"],
        data=content["data"]["ood"] | {role: content["data"].get(role) or {} for role in ("id_val", "id_test")},
        predictions=read_predictions(path.with_name(PREDICTIONS)),
        fixed=content["command"] == "probe" and selected.get("C") is not None,
    )  # fmt: skip


def accuracies_of(content: Foreign) -> dict[str, Accuracy]:
    """The sets of `results` that have an accuracy, in the order of the report; `ood_mean` last."""
    results = content["results"]
    roles = {role: results.get(role) for role in ("id_val", "id_test")}
    entries = roles | (results.get("ood") or {}) | {"ood_mean": results.get("ood_mean")}
    return {name: accuracy_of(entry) for name, entry in entries.items() if entry and entry.get("accuracy") is not None}


def accuracy_of(entry: Foreign) -> Accuracy:
    kind, bounds = interval_of(entry) or (None, None)
    interval = (float(bounds[0]), float(bounds[1])) if bounds else None
    seeds = int(entry.get("n_seeds") or 1)
    return Accuracy(float(entry["accuracy"]), entry.get("n"), entry.get("accuracy_ci95"), interval, kind, seeds)


def report_names(paths: Sequence[Path], commands: Sequence[str]) -> list[str]:
    """Commands where they differ, else folder names, with as many parents as it takes to tell all apart."""
    if max(Counter(commands).values()) == 1:
        return list(commands)
    return shortest_unique_suffixes([str(path.parent if path.name == REPORT else path) for path in paths])


def refuse(problem: str) -> NoReturn:
    raise RequestError(problem, "name folders or report.json files that ftcli wrote: ftcli compare runs/*/report.json")

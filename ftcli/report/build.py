"""Makes the report: what was asked, what was done and what came out."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch
from msgspec import UNSET

from ftcli import __version__
from ftcli.config.adapting import Adapt
from ftcli.config.details.estimates import ALINE
from ftcli.config.shared import Common, resolved
from ftcli.config.training import Training
from ftcli.data.augmentation.kinds import POLICIES
from ftcli.data.images import ImageSet
from ftcli.data.task import Task
from ftcli.engine.device import Machine
from ftcli.engine.grid import Trained
from ftcli.engine.select import oracle
from ftcli.engine.types import Timing
from ftcli.log import Log
from ftcli.measures.results import Results, join_seeds
from ftcli.measures.types import Figures, FiguresBySet, Unlabelled
from ftcli.model.blocks import blocks_of
from ftcli.model.loading.load import Loaded
from ftcli.model.low_rank import weight_of
from ftcli.presets.published import published_for
from ftcli.processes import command_line
from ftcli.records import decoded, plain
from ftcli.report.parts import whole_type
from ftcli.report.types import BlockSize, Cut, Data, Environment, Model, Report, SeedResult, SetData
from ftcli.run_folder.names import SCHEMA
from ftcli.run_folder.options import command_of
from ftcli.run_folder.request import libraries
from ftcli.safe_text import redacted_spec


def build(
    config: Common, task: Task, loaded: Loaded, machine: Machine, results: Sequence[Results], log: Log, seconds: float,
    trained: Trained | None = None, parts: Mapping[str, Any] | None = None,
) -> Report:  # fmt: skip
    """The whole report of a command. `results`: one per seed, of the pick of that seed; `parts`: what only some
    commands have, by its key.
    """
    joined = join_seeds(results) if results else FiguresBySet(ood={}, ood_mean=None)
    if results and ALINE in results[0].details.estimates:
        warn_of_no_line(joined, log)
    report: dict[str, object] = {
        "environment": environment(machine, config),
        "model": describe_model(loaded, trained),
        "data": describe_data(task, config),
        "runs": trained.runs if trained else [],
        "selected": trained.best.selected(trained.choice) if trained else None,
        "results": joined,
        "temperature": temperature_of(results, trained),
        **{key: part for key, part in (parts or {}).items() if part},
    }
    if published := published_for(command_of(config), resolved(config)):
        report["published"] = published
    if len(results) > 1 and trained:
        report["seeds"] = [
            SeedResult(selected=pick.selected(), results=of.figures, temperature=of.temperature)
            for pick, of in zip(trained.picks, results, strict=True)
        ]
    if trained and trained.low_rank:
        report["lora"] = trained.low_rank
    if trained and (picks := oracle(trained.runs)):
        report["oracle"] = picks
    timing = trained.timing(seconds) if trained else Timing(round(seconds, 3))
    return report_of(config, report, timing, log)


def warn_of_no_line(figures: FiguresBySet, log: Log) -> None:
    """Warn of the sets for which the agreements of the seeds gave no line."""
    of_all: dict[str, Figures | Unlabelled] = {**figures.ood, **figures.without_labels()}
    for name, entry in of_all.items():
        if entry.estimates is not UNSET and f"{ALINE}_slope" not in entry.estimates:
            log.warn(
                "no-line",
                f"{name}: --estimate aline leaves out pairs of seeds that agree on less than 5 or more than 98 % of "
                "the examples, and fewer than 5 seeds or 10 pairs are left",
            )


def report_of(config: Common, parts: Mapping[str, Any], timing: Timing, log: Log) -> Report:
    """A report of these parts, and of what every report holds: what was asked, of which version, when."""
    opening = {
        "schema": SCHEMA,
        "command": command_of(config),
        "version": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "argv": [redacted_spec(word) for word in command_line.get()],
        "config": resolved(config),
    }
    return decoded({**opening, **parts, "timing": timing, "warnings": log.warnings}, whole_type())


def temperature_of(results: Sequence[Results], trained: Trained | None) -> float | None:
    """That of the model that is saved, or measured; None without an ID-val set to fit it on."""
    of_saved = (of.temperature for of in results if trained is None or of.seed == trained.best.seed)
    return next(of_saved, None)


def environment(machine: Machine, config: Common) -> Environment:
    """What the numbers depend on besides the request. No host, no user."""
    described = {
        "python": platform.python_version(),
        **libraries(config),
        "device": machine.name,
        "precision": machine.precision,
        "processes": machine.processes,
        "threads": torch.get_num_threads(),
    }
    return decoded(described, Environment)


def describe_model(loaded: Loaded, trained: Trained | None = None) -> Model:
    """The model as it was trained: its sizes, and where its weights came from. Of tensors W + BA, A and B count as
    trained.
    """
    body, head = blocks_of(loaded.model)
    sizes = {name: parameter.numel() for name, parameter in loaded.model.named_parameters()}
    moved = trained.trained_parameters if trained else ()
    low_rank = trained.low_rank if trained else None
    merged = {weight_of(path) for path in low_rank.layers} if low_rank else set()
    return Model(
        name=loaded.name,
        checkpoint=loaded.checkpoint.where if loaded.checkpoint else None,
        sha256=loaded.checkpoint.sha256 if loaded.checkpoint else None,
        parameters=sum(sizes.values()),
        trainable=sum(sizes[name] for name in moved if name not in merged) + (low_rank.parameters if low_rank else 0),
        blocks=[BlockSize(block.name, block.parameters) for block in [*body, head]],
        input=plain(dict(loaded.data_config)),
    )


def describe_data(task: Task, config: Common) -> Data:
    """Every set: where it came from, how many examples of how many classes, and its fingerprint."""
    roles = {"train": task.train, "retrain": task.retrain, "id_val": task.id_val, "id_test": task.id_test}
    return Data(
        classes=list(task.classes),
        **{role: describe_set(data) for role, data in roles.items() if data is not None},
        ood={name: describe_set(data) for name, data in task.ood.items()},
        policy=policy_of(config) or UNSET,
    )


def policy_of(config: Common) -> str | None:
    """timm's policy that a command augments images by, where it augments them and the policy is one of timm's."""
    if isinstance(config, Training) and "augmented" in config.training_transforms:
        return POLICIES.get(config.augment)
    if isinstance(config, Adapt) and config.method == "memo":
        return POLICIES.get(config.augment)
    return None


def describe_set(data: ImageSet) -> SetData:
    return SetData(
        data.spec, len(data), len(np.unique(data.labels)) if data.labelled else 0, data.fingerprint, data.dropped,
        data.damaged,
        restricted_to=[int(index) for index in data.restrict] if data.restrict else None,
        cut=Cut(**asdict(data.cut)) if data.cut else UNSET,
    )  # fmt: skip

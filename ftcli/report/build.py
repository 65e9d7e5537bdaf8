"""The report: one dictionary that holds what was asked, what was done and what came out."""

import platform
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import torch

from ftcli import __version__
from ftcli.config.shared import Common, resolved
from ftcli.data.images import ImageSet
from ftcli.data.task import Task
from ftcli.engine.device import Machine
from ftcli.engine.grid import Trained
from ftcli.engine.select import oracle
from ftcli.log import Log
from ftcli.measures.results import Results, join_seeds
from ftcli.model.blocks import blocks_of
from ftcli.model.loading.load import Loaded
from ftcli.processes import command_line
from ftcli.run_folder.folder import SCHEMA
from ftcli.run_folder.request import command_of, libraries


def build(
    config: Common, task: Task, loaded: Loaded, machine: Machine, results: Sequence[Results], log: Log, seconds: float,
    trained: Trained | None = None, parts: Mapping[str, Any] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The whole report of a command, ready for JSON. `results`: one per seed, of the pick of that seed; `parts`: what
    only some commands have, by its key.
    """
    report: dict[str, Any] = {
        **opening(config),
        "environment": environment(machine),
        "model": describe_model(loaded, trained.moved if trained else ()),
        "data": describe_data(task),
        "runs": trained.runs if trained else [],
        "selected": trained.best.describe() if trained else None,
        "results": join_seeds(list(results)) if results else {"ood": {}, "ood_mean": None},
        "temperature": temperature_of(results, trained),
    }
    if len(results) > 1 and trained:
        picks = zip(trained.picks, results, strict=True)
        report["seeds"] = [
            {"selected": pick.describe(), "results": one.figures, "temperature": one.temperature} for pick, one in picks
        ]
    if trained and trained.choice:
        report["selected"] = {"choice": trained.choice, **report["selected"]}
    report |= {key: part for key, part in (parts or {}).items() if part}
    if trained and (seen := oracle(trained.runs)):
        report["oracle"] = seen
    timing = trained.timing(seconds) if trained else {"total_s": round(seconds, 3)}
    return report | {"timing": timing, "warnings": log.warnings}


def temperature_of(results: Sequence[Results], trained: Trained | None) -> float | None:
    """That of the model that is saved, or measured; None without an ID-val set to fit it on."""
    of_saved = (one.temperature for one in results if trained is None or one.seed == trained.best.seed)
    return next(of_saved, None)


def opening(config: Common) -> dict[str, Any]:
    """What every report begins with: what was asked, of which version, when."""
    return {
        "schema": SCHEMA,
        "command": command_of(config),
        "version": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "argv": list(command_line.get()),
        "config": resolved(config),
    }


def environment(machine: Machine) -> dict[str, Any]:
    """What the numbers depend on besides the request. No host, no user."""
    return {
        "python": platform.python_version(),
        **libraries(),
        "device": machine.name,
        "precision": machine.precision,
        "processes": machine.processes,
        "threads": torch.get_num_threads(),
    }


def describe_model(loaded: Loaded, moved: Collection[str]) -> dict[str, Any]:
    """The model as it was trained: its sizes, and where its weights came from. `moved`: the tensors that trained."""
    body, head = blocks_of(loaded.model)
    sizes = {name: parameter.numel() for name, parameter in loaded.model.named_parameters()}
    return {
        "name": loaded.name,
        "checkpoint": loaded.checkpoint.where if loaded.checkpoint else None,
        "sha256": loaded.checkpoint.sha256 if loaded.checkpoint else None,
        "parameters": sum(sizes.values()),
        "trainable": sum(sizes[name] for name in moved),
        "blocks": [{"name": block.name, "parameters": block.parameters} for block in [*body, head]],
        "input": {key: value for key, value in loaded.data_config.items()},
    }


def describe_data(task: Task) -> dict[str, Any]:
    """Every set: where it came from, how many examples of how many classes, and its fingerprint."""
    roles = {"train": task.train, "id_val": task.id_val, "id_test": task.id_test}
    return {
        "classes": list(task.classes),
        **{role: describe_set(data) for role, data in roles.items() if data is not None},
        "ood": {name: describe_set(data) for name, data in task.ood.items()},
    }


def describe_set(data: ImageSet) -> dict[str, Any]:
    return {
        "spec": data.spec, "n": len(data), "classes": len(set(data.labels.tolist())), "fingerprint": data.fingerprint,
        "dropped": data.dropped, "damaged": data.damaged,
        "restricted_to": [int(index) for index in data.restrict] if data.restrict else None,
    }  # fmt: skip

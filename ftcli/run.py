"""READ FIRST. The program in order: checkpoint and data in, a model, a method, figures of every set, a report out.

    checkpoint ──┐
                 ├─> task ─> model ─> setting ─> before ─> method ─> picks ─> results ─> report, model, predictions
    data specs ──┘

`before` is the untouched checkpoint, where it can answer already (surgical, adapt). A command that trains holds its
folder while it works, and goes on from the state of an earlier start that it finds there.

This is the one file that knows all the parts; each part knows only those below it. The commands that hold models
against each other stand above, a file for each, in studies/; what is simulated, beside, in theory/.
"""

import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from torch import nn

from ftcli.cache import Cache, open_cache
from ftcli.config import (
    Adapt,
    Detailed,
    Evaluate,
    Finetune,
    Interpolate,
    Measuring,
    Predict,
    Reporting,
    Running,
    Surgical,
    Training,
)
from ftcli.console.answer import Answer, report_answer
from ftcli.console.progress import ConsoleLog
from ftcli.data.task import Task, build_task, warn_few_to_pick, without_labels
from ftcli.engine.device import machine_of
from ftcli.engine.experiment import Experiment, experiment_of
from ftcli.engine.features.frozen_body import all_logits
from ftcli.engine.grid import Trained
from ftcli.engine.tta.stream import stream_of
from ftcli.errors import RequestError
from ftcli.explain.distortion.measure import NamedModel, of_training
from ftcli.log import Log
from ftcli.measures.confusion import check_pairs
from ftcli.measures.results import Results, join_seeds, measure, results_from
from ftcli.measures.types import FiguresBySet
from ftcli.methods import METHODS
from ftcli.methods.adapt import adapt as adapted_to
from ftcli.methods.adapt import chosen_tensors
from ftcli.methods.start import order_rows, rows_for, with_target_head
from ftcli.methods.surgical import tuned_by_choice
from ftcli.model.checkpoints.checkpoint import Checkpoint
from ftcli.model.head import head_of
from ftcli.model.loading.architecture import build_without_values, recipe_for
from ftcli.model.loading.load import Loaded, import_file, load_model
from ftcli.model.loading.overrides import ModelOverrides
from ftcli.model.loading.requested import load_as_is, open_as_asked
from ftcli.model.loading.save import save_model
from ftcli.processes import process_index
from ftcli.records import decoded
from ftcli.report.adaptation import adaptation_choices
from ftcli.report.build import build, time_since
from ftcli.report.choices import describe_choices
from ftcli.report.dry_run import plan_answer
from ftcli.report.predictions import check_target, label_table, labels_answer
from ftcli.report.types import Choice, Report, Stage
from ftcli.run_folder.folder import claim, made, write_run
from ftcli.run_folder.request import digest_of, request_of
from ftcli.run_folder.unfinished import finished, held, shown


def train(config: Training) -> Answer:
    """`probe`, `finetune`, `lpft`, `surgical`: train, pick on ID-val, measure every set, save."""
    started, command = time.perf_counter(), type(config).__name__.lower()
    done = finished(config)
    with ConsoleLog(config.quiet or process_index() > 0) as log:
        folder = claim(config.out, command, config.overwrite or done is not None, lasting=True)
        machine, cache = machine_of(config), cache_of(config, log)
        checkpoint = starting_point(config, log)
        task = task_of(config, log, cache)
        loaded = load_for(task, config, checkpoint, log)
        experiment = experiment_of(task, loaded.data_config, machine, config, log, cache)
        tuned = tuned_by_choice(loaded.model, config)  # refuses blocks that are not there, before anything is computed
        request = request_of(config, task, [loaded], machine)
        if done is not None:
            return shown(done, request, config)
        if config.dry_run:
            return plan_answer(command, config, task, loaded, tuned)
        with held(folder, request, config, machine, log) as (folder, checkpointer):
            log.note(f"in {folder}")
            experiment = replace(experiment, checkpointer=checkpointer)
            report = trained_and_saved(config, loaded, experiment, folder, digest_of(request), log, started)
    return report_answer(report, folder)


def trained_and_saved(
    config: Training, loaded: Loaded, experiment: Experiment, folder: Path, request: str, log: Log, started: float
) -> Report:
    """The work of a training command, once everything about it is known: its report. `request`: its digest."""
    command, task, machine = type(config).__name__.lower(), experiment.task, experiment.machine
    before = before_of(loaded, experiment, config, log)
    start = deepcopy(loaded.model) if config.measure else None
    trained = METHODS[command](loaded, experiment, config, log)
    results = results_of(trained, loaded.model, experiment, log, config.details())
    stages = stages_of(command, trained, results, loaded.model, experiment, log)
    choices = choices_of(trained, results, loaded, experiment, log, getattr(config, "merge", None))
    timing = trained.timing(time.perf_counter() - started)
    parts = {"request": request, "before": before, "stages": stages, "choices": choices}
    parts |= measured(start, trained, loaded, experiment, log)
    report = build(command, config, task, loaded, machine, results, log, timing, trained, parts)
    if machine.rank == 0:
        save(folder, report, trained, results, loaded, task)
    return report


def evaluate(config: Evaluate) -> Answer:
    """`evaluate`: the figures of a model as it is."""
    started = time.perf_counter()
    with ConsoleLog(config.quiet or process_index() > 0) as log:
        folder = claim(config.out, "evaluate", config.overwrite)
        machine, cache = machine_of(config), cache_of(config, log)
        loaded = load_as_is(config, config.checkpoint, log)
        task = task_of(config, log, cache, loaded)
        experiment = experiment_of(task, loaded.data_config, machine, config, log, cache)
        results = measure(machine.place(loaded.model), experiment, 0, log, frozen=True, details=config.details())
        report = build("evaluate", config, task, loaded, machine, [results], log, time_since(started))
        if machine.rank == 0:
            folder = made(folder, config.out)
            write_run(folder, report, [], results.predictions, None)
    return report_answer(report, folder)


def adapt(config: Adapt) -> Answer:
    """`adapt`: the answers of a model that learns, without labels, from each set as it is asked about it."""
    started = time.perf_counter()
    done = finished(config)
    with ConsoleLog(config.quiet or process_index() > 0) as log:
        folder = claim(config.out, "adapt", config.overwrite or done is not None, lasting=True)
        machine, cache = machine_of(config), cache_of(config, log)
        loaded = load_as_is(config, str(config.checkpoint), log)
        tensors = chosen_tensors(loaded.model, config, log)
        task = task_of(config, log, cache, loaded)
        streams = {
            name: stream_of(data, loaded.data_config, machine, config, log, cache) for name, data in task.sets().items()
        }
        experiment = experiment_of(task, loaded.data_config, machine, config, log, cache)
        request = request_of(config, task, [loaded], machine)
        if done is not None:
            return shown(done, request, config)
        model = machine.place(loaded.model)
        with held(folder, request, config, machine, log) as (folder, checkpointer):
            log.note(f"in {folder}")
            before = measure(model, experiment, config.seed, log, frozen=True)
            adapted = adapted_to(model, streams, tensors, config, machine, checkpointer, log)
            results = {
                choice: results_from(one.stream, task, config.seed, log, config.details())
                for choice, one in adapted.items()
            }
            choices = adaptation_choices(adapted, results, before, task, model, config)
            first = next(iter(results.values()))
            parts = {"request": digest_of(request), "before": before.figures, "choices": choices}
            report = build("adapt", config, task, loaded, machine, [first], log, time_since(started), None, parts)
            write_run(folder, report, [], first.predictions, None)
    return report_answer(report, folder)


def predict(config: Predict) -> Answer:
    """`predict`: class and probability of every image of a set, labels not needed."""
    check_target(config)
    with ConsoleLog(config.quiet or process_index() > 0) as log:
        machine, cache = machine_of(config), cache_of(config, log)
        loaded = load_as_is(config, config.checkpoint, log)
        images = without_labels(config.images, damaged=config.damaged, log=log, cache=cache)
        alone = Task((), named=False, train=None, id_val=None, id_test=None, ood={"images": images})
        experiment = experiment_of(alone, loaded.data_config, machine, config, log, cache)
        logits = all_logits(machine.place(loaded.model), experiment, log, frozen=True)["images"]
    return labels_answer(config, label_table(images.ids, logits.numpy(), loaded.label_names))


def cache_of(config: Running, log: Log) -> Cache | None:
    """What earlier runs have kept, and this one will; None with `--no-cache`."""
    return None if config.no_cache else open_cache(log)


def starting_point(config: Training, log: Log) -> Checkpoint | None:
    """The checkpoint to start from, its header read; None where the body starts from random weights.

    A name that contradicts the file, or that timm does not know, is refused here, before any picture is read.
    """
    if config.checkpoint is None and not starts_random(config):
        raise RequestError("No checkpoint is given.", "add --checkpoint WHERE, or finetune --init random --model NAME")
    if config.checkpoint is None and config.model is None:
        raise RequestError("--init random needs an architecture.", "add --model NAME")
    if config.checkpoint is None and config.model_config:
        raise RequestError("--model-config describes weights, and there are none.", "type --model and --model-arg")
    if config.import_:
        import_file(str(config.import_))
    given = ModelOverrides.of(config)
    checkpoint = None if config.checkpoint is None else open_as_asked(config, config.checkpoint, log)
    given.check_needed([checkpoint] if checkpoint else [])
    recipe = recipe_for(config.model, checkpoint, given)
    if given.args:
        build_without_values(recipe, image_size=config.image_size)
    return checkpoint


def starts_random(config: Training) -> bool:
    return isinstance(config, Finetune) and config.init == "random"


def load_for(task: Task, config: Training, checkpoint: Checkpoint | None, log: Log) -> Loaded:
    """The model with as many classes as the task has."""
    loaded = load_model(
        name=config.model, checkpoint=checkpoint, num_classes=len(task.classes), image_size=config.image_size, log=log,
        given=ModelOverrides.of(config),
    )  # fmt: skip
    if isinstance(config, Surgical):
        return with_target_head(loaded, task, config.head, log)
    # A random start takes nothing from a checkpoint but its architecture, and the report must not name one.
    return replace(loaded, checkpoint=None) if starts_random(config) else loaded


def task_of(config: Reporting, log: Log, cache: Cache | None, judge: Loaded | None = None) -> Task:
    """The sets in their roles. The classes are the training set's, or those of the model that is judged."""
    task = build_task(
        train=config.train if isinstance(config, Training | Measuring) else None, id_val=config.id_val,
        id_test=config.id_test, ood=config.ood_sets(), damaged=config.damaged, log=log, cache=cache,
        split_seed=config.split_seed if isinstance(config, Training | Measuring) else 0,
        classes=judge.label_names if judge else None, num_classes=len(head_of(judge.model).bias) if judge else None,
    )  # fmt: skip
    if isinstance(config, Detailed) and config.details():
        check_pairs(len(task.classes))
    if isinstance(config, Training | Interpolate):
        warn_few_to_pick(task, log)
    return task


def before_of(loaded: Loaded, experiment: Experiment, config: Training, log: Log) -> FiguresBySet | None:
    """The figures of the untouched checkpoint, where a method starts from its head and it can answer already."""
    if not isinstance(config, Surgical) or not loaded.head_loaded:
        return None
    return measure(experiment.machine.place(loaded.model), experiment, 0, log, frozen=True).figures


def results_of(
    trained: Trained, model: nn.Module, experiment: Experiment, log: Log, details: Sequence[str] = ()
) -> list[Results]:
    """The figures of each seed's pick."""
    results = []
    for pick in trained.picks:
        model.load_state_dict(pick.state)
        placed = experiment.machine.place(model)
        results.append(measure(placed, experiment, pick.seed, log, frozen=trained.frozen, details=details))
    return results


def stages_of(
    command: str, trained: Trained, results: list[Results], model: nn.Module, experiment: Experiment, log: Log
) -> dict[str, Stage] | None:
    """The stages of a method that has several, each with its own pick and figures, in order."""
    if not trained.before:
        return None
    parts = {
        name: (earlier, results_of(earlier, model, experiment, log, results[0].details))
        for name, earlier in trained.before.items()
    }
    parts["finetune" if command == "lpft" else command] = (trained, results)
    return {
        name: decoded({"selected": part.best.describe(), "results": join_seeds(figures), "runs": part.runs}, Stage)
        for name, (part, figures) in parts.items()
    }


def choices_of(
    trained: Trained, results: list[Results], loaded: Loaded, experiment: Experiment, log: Log, merge: int | None
) -> dict[str, Choice] | None:
    """What a method tried, choice by choice; `results` are those of the one that it kept."""
    if not trained.choices:
        return None
    details = results[0].details
    by_choice = {
        choice: results if choice == trained.choice else results_of(part, loaded.model, experiment, log, details)
        for choice, part in trained.choices.items()
        if part.picks
    }
    return describe_choices(trained, by_choice, loaded, merge)


def measured(
    start: nn.Module | None, trained: Trained, loaded: Loaded, experiment: Experiment, log: Log
) -> dict[str, Any]:
    """How far the saved model lies from where its training started; nothing where that was not asked for."""
    if start is None:
        return {}
    order = rows_for(loaded, experiment.task.classes, log)
    if order is not None:
        order_rows(start, order)
    loaded.model.load_state_dict(trained.best.state)
    before, after = (
        NamedModel(name, experiment.machine.place(one))
        for name, one in (("the start", start), ("the pick", loaded.model))
    )
    return of_training(replace(before, head=order is not None), after, experiment, log)


def save(folder: Path, report: Report, trained: Trained, results: list[Results], loaded: Loaded, task: Task) -> None:
    """The picked model and everything that was found out, in one folder."""
    loaded.model.load_state_dict(trained.best.state)
    history = [
        {key: run[key] for key in ("choice", "seed", "lr") if key in run} | epoch
        for run in trained.runs
        for epoch in run.get("history", [])
    ]
    predictions = pa.concat_tables([one.predictions for one in results])
    T = report.temperature or None
    write_run(
        folder, report, history, predictions, lambda place: save_model(place, loaded, loaded.model, task.classes, T)
    )

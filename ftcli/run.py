"""READ FIRST. The program in order: checkpoint and data in, a model, a method, figures of every set, a report out.

    checkpoint ──┐
                 ├─> task ─> model ─> experiment ─> before ─> method ─> picks ─> results ─> report, model, predictions
    data specs ──┘

`before` is the untouched checkpoint, where it knows the classes already. A command that trains locks its folder, and
resumes from the state of an interrupted run that it finds there.

Four stories: train, evaluate, adapt, predict. What every command opens is in context.py; which method a command runs is
in commands.py; the commands that compare models are in explain/.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import partial
from typing import Any

import pyarrow as pa
from torch import nn

from ftcli.commands import COMMANDS, named
from ftcli.config.adapting import Adapt
from ftcli.config.measuring import Evaluate, Predict
from ftcli.config.training import Training
from ftcli.console.answer import Answer
from ftcli.context import Context, open_context
from ftcli.data.task import Task, without_labels
from ftcli.engine.evaluate import all_logits
from ftcli.engine.experiment import Experiment
from ftcli.engine.grid import Trained
from ftcli.engine.tta.stream import stream_of
from ftcli.errors import RequestError
from ftcli.log import Log
from ftcli.measures.results import Results, join_seeds, measure, results_from
from ftcli.methods.adapt import adapt as adapt_to_streams
from ftcli.methods.adapt import chosen_tensors
from ftcli.methods.initial_head import head_order, reorder_head
from ftcli.model.checkpoints.checkpoint import Checkpoint
from ftcli.model.loading.architecture import build_without_values, resolve_model_config
from ftcli.model.loading.from_options import load_with_head, open_from_options
from ftcli.model.loading.load import Loaded, load_model
from ftcli.model.loading.overrides import ModelOverrides
from ftcli.model.loading.save import save_model
from ftcli.model.loading.user_file import import_file
from ftcli.records import decoded
from ftcli.report.adaptation import adaptation_choices
from ftcli.report.build import temperature_of
from ftcli.report.choices import describe_choices
from ftcli.report.dry_run import plan_answer
from ftcli.report.predictions import check_target, label_table, labels_answer
from ftcli.report.tables import report_answer
from ftcli.report.types import Choice, Stage
from ftcli.run_folder.request import command_of, digest_of


def train(config: Training) -> Answer:
    """`probe`, `finetune`, `lpft`, `surgical`: train, select on ID-val, evaluate every set, save."""
    command = COMMANDS[command_of(config)]
    with open_context(config) as context:
        checkpoint = open_start(config, context.log)
        task = context.task()
        loaded = load_start(task, config, checkpoint, context.log)
        experiment = context.experiment(task, loaded.data_config)
        choices_of = named(command.choices)
        trainable = choices_of(loaded.model, config) if choices_of else {}
        request = context.request(task, [loaded])
        if context.finished is not None:
            return report_answer(context.finished, context.folder)
        if config.dry_run:
            return plan_answer(config, task, loaded, trainable)
        with context.running(request) as checkpointer:
            experiment = replace(experiment, checkpointer=checkpointer)
            before = results_before(loaded, experiment, config, context.log)
            start = deepcopy(loaded.model) if config.measure else None
            trained = named(command.method)(loaded, experiment, config, context.log)
            results = results_of(trained, loaded.model, experiment, context.log, config.details())
            parts: dict[str, Any] = {"request": digest_of(request), "before": before.figures if before else None}
            parts |= {"stages": stages_of(trained, results, loaded.model, experiment, context.log)}
            parts |= {"choices": results_by_choice(trained, results, loaded, experiment, config, context.log)}
            parts |= changes_of(start, trained, loaded, experiment, config, context.log)
            return save(context, task, trained, results, loaded, parts)


def evaluate(config: Evaluate) -> Answer:
    """`evaluate`: the figures of a model as it is."""
    with open_context(config) as context:
        loaded = load_with_head(config, config.checkpoint, context.log)
        task = context.task(loaded)
        experiment = context.experiment(task, loaded.data_config)
        model = context.machine.place(loaded.model)
        results = measure(model, experiment, 0, context.log, frozen=True, details=config.details())
        return context.answer(task, loaded, [results], predictions=results.predictions)


def adapt(config: Adapt) -> Answer:
    """`adapt`: the answers of a model that learns, without labels, from each set as it is asked about it."""
    with open_context(config) as context:
        log, machine = context.log, context.machine
        loaded = load_with_head(config, str(config.checkpoint), log)
        tensors = chosen_tensors(loaded.model, config, log)
        task = context.task(loaded)
        streams = {
            name: stream_of(data, loaded.data_config, machine, config, log, context.cache)
            for name, data in task.sets().items()
        }
        experiment = context.experiment(task, loaded.data_config)
        request = context.request(task, [loaded])
        if context.finished is not None:
            return report_answer(context.finished, context.folder)
        model = machine.place(loaded.model)
        with context.running(request) as checkpointer:
            before = measure(model, experiment, config.seed, log, frozen=True)
            adapted = adapt_to_streams(model, streams, tensors, config, machine, checkpointer, log)
            results = {
                choice: results_from(answers.stream, task, config.seed, log, config.details())
                for choice, answers in adapted.items()
            }
            choices = adaptation_choices(adapted, results, before, task, model, config)
            first = next(iter(results.values()))
            parts = {"request": digest_of(request), "before": before.figures, "choices": choices}
            return context.answer(task, loaded, [first], parts=parts, predictions=first.predictions)


def predict(config: Predict) -> Answer:
    """`predict`: class and probability of every image of a set, labels not needed."""
    check_target(config)
    with open_context(config) as context:
        loaded = load_with_head(config, config.checkpoint, context.log)
        images = without_labels(config.images, damaged=config.damaged, log=context.log, cache=context.cache)
        task = Task((), named=False, train=None, id_val=None, id_test=None, ood={"images": images})
        experiment = context.experiment(task, loaded.data_config)
        logits = all_logits(context.machine.place(loaded.model), experiment, context.log, frozen=True)["images"]
        return labels_answer(config, label_table(images.ids, logits.numpy(), loaded.label_names))


def open_start(config: Training, log: Log) -> Checkpoint | None:
    """The checkpoint to start from, its header read; None where the body starts from random weights.

    Raises RequestError, before any image is read, for a name that contradicts the file or that timm does not know.
    """
    if config.checkpoint is None and not config.random_body:
        raise RequestError("No checkpoint is given.", "add --checkpoint WHERE, or finetune --init random --model NAME")
    if config.checkpoint is None and config.model is None:
        raise RequestError("--init random needs an architecture.", "add --model NAME")
    if config.checkpoint is None and config.model_config:
        raise RequestError("--model-config describes weights, and there are none.", "type --model and --model-arg")
    if config.import_:
        import_file(str(config.import_))
    overrides = ModelOverrides.from_options(config)
    checkpoint = None if config.checkpoint is None else open_from_options(config, config.checkpoint, log)
    overrides.check_used([checkpoint] if checkpoint else [])
    recipe = resolve_model_config(config.model, checkpoint, overrides)
    if overrides.args:
        build_without_values(recipe, image_size=config.image_size)
    return checkpoint


def load_start(task: Task, config: Training, checkpoint: Checkpoint | None, log: Log) -> Loaded:
    """The model that training starts from, with as many classes as the task has."""
    loaded = load_model(
        name=config.model, checkpoint=checkpoint, num_classes=len(task.classes), image_size=config.image_size, log=log,
        overrides=ModelOverrides.from_options(config),
    )  # fmt: skip
    if match_head := named(COMMANDS[command_of(config)].match_head):
        return match_head(loaded, task, config, log)
    # A random body takes nothing from a checkpoint but its architecture, and the report must not name one.
    return replace(loaded, checkpoint=None) if config.random_body else loaded


def results_before(loaded: Loaded, experiment: Experiment, config: Training, log: Log) -> Results | None:
    """The results of the untouched checkpoint, where training starts from its head and that knows the classes."""
    if not COMMANDS[command_of(config)].match_head or not loaded.head_loaded:
        return None
    return measure(experiment.machine.place(loaded.model), experiment, 0, log, frozen=True)


def results_of(
    trained: Trained, network: nn.Module, experiment: Experiment, log: Log, details: Sequence[str] = ()
) -> list[Results]:
    """The results of each seed's pick; `network` gives the architecture."""
    results = []
    for pick in trained.picks:
        model = experiment.machine.place(with_weights(network, pick.state))
        results.append(measure(model, experiment, pick.seed, log, frozen=trained.frozen, details=details))
    return results


def with_weights(network: nn.Module, state: Mapping[str, Any]) -> nn.Module:
    """A copy of the network with these weights."""
    model = deepcopy(network)
    model.load_state_dict(state)
    return model


def stages_of(
    trained: Trained, results: list[Results], network: nn.Module, experiment: Experiment, log: Log
) -> dict[str, Stage] | None:
    """The stages of a method that has several, in order, each with its own pick and results."""
    if not trained.before:
        return None
    stages = {
        name: (stage, results_of(stage, network, experiment, log, results[0].details))
        for name, stage in trained.before.items()
    }
    stages[trained.stage] = (trained, results)
    return {
        name: decoded({"selected": stage.best.describe(), "results": join_seeds(of_stage), "runs": stage.runs}, Stage)
        for name, (stage, of_stage) in stages.items()
    }


def results_by_choice(
    trained: Trained, results: list[Results], loaded: Loaded, experiment: Experiment, config: Training, log: Log
) -> dict[str, Choice] | None:
    """What a method tried, choice by choice; `results` are those of the choice that it picked."""
    if not trained.choices:
        return None
    by_choice = {
        choice: results
        if choice == trained.choice
        else results_of(of_choice, loaded.model, experiment, log, results[0].details)
        for choice, of_choice in trained.choices.items()
        if of_choice.picks
    }
    return describe_choices(trained, by_choice, loaded, getattr(config, "merge", None))


def changes_of(
    start: nn.Module | None, trained: Trained, loaded: Loaded, experiment: Experiment, config: Training, log: Log
) -> dict[str, Any]:
    """What `--measure` asks for: the saved model compared with `start`, from which its training started."""
    if start is None:
        return {}
    order = head_order(loaded, experiment.task.classes, log)
    if order is not None:
        reorder_head(start, order)
    saved = with_weights(loaded.model, trained.best.state)
    before, after = experiment.machine.place(start), experiment.machine.place(saved)
    changes: dict[str, Any] = {}
    for name in config.measure or ():
        changes |= named(COMMANDS[name].measure)(before, after, experiment, log, same_classes=order is not None)
    return changes


def save(
    context: Context[Training], task: Task, trained: Trained, results: list[Results], loaded: Loaded,
    parts: dict[str, Any],
) -> Answer:  # fmt: skip
    """The report, and beside it the picked model, the history of every run, the predictions of every seed's pick."""
    history = [
        {key: run[key] for key in ("choice", "seed", "lr") if key in run} | epoch
        for run in trained.runs
        for epoch in run.get("history", [])
    ]
    save_weights = partial(
        save_model, loaded=loaded, model=with_weights(loaded.model, trained.best.state), label_names=task.classes,
        temperature=temperature_of(results, trained),
    )  # fmt: skip
    predictions = pa.concat_tables([result.predictions for result in results])
    return context.answer(
        task, loaded, results, trained=trained, parts=parts, predictions=predictions, save_weights=save_weights,
        history=history,
    )  # fmt: skip

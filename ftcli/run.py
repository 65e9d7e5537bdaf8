"""READ FIRST. The program in order: checkpoint and data in, a model, a method, figures of every set, a report out.

    data specs ──> task ──┐
                          ├─> model ─> inputs ─> method ─> picks ─> results ─> report, model, predictions
    checkpoint ───────────┘

A task holds the sets of images in their roles; inputs hold the loaders of these sets, the machine and the caches. A run
of the grid puts forward one epoch, its candidate; the best candidate of a seed is its pick; the best pick is saved, or
the average of the runs' weights that --save names. `train` and `adapt` lock the run folder. If it holds the state of an
interrupted run, they resume it.

Four stories: train, evaluate, adapt, predict. What every command opens is in context.py; which method a command runs is
in commands.py; the commands that compare models are in explain/, those that run many trainings in studies/.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from functools import partial
from typing import Any

import pyarrow as pa
from torch import nn

from ftcli.averages.measure import measure_averages
from ftcli.averages.members import check_averages
from ftcli.commands import COMMANDS, import_named
from ftcli.config.adapting import Adapt
from ftcli.config.details.options import NO_DETAILS, Details
from ftcli.config.measuring import Evaluate, Predict
from ftcli.config.training import Training
from ftcli.console.answer import Answer
from ftcli.context import Context, open_context
from ftcli.data.task import Task, without_labels
from ftcli.engine.budget.halving import check_budget
from ftcli.engine.evaluate import frozen_logits
from ftcli.engine.features.frozen_body import FrozenBody
from ftcli.engine.grid import Trained
from ftcli.engine.run_inputs import RunInputs
from ftcli.engine.training.gradient_checkpointing import check_checkpointing
from ftcli.engine.tta.batches import stream_of
from ftcli.errors import RequestError
from ftcli.log import Log
from ftcli.measures.results import Results, join_seeds, logits_by_seed, measure, results_from
from ftcli.methods.adapt import adapt as adapt_to_streams
from ftcli.methods.adapt import chosen_tensors
from ftcli.methods.initial_head import head_order, reorder_head
from ftcli.model.checkpoints.checkpoint import Checkpoint
from ftcli.model.head import head_of
from ftcli.model.loading.architecture import build_without_values, resolve_model_config
from ftcli.model.loading.from_options import load_with_head, open_from_options
from ftcli.model.loading.import_user_file import import_file
from ftcli.model.loading.load import Loaded, load_model
from ftcli.model.loading.overrides import ModelOverrides
from ftcli.model.loading.save import save_model
from ftcli.report.adaptation import adaptation_choices
from ftcli.report.budget.describe import describe_budget
from ftcli.report.build import temperature_of
from ftcli.report.choices import describe_choices
from ftcli.report.dry_run import plan_answer
from ftcli.report.heads.describe import describe_heads
from ftcli.report.predictions import check_targets, check_top, label_table, labels_answer
from ftcli.report.selection.usual import usual_pick
from ftcli.report.types import Choice, Stage
from ftcli.run_folder.options import command_of
from ftcli.run_folder.request import digest_of
from ftcli.time_estimate.estimate import estimate_time
from ftcli.workload import EVALUATION


def train(config: Training) -> Answer:
    """`probe`, `finetune`, `lpft`, `surgical`: train, select on ID-val, evaluate every set, save."""
    command = COMMANDS[command_of(config)]
    with open_context(config) as context:
        checkpoint = open_initial_checkpoint(config, context.log)
        opened = context.open_sets()
        loaded = load_initial_model(len(opened.classes), config, checkpoint, context.log)
        check_checkpointing(config, loaded.model, loaded.name)
        task = context.read(opened, loaded.data_config)
        task = import_named(command.arrange)(task, config) if command.arrange else task
        loaded = match_head_of(loaded, task, config, context.log)
        inputs = context.inputs(task, loaded.data_config)
        count_trainable = import_named(command.choices)
        trainable = count_trainable(loaded.model, config) if count_trainable else {}  # parameters, by choice
        request = context.request(task, [loaded])
        if context.finished_report is not None:
            return context.finished_answer(task)
        searches = sum(map(bool, trainable.values())) or 1
        check_budget(config, searches)
        check_averages(config, loaded.model, searches, context.machine.processes)
        if config.dry_run:
            time, no_time = estimate_time(
                import_named(command.method), loaded, inputs, config, sum(map(bool, trainable.values())),
                context.started,
            )  # fmt: skip
            return plan_answer(config, task, loaded, trainable, time, no_time)
        with context.locked_folder(request) as checkpointer:
            inputs = replace(inputs, checkpointer=checkpointer)
            untouched = untouched_results(loaded, inputs, config, context.log)
            start = deepcopy(loaded.model) if config.measure else None
            trained = import_named(command.method)(loaded, inputs, config, context.log)
            context.log.begin_stage(EVALUATION)
            results = results_of(trained, loaded.model, inputs, context.log, config.details())
            before = untouched.figures if untouched else None
            parts: dict[str, object] = {"request": digest_of(request), "before": before}
            measure_picks = partial(results_of, network=loaded.model, inputs=inputs, log=context.log)
            parts |= {"budget": describe_budget(trained, measure_picks)}
            parts["usual_pick"] = usual_pick(trained, measure_picks)
            parts |= {"stages": stages_of(trained, results, loaded.model, inputs, context.log)}
            parts |= {"choices": results_by_choice(trained, results, loaded, inputs, config, context.log)}
            parts["averages"], average = measure_averages(trained, results, loaded, inputs, config, context.log)
            saved = average.model if average else with_weights(loaded.model, trained.best.state)
            parts["heads"] = describe_heads(trained, saved, inputs)
            parts |= changes_of(start, saved, loaded, inputs, config, context.log)
            if average:
                parts["selected"], results = average.selected, [average.results]
            return save(context, task, trained, results, loaded, saved, parts)


def evaluate(config: Evaluate) -> Answer:
    """`evaluate`: the figures of a model as it is."""
    with open_context(config) as context:
        loaded = load_with_head(config, config.checkpoint, context.log)
        task = context.task(loaded)
        inputs = context.inputs(task, loaded.data_config)
        model = context.machine.place(loaded.model)
        results = measure(model, inputs, 0, context.log, frozen=True, details=config.details())
        return context.answer(
            task, loaded, [results], predictions=results.predictions, logits=logits_by_seed([results])
        )


def adapt(config: Adapt) -> Answer:
    """`adapt`: the predictions of a model that adapts to each set, without its labels, while it predicts."""
    with open_context(config) as context:
        log, machine = context.log, context.machine
        loaded = load_with_head(config, str(config.checkpoint), log)
        tensors = chosen_tensors(loaded.model, config, log)
        task = context.task(loaded)
        streams = {
            name: stream_of(data, loaded.data_config, machine, config, log, context.cache)
            for name, data in task.sets().items()
        }
        inputs = context.inputs(task, loaded.data_config)
        request = context.request(task, [loaded])
        if context.finished_report is not None:
            return context.finished_answer(task)
        model = machine.place(loaded.model)
        with context.locked_folder(request) as checkpointer:
            untouched = measure(model, inputs, config.seed, log, frozen=True)
            adapted = adapt_to_streams(model, streams, tensors, config, machine, checkpointer, log)
            results = {
                choice: results_from(answers.stream, task, config.seed, log, config.details())
                for choice, answers in adapted.items()
            }
            choices = adaptation_choices(adapted, results, untouched, task, model, config)
            first = next(iter(results.values()))
            parts = {"request": digest_of(request), "before": untouched.figures, "choices": choices}
            return context.answer(
                task, loaded, [first], parts=parts, predictions=first.predictions, logits=logits_by_seed([first])
            )


def predict(config: Predict) -> Answer:
    """`predict`: class and probability of every image of a set, labels not needed."""
    check_targets(config)
    with open_context(config) as context:
        loaded = load_with_head(config, config.checkpoint, context.log)
        check_top(config, len(head_of(loaded.model).bias))
        images = without_labels(
            *config.images, damaged=config.damaged, log=context.log, cache=context.cache,
            transforms=context.transforms(loaded.data_config),
        )  # fmt: skip
        task = Task((), named=False, train=None, id_val=None, id_test=None, ood={"images": images})
        inputs = context.inputs(task, loaded.data_config)
        body = FrozenBody(context.machine.place(loaded.model), inputs.feature_cache, context.log)
        logits = frozen_logits(body, inputs)["images"].numpy()
        table = label_table(
            list(images.ids), logits, loaded.label_names, top=config.top, with_probabilities=config.probabilities
        )
        return labels_answer(config, table, body.features(inputs.sets["images"], "images"))


def open_initial_checkpoint(config: Training, log: Log) -> Checkpoint | None:
    """The checkpoint to start from, its header read; None without --checkpoint.

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
    model_config = resolve_model_config(config.model, checkpoint, overrides)
    if overrides.args:
        build_without_values(model_config, image_size=config.image_size)
    return checkpoint


def load_initial_model(num_classes: int, config: Training, checkpoint: Checkpoint | None, log: Log) -> Loaded:
    """The model that training starts from, with as many classes as the task has."""
    return load_model(
        name=config.model, checkpoint=checkpoint, num_classes=num_classes, image_size=config.image_size, log=log,
        overrides=ModelOverrides.from_options(config),
    )  # fmt: skip


def match_head_of(loaded: Loaded, task: Task, config: Training, log: Log) -> Loaded:
    """The initial model with the head that the method starts from."""
    if match_head := import_named(COMMANDS[command_of(config)].match_head):
        return match_head(loaded, task, config, log)
    # With random weights a checkpoint only names the architecture, so the report must not cite it.
    return replace(loaded, checkpoint=None) if config.random_body else loaded


def untouched_results(loaded: Loaded, inputs: RunInputs, config: Training, log: Log) -> Results | None:
    """The results of the checkpoint before training, if training starts from its head and that has these classes."""
    if not COMMANDS[command_of(config)].match_head or not loaded.head_loaded:
        return None
    return measure(inputs.machine.place(loaded.model), inputs, 0, log, frozen=True)


def results_of(
    trained: Trained, network: nn.Module, inputs: RunInputs, log: Log, details: Details = NO_DETAILS
) -> list[Results]:
    """The results of each seed's pick. network: a model of the same architecture, which is not changed."""
    results = []
    for pick in trained.picks:
        model = inputs.machine.place(with_weights(network, pick.state))
        results.append(measure(model, inputs, pick.seed, log, frozen=trained.frozen, details=details))
    return results


def with_weights(network: nn.Module, state: Mapping[str, Any]) -> nn.Module:
    """A copy of the network with these weights."""
    model = deepcopy(network)
    model.load_state_dict(state)
    return model


def stages_of(
    trained: Trained, results: list[Results], network: nn.Module, inputs: RunInputs, log: Log
) -> dict[str, Stage] | None:
    """Each stage in order, with its pick and results; None where there is only one."""
    if not trained.earlier_stages:
        return None
    stages = {
        name: (earlier, results_of(earlier, network, inputs, log, results[0].details.from_logits))
        for name, earlier in trained.earlier_stages.items()
    }
    stages[trained.stage] = (trained, results)
    return {
        name: Stage(selected=of_stage.best.selected(), results=join_seeds(its_results), runs=of_stage.runs)
        for name, (of_stage, its_results) in stages.items()
    }


def results_by_choice(
    trained: Trained, results: list[Results], loaded: Loaded, inputs: RunInputs, config: Training, log: Log
) -> dict[str, Choice] | None:
    """One entry for each choice that a method compared. results: those of the picked choice, already measured."""
    if not trained.choices:
        return None
    by_choice = {
        choice: results
        if choice == trained.choice
        else results_of(of_choice, loaded.model, inputs, log, results[0].details.from_logits)
        for choice, of_choice in trained.choices.items()
        if of_choice.picks
    }
    return describe_choices(trained, by_choice, loaded, getattr(config, "merge", None))


def changes_of(
    start: nn.Module | None, saved: nn.Module, loaded: Loaded, inputs: RunInputs, config: Training, log: Log
) -> dict[str, object]:
    """What `--measure` asks for: the saved model compared with `start`, from which its training started."""
    if start is None:
        return {}
    order = head_order(loaded, inputs.task.classes, log)
    if order is not None:
        reorder_head(start, order)
    before, after = inputs.machine.place(start), inputs.machine.place(saved)
    changes: dict[str, object] = {}
    for name in config.measure or ():
        changes |= import_named(COMMANDS[name].measure)(before, after, inputs, log, same_classes=order is not None)
    return changes


def save(
    context: Context[Training], task: Task, trained: Trained, results: list[Results], loaded: Loaded, model: nn.Module,
    parts: dict[str, object],
) -> Answer:  # fmt: skip
    """The report, and beside it the model, the history of every run, the predictions of every seed's pick."""
    history = [run.line(epoch) for run in trained.runs for epoch in run.epochs()]
    save_weights = partial(
        save_model, loaded=loaded, model=model, label_names=task.classes,
        temperature=temperature_of(results, trained),
    )  # fmt: skip
    predictions = pa.concat_tables([result.predictions for result in results])
    return context.answer(
        task, loaded, results, trained=trained, parts=parts, predictions=predictions, save_weights=save_weights,
        history=history, logits=logits_by_seed(results),
    )  # fmt: skip

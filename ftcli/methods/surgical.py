"""Surgical fine-tuning (Lee et al. 2022): only chosen blocks train - by name, each in turn, or chosen by gradients.

Here ID means the target: its training set is what the weights are fitted to, and its ID-val picks.
"""

import time
from copy import deepcopy
from dataclasses import replace
from statistics import fmean

from torch import nn

from ftcli.config.surgical import Surgical
from ftcli.config.training import Training
from ftcli.data.task import Task
from ftcli.engine.budget.halved_search import joined
from ftcli.engine.budget.halving import share_of_budget
from ftcli.engine.evaluate import figures_of_epoch
from ftcli.engine.gradient_scores import SCORINGS
from ftcli.engine.grid import Trained, search
from ftcli.engine.plan import Plan, always
from ftcli.engine.run_inputs import RunInputs
from ftcli.engine.select import Candidate, best
from ftcli.engine.training_run import snapshot
from ftcli.engine.types import Epoch, RunRecord
from ftcli.engine.workload import search_work
from ftcli.log import EpochEnd, Log
from ftcli.methods.initial_head import match_head_to_task, norms_of_head
from ftcli.methods.probe import linear_probe
from ftcli.methods.variants import blocks_started
from ftcli.model.block_names import ModelBlocks, model_blocks
from ftcli.model.head import classifier_tensors, head_of
from ftcli.model.loading.load import Loaded
from ftcli.model.normalization import norm_tensors


def surgical(loaded: Loaded, inputs: RunInputs, config: Training, log: Log) -> Trained:
    """A search for every choice of blocks, each from the same start. ID-val picks the choice that is saved.

    A head that does not have the target's classes is probed first, under every choice.
    """
    assert isinstance(config, Surgical)
    plans = plans_of(loaded.model, model_blocks(loaded.model, config.merge), config)
    searched = {choice: plan for choice, plan in plans.items() if plan.trainable(config.epochs)}
    log.plan({choice: search_work(loaded.model, plan, config, inputs) for choice, plan in searched.items()})
    earlier_stages = {} if loaded.head_loaded else {"probe": linear_probe(loaded, inputs, config, log)}
    if config.probe_c and not earlier_stages:
        log.warn("unused-option", "--probe-c has no effect: the head has the target's classes, and is not probed")
    model = inputs.machine.place(loaded.model)
    heads = {"probe": norms_of_head(head_of(model), inputs)} if earlier_stages else {}
    choices: dict[str, Trained] = {}
    of_one = share_of_budget(config, len(searched))
    for choice, plan in plans.items():
        started = time.perf_counter()
        tuned = tune(model, plan, choice, inputs, of_one, log)
        choices[choice] = replace(tuned, seconds=time.perf_counter() - started)
    best(pick for trained in choices.values() for pick in trained.picks)  # raises where nothing is left
    picked = min((choice for choice, trained in choices.items() if trained.picks), key=lambda c: sort_key(choices[c]))
    runs = [run for choice in sorted(choices) for run in choices[choice].runs]
    images = sum(trained.images for trained in choices.values())
    return replace(
        choices[picked],
        runs=runs,
        earlier_stages=earlier_stages,
        stage="surgical",
        heads=heads,
        images=images,
        choices=choices,
        choice=picked,
        budget=joined({choice: trained.budget for choice, trained in choices.items()}),
        audits=[picks for trained in choices.values() for picks in trained.audits],
    )


def match_head(loaded: Loaded, task: Task, config: Training, log: Log) -> Loaded:
    """The model with its own head where that fits the target's classes: see `match_head_to_task`."""
    assert isinstance(config, Surgical)
    return match_head_to_task(loaded, task, config.head, log)


def trainable_by_choice(model: nn.Module, config: Training) -> dict[str, int]:
    """How many parameters train under each choice. Raises RequestError for blocks that are not there."""
    assert isinstance(config, Surgical)
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    plans = plans_of(model, model_blocks(model, config.merge), config)
    return {choice: sum(sizes[name] for name in plan.trainable(config.epochs)) for choice, plan in plans.items()}


def plans_of(model: nn.Module, blocks: ModelBlocks, config: Surgical) -> dict[str, Plan]:
    """The plan of each choice, in the order of the options."""
    choices = [name for choice in config.blocks or () for name in (blocks.each() if choice == "each" else [choice])]
    plans = {choice: always([name for block in blocks.select(choice) for name in block.tensors]) for choice in choices}
    plans |= {choice: automatic_plan(choice, model, blocks, config) for choice in config.auto or ()}
    return {choice: replace(plan, mixup=config.mixup) for choice, plan in plans.items()}


def automatic_plan(choice: str, model: nn.Module, blocks: ModelBlocks, config: Surgical) -> Plan:
    """The plan of a value of --auto."""
    tensors = [name for block in blocks.blocks for name in block.tensors]
    if choice in SCORINGS:
        norms = set(norm_tensors(model))
        scored = [name for name in tensors if name not in norms]
        return replace(always(scored), scoring=SCORINGS[choice](config.snr_threshold))
    if choice == "l1":
        of_body = [name for block in blocks.body for name in block.tensors]
        return replace(always(tensors), anchored=of_body, l1=config.l1_sp)
    order = blocks.blocks if choice == "gradual-first" else blocks.blocks[::-1]

    def tensors_in(epoch: int) -> list[str]:
        started = order[: blocks_started(epoch, config.epochs, len(order))]
        return [name for block in started for name in block.tensors]

    return Plan(tensors_in)


def tune(model: nn.Module, plan: Plan, choice: str, inputs: RunInputs, config: Surgical, log: Log) -> Trained:
    """The search of one choice; the model as it is where nothing trains."""
    if trainable := plan.trainable(config.epochs):
        tuned = search(lambda seed: deepcopy(model), plan, config, inputs, log, choice)
        return replace(tuned, frozen=trainable <= set(classifier_tensors(model)))
    log.begin_search(choice)
    started, seed = time.perf_counter(), config.seed_list()[0]
    id_val, ood = figures_of_epoch(model, inputs, log, config.ood_every_epoch)
    pick = Candidate(seed, id_val.accuracy, id_val.loss, epoch=0, state=snapshot(model))
    seconds = round(time.perf_counter() - started, 3)
    history = [Epoch(epoch=0, loss=None, id_val=id_val, ood=ood, seconds=seconds)]
    run = RunRecord(choice=choice, seed=seed, epoch=0, id_val=id_val, diverged=False, reason=None, history=history)
    log.epoch(EpochEnd(f"{choice} seed {seed}", 0, run.line(history[0]), rate=None))
    return Trained([run], [pick], frozen=True)


def sort_key(trained: Trained) -> tuple[float, float, int]:
    """Smaller is better: minus the mean ID-val accuracy of the seeds' picks, their mean loss, trained tensors."""
    accuracy, loss = fmean(pick.accuracy for pick in trained.picks), fmean(pick.loss for pick in trained.picks)
    return (-accuracy, loss, len(trained.trained_parameters))

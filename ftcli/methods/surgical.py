"""Surgical fine-tuning (Lee et al. 2022): a part of the network trains, chosen by hand, by trying, or by gradients.

Here ID means the target: its training set is what the weights are fitted to, and its ID-val picks.
"""

import time
from copy import deepcopy
from dataclasses import replace
from statistics import fmean
from typing import Any

from torch import nn

from ftcli.config.training import Surgical, Training
from ftcli.engine.experiment import Experiment
from ftcli.engine.gradient_scores import SCORINGS
from ftcli.engine.grid import Trained, search
from ftcli.engine.plan import Plan, always
from ftcli.engine.select import Candidate, best
from ftcli.engine.train import figures_on, snapshot
from ftcli.log import Log
from ftcli.methods.probe import linear_probe
from ftcli.methods.variants import blocks_started
from ftcli.model.block_names import ModelBlocks, model_blocks
from ftcli.model.head import classifier_tensors
from ftcli.model.loading.load import Loaded
from ftcli.model.normalization import norm_tensors


def surgical(loaded: Loaded, experiment: Experiment, config: Training, log: Log) -> Trained:
    """Every choice is a search of its own from the same start. The one that is saved is picked on ID-val.

    A head that does not know the target's classes is probed first, whatever is chosen.
    """
    assert isinstance(config, Surgical)
    searches = sum(map(bool, tuned_by_choice(loaded.model, config).values()))
    log.plan(searches * len(config.lr) * len(config.seed_list()), config.epochs)
    before = {} if loaded.head_loaded else {"probe": linear_probe(loaded, experiment, config, log)}
    model = experiment.machine.place(loaded.model)
    choices: dict[str, Trained] = {}
    for choice, plan in plans_of(model, model_blocks(model, config.merge), config).items():
        started = time.perf_counter()
        tuned = tune(model, plan, choice, experiment, config, log)
        choices[choice] = replace(tuned, seconds=time.perf_counter() - started)
    best(pick for part in choices.values() for pick in part.picks)  # refuses where nothing is left
    kept = min((choice for choice, part in choices.items() if part.picks), key=lambda choice: merit(choices[choice]))
    runs = [{"choice": choice, **run} for choice in sorted(choices) for run in choices[choice].runs]
    images = sum(part.images for part in choices.values())
    return replace(
        choices[kept], runs=runs, before=before, images=images, choices=choices, choice=kept, stage="surgical"
    )


def tuned_by_choice(model: nn.Module, config: Training) -> dict[str, int]:
    """How many parameters may train under each choice; empty where a method has none to make."""
    if not isinstance(config, Surgical):
        return {}
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    plans = plans_of(model, model_blocks(model, config.merge), config)
    return {choice: sum(sizes[name] for name in plan.ever(config.epochs)) for choice, plan in plans.items()}


def plans_of(model: nn.Module, anatomy: ModelBlocks, config: Surgical) -> dict[str, Plan]:
    """What trains under each choice, in the order asked for."""
    asked = [one for choice in config.blocks or () for one in (anatomy.each() if choice == "each" else [choice])]
    plans = {choice: always([name for block in anatomy.select(choice) for name in block.tensors]) for choice in asked}
    return plans | {choice: automatic(choice, model, anatomy, config) for choice in config.auto or ()}


def automatic(choice: str, model: nn.Module, anatomy: ModelBlocks, config: Surgical) -> Plan:
    """The plan of a choice that no hand has made."""
    every = [name for block in anatomy.blocks for name in block.tensors]
    if choice in SCORINGS:
        norms = set(norm_tensors(model))
        rest = [name for name in every if name not in norms]
        return replace(always(rest), scoring=SCORINGS[choice](config.snr_threshold))
    if choice == "l1":
        held = [name for block in anatomy.body for name in block.tensors]
        return replace(always(every), held=held, l1=config.l1_sp)
    order = anatomy.blocks if choice == "gradual-first" else anatomy.blocks[::-1]

    def moves(epoch: int) -> list[str]:
        started = order[: blocks_started(epoch, config.epochs, len(order))]
        return [name for block in started for name in block.tensors]

    return Plan(moves)


def tune(model: nn.Module, plan: Plan, choice: str, experiment: Experiment, config: Surgical, log: Log) -> Trained:
    """The search of one choice; where nothing trains, the model as it is."""
    if moved := plan.ever(config.epochs):
        tuned = search(lambda seed: deepcopy(model), plan, config, experiment, log, choice)
        return replace(tuned, frozen=moved <= set(classifier_tensors(model)))
    started, seed = time.perf_counter(), config.seed_list()[0]
    figures = figures_on(model, "id_val", experiment, log)
    pick = Candidate(seed, figures["accuracy"], figures["loss"], epoch=0, state=snapshot(model))
    entry: dict[str, Any] = {"epoch": 0, "loss": None, "id_val": figures}
    if config.ood_every_epoch:
        entry["ood"] = {name: figures_on(model, name, experiment, log) for name in experiment.task.ood}
    history = [entry | {"seconds": round(time.perf_counter() - started, 3)}]
    run = {"seed": seed, "epoch": 0, "id_val": figures, "diverged": False, "reason": None, "history": history}
    return Trained([run], [pick], frozen=True)


def merit(trained: Trained) -> tuple[float, float, int]:
    """Smaller is better: the mean ID-val accuracy of the seeds' picks, their mean loss, then the fewer tensors."""
    accuracy, loss = fmean(pick.accuracy for pick in trained.picks), fmean(pick.loss for pick in trained.picks)
    return (-accuracy, loss, len(trained.moved))

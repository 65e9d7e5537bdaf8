"""THE loop: the only place where weights are trained step by step. A method says which tensors, how fast, how long."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from ftcli.config.training import Training
from ftcli.data.loaders import Batch, Loader
from ftcli.engine.experiment import Experiment
from ftcli.engine.frozen_prefix import Ahead, ahead_of
from ftcli.engine.gradient_scores import BATCHES
from ftcli.engine.plan import Plan
from ftcli.engine.predict import predict, score
from ftcli.engine.resume.progress import Progress
from ftcli.engine.select import Candidate, best
from ftcli.engine.training_run import Run
from ftcli.engine.update import Diverged, Updater
from ftcli.errors import RequestError
from ftcli.log import Log
from ftcli.model.normalization import batch_norms
from ftcli.seeds import derive_seed


@dataclass(frozen=True)
class Stage:
    """One stretch of training: the plan of the method, and the peak rate. The rest is the configuration's."""

    plan: Plan
    lr: float
    config: Training


def fit(model: nn.Module, stage: Stage, experiment: Experiment, seed: int, log: Log, name: str = "") -> Run:
    """Train `model` in place through one stage.

    The order of the data, the augmentation and dropout depend on (seed, epoch) alone: not on workers, on what ran
    before, or on the learning rate. A diverged run stops, is recorded and puts no candidate forward.
    """
    config, run, machine = stage.config, Run(seed, stage.lr), experiment.machine
    skip_single = config.bn == "train"  # batch statistics of a single image mean nothing
    assert experiment.train is not None
    steps = experiment.train.steps(skip_single=skip_single)
    if skip_single:
        check_batches(model, config, experiment.train.n, machine.processes)
    updater = Updater(model, stage.plan, config, stage.lr, machine, steps, experiment.class_weights(config), log)
    progress = Progress(experiment.checkpointer, name, run, updater)
    if progress.at.finished:
        return run
    ahead = ahead_of(model, stage.plan, config, experiment, log)
    if config.epoch_zero and not run.history:
        consider(run, updater, 0, None, experiment, log, time.perf_counter(), ahead)
    for epoch in range(progress.at.epochs + 1, config.epochs + 1):
        started, done = time.perf_counter(), progress.at.updates
        torch.manual_seed(derive_seed("noise in the network", seed, epoch, *([machine.rank] if machine.rank else [])))
        try:
            shares = progress.at.shares if done else shares_of(epoch, updater, experiment, run)
            updater.begin(epoch, shares)
            loader = experiment.train
            if ahead and (short := ahead.training(updater.moving or ())):
                loader, updater.network = short.loader, short.network
            progress.enter()
            batches = batches_of(epoch, config, loader, seed, done)
            for updates, batch in enumerate(
                log.track(batches, f"{name} epoch {epoch}/{config.epochs}", steps), done + 1
            ):
                updater.update(batch)
                progress.stepped(epoch, updates, shares)
            consider(run, updater, epoch, updater.end(), experiment, log, started, ahead)
        except Diverged as reason:
            run.diverged, run.candidate = f"epoch {epoch}: {reason}", None
            log.note(f"{name} diverged in {run.diverged}")
            break
        last = run.history[-1]
        log.epoch(name, epoch, config.epochs, last["loss"], last["id_val"]["accuracy"], last["seconds"])
        progress.ended(epoch)
    progress.finished()
    return run


def batches_of(epoch: int, config: Training, loader: Loader, seed: int, done: int = 0) -> Iterator[Batch]:
    """The batches of an epoch, the same each time they are asked for; without the first ones that are `done`."""
    balanced, skip_single = config.sampling == "balanced", config.bn == "train"
    return loader.shuffled(seed, epoch, skip_single=skip_single, balanced=balanced, done=done)


def shares_of(epoch: int, updater: Updater, experiment: Experiment, run: Run) -> dict[str, float] | None:
    """Each tensor's share of the rate, by its score on the epoch's first batches; None without scoring."""
    scoring = updater.plan.scoring
    if scoring is None:
        return None
    assert experiment.train is not None
    scores = updater.scores(list(islice(batches_of(epoch, updater.config, experiment.train, run.seed), BATCHES)))
    run.scores.append({"epoch": epoch, "tensors": scores})
    return scoring.shares(scores)


def check_batches(model: nn.Module, config: Training, n: int, processes: int) -> None:
    """Raises RequestError where a process would have to find the variance of a single one of the n images."""
    fewest = 2 * processes
    if n < fewest:
        raise RequestError(
            f"{n} training images are fewer than two for each of {processes} processes, and one has no statistics.",
            "--bn eval, or fewer processes",
        )
    if config.batch_size < fewest and batch_norms(model):
        raise RequestError(
            f"--batch-size {config.batch_size} leaves BatchNorm batches of one image, which have no variance.",
            f"--batch-size {fewest} or more, or --bn eval",
        )


def consider(
    run: Run, updater: Updater, epoch: int, loss: float | None, experiment: Experiment, log: Log, started: float,
    ahead: Ahead | None,
) -> None:  # fmt: skip
    """Write the epoch into the run's history; keep its weights where it is the one that the run stands for.

    Raises Diverged where ID-val shows it first: with one step an epoch, the training loss comes from before that step.
    """
    model, config = updater.result, updater.config
    id_val = figures_on(model, "id_val", experiment, log, ahead)
    updater.check_loss(id_val["loss"], "the ID-val loss")
    entry: dict[str, Any] = {"epoch": epoch, "loss": loss, "id_val": id_val}
    if config.ood_every_epoch:
        entry["ood"] = {name: figures_on(model, name, experiment, log, ahead) for name in experiment.task.ood}
    run.history.append(entry | {"seconds": round(time.perf_counter() - started, 3)})
    candidate = Candidate(run.seed, id_val["accuracy"], id_val["loss"], epoch=epoch, lr=run.lr)
    if run.candidate is None or config.pick == "last" or best([run.candidate, candidate]) is candidate:
        earlier = run.candidate.state if run.candidate else {}
        changed = snapshot_of(updater.changing if earlier else updater.weights)
        run.candidate = replace(candidate, state=earlier | changed)


def figures_on(
    model: nn.Module, name: str, experiment: Experiment, log: Log, ahead: Ahead | None = None
) -> dict[str, float]:
    """Accuracy (a fraction) and mean cross-entropy on one set, among the classes that the set covers.

    ahead: what is known of this very model before the pass.
    """
    data, loader, machine = experiment.task.sets()[name], experiment.sets[name], experiment.machine
    if ahead and (short := ahead.evaluating(name)):
        logits = predict(model, short.loader, machine, log, name, short.way).logits
    else:
        logits = predict(model, loader, machine, log, name).logits
    labels = torch.from_numpy(data.labels)
    if data.restrict is not None:
        covered = torch.tensor(data.restrict)
        logits, labels = logits[:, covered], torch.searchsorted(covered, labels)
    accuracy, loss = score(logits, labels)
    return {"accuracy": accuracy, "loss": loss}


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    """A copy of the weights on the CPU."""
    return snapshot_of(model.state_dict())


def snapshot_of(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in weights.items()}

"""The training loop: epochs, steps, and in each step forward pass, loss, backward pass, clipping and optimizer step.

It is the only place where weights are trained on labels. A method gives it a plan: which tensors train in which epoch.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from math import isfinite
from typing import Any

import torch
from torch import Tensor, nn

from ftcli.config.training import Training
from ftcli.data.loaders import Batch
from ftcli.engine.evaluate import figures_of_epoch
from ftcli.engine.experiment import Experiment
from ftcli.engine.frozen_prefix import FrozenPrefix, frozen_prefix_of
from ftcli.engine.gradient_scores import SCORED_BATCHES, GradientSource, Scoring
from ftcli.engine.plan import Plan
from ftcli.engine.resume.checkpointer import RunCheckpoint
from ftcli.engine.resume.position import Position, capture_run, restore_run, set_random_states
from ftcli.engine.select import Candidate, best
from ftcli.engine.training.divergence import Diverged
from ftcli.engine.training.loss import BatchLoss, balanced_class_weights
from ftcli.engine.training_run import Run, copy_to_cpu
from ftcli.engine.training_state import TrainingState
from ftcli.errors import RequestError
from ftcli.log import Log
from ftcli.model.normalization import batch_norms
from ftcli.seeds import derive_seed


def fit(
    model: nn.Module, plan: Plan, lr: float, config: Training, experiment: Experiment, seed: int, log: Log,
    name: str = "",
) -> Run:  # fmt: skip
    """Train `model` in place under a plan, at the peak learning rate `lr`; `name` is the run's, in messages and states.

    The order of the data, the augmentation and dropout depend on (seed, epoch) alone: not on workers, on what ran
    before, or on the learning rate. A diverged run stops, is recorded and puts no candidate forward.
    """
    run, state = Run(seed, lr), training_state(model, plan, lr, config, experiment, log)
    checkpoint = RunCheckpoint(experiment.checkpointer, name, lambda: capture_run(run, state, position))
    position = checkpoint.restore(partial(restore_run, run=run, state=state, epochs=config.epochs)) or Position()
    experiment.machine.wait_for_all()  # the first process may replace the saved state once all have read it
    if position.finished:
        return run
    prefix = frozen_prefix_of(model, plan, config.epochs, config.ema, experiment, log)
    if config.epoch_zero and not run.history:
        evaluate_epoch(run, state, 0, None, config, experiment, prefix, log, time.perf_counter())
    for epoch in range(position.epochs + 1, config.epochs + 1):
        started = time.perf_counter()
        try:
            position, network, batches = begin_epoch(run, state, epoch, position, config, experiment, prefix)
            checkpoint.begin_steps()
            for batch in log.track(batches, f"{name} epoch {epoch}/{config.epochs}", state.steps_per_epoch):
                train_step(state, network, batch)
                position = replace(position, updates=position.updates + 1)
                checkpoint.after_step()
            loss = state.loss_watch.mean_of_epoch(state.parameters.values())
            state.machine.broadcast_buffers(state.result)
            evaluate_epoch(run, state, epoch, loss, config, experiment, prefix, log, started)
        except Diverged as reason:
            run.diverged, run.candidate = f"epoch {epoch}: {reason}", None
            log.note(f"{name} diverged in {run.diverged}")
            break
        last = run.history[-1]
        log.epoch(name, epoch, config.epochs, last["loss"], last["id_val"]["accuracy"], last["seconds"])
        position = Position(epoch)
        checkpoint.after_epoch()
    position = Position(finished=True)
    checkpoint.end_steps(save=True)
    return run


def train_step(state: TrainingState, network: Callable[[Tensor], Tensor], batch: Batch) -> None:
    """One update. Raises Diverged; on a GPU some steps late, because reading a loss makes the host wait for it."""
    while True:
        state.clear_gradients()
        with state.micro_batches:  # out of memory: the loop tries again, in more micro-batches
            losses = [forward_and_backward(state, network, micro) for micro in state.micro_batches.of(batch)]
            break
    state.loss_watch.add(losses)  # before the step: on a CPU, nothing that diverged is applied
    if not state.trainable:  # no tensor's gradient score reached the threshold in this epoch
        state.optimizer.step()
        state.schedule.step()
        return
    state.scaler.unscale_(state.optimizer)
    state.anchor_penalty.add_gradients()
    if state.clip_norm is not None:
        nn.utils.clip_grad_norm_(list(state.parameters.values()), state.clip_norm)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    state.schedule.step()
    if state.ema is not None:
        state.ema.update(state.model)


def forward_and_backward(state: TrainingState, network: Callable[[Tensor], Tensor], batch: Batch) -> Tensor:
    """Add the gradients of a batch's, or a micro-batch's, share of the loss; gives this share, a scalar."""
    with state.machine.autocast():
        logits = network(batch.images)  # [b, K]
    loss = state.loss_function(logits.float(), batch)
    if state.trainable:
        # Processes average their gradients: times the number of processes, the average is the sum.
        processes = state.machine.processes
        state.scaler.scale(loss * processes if processes > 1 else loss).backward()
    return loss.detach()


def training_state(
    model: nn.Module, plan: Plan, lr: float, config: Training, experiment: Experiment, log: Log
) -> TrainingState:
    """The state before the first step. Raises RequestError for batches too small for BatchNorm."""
    train, machine, weights = experiment.train, experiment.machine, None
    assert train is not None and experiment.task.train is not None
    batch_statistics = config.bn == "train"
    if batch_statistics:
        check_batch_size(model, config.batch_size, train.n, machine.processes)
    if config.class_weights == "balanced":
        weights = balanced_class_weights(experiment.task.train.labels, experiment.num_classes).to(machine.device)
    loss_function = BatchLoss(weights, config.label_smoothing)
    steps_per_epoch = train.steps(skip_single=batch_statistics)
    return TrainingState(model, plan, lr, config, loss_function, steps_per_epoch, machine, log)


def check_batch_size(model: nn.Module, batch_size: int, n: int, processes: int) -> None:
    """Raises RequestError where BatchNorm would have to find the variance of a single image of the n in a process."""
    smallest = 2 * processes
    if n < smallest:
        raise RequestError(
            f"{n} training images are fewer than two for each of {processes} processes, and one has no statistics.",
            "--bn eval, or fewer processes",
        )
    if batch_size < smallest and batch_norms(model):
        raise RequestError(
            f"--batch-size {batch_size} leaves BatchNorm batches of one image, which have no variance.",
            f"--batch-size {smallest} or more, or --bn eval",
        )


def begin_epoch(
    run: Run, state: TrainingState, epoch: int, position: Position, config: Training, experiment: Experiment,
    prefix: FrozenPrefix | None,
) -> tuple[Position, Callable[[Tensor], Tensor], Iterator[Batch]]:  # fmt: skip
    """Seed the epoch and freeze what does not train in it; gives the position in it, the network and its batches.

    The position is the epoch's start, or the one that was restored; the batches follow it. Where the frozen prefix's
    outputs are stored, batches hold these and the network is the rest.
    """
    machine, loader = state.machine, experiment.train
    assert loader is not None
    torch.manual_seed(derive_seed("noise in the network", run.seed, epoch, *([machine.rank] if machine.rank else [])))
    options: dict[str, Any] = {"skip_single": config.bn == "train", "balanced": config.sampling == "balanced"}
    shares = position.shares
    if state.plan.scoring is not None and not position.updates:
        first = list(islice(loader.shuffled(run.seed, epoch, **options), SCORED_BATCHES))
        scores = gradient_scores(state, state.plan.scoring, first)
        run.scores.append({"epoch": epoch, "tensors": scores})
        shares = state.plan.scoring.rate_shares(scores)
    state.begin_epoch(epoch, shares)
    network: Callable[[Tensor], Tensor] = state.network
    if prefix and (suffix := prefix.training_forward(state.trainable or ())):
        loader, network = suffix.loader, suffix.network
    state.loss_watch.losses = list(position.losses)
    if position.updates:
        set_random_states(position.random_states, machine.device)
    position = replace(position, shares=shares, losses=state.loss_watch.losses)
    return position, network, loader.shuffled(run.seed, epoch, done=position.updates, **options)


def gradient_scores(state: TrainingState, scoring: Scoring, batches: list[Batch]) -> dict[str, float]:
    """The score of every tensor that may train. Raises Diverged where one is not finite."""
    state.begin_scoring()
    source = GradientSource(
        state.model, state.parameters, batches, state.loss_function, state.machine, state.micro_batches
    )
    scores = scoring.scores(source)
    if not all(map(isfinite, scores.values())):
        raise Diverged("a score is not finite")
    return scores


def evaluate_epoch(
    run: Run, state: TrainingState, epoch: int, loss: float | None, config: Training, experiment: Experiment,
    prefix: FrozenPrefix | None, log: Log, started: float,
) -> None:  # fmt: skip
    """Add an epoch to the run's history, and keep its weights where it becomes the epoch that the run puts forward.

    started: of time.perf_counter. Raises Diverged where ID-val shows it first: with one step an epoch, the training
    loss comes from before that step.
    """
    figures = figures_of_epoch(state.result, experiment, log, config.ood_every_epoch, prefix)
    id_val = figures["id_val"]
    state.loss_watch.check(id_val["loss"], "the ID-val loss")
    seconds = round(time.perf_counter() - started, 3)
    run.history.append({"epoch": epoch, "loss": loss, **figures, "seconds": seconds})
    candidate = Candidate(run.seed, id_val["accuracy"], id_val["loss"], epoch=epoch, lr=run.lr)
    if run.candidate is None or config.pick == "last" or best([run.candidate, candidate]) is candidate:
        earlier = run.candidate.state if run.candidate else {}
        changed = copy_to_cpu(state.changing if earlier else state.weights)
        run.candidate = replace(candidate, state=earlier | changed)

"""The training loop: epochs, steps, and in each step forward pass, loss, backward pass, clipping and optimizer step.

It is the only loop of gradient steps on labels. A method gives it a plan: which tensors train in which epoch.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from itertools import islice
from math import isfinite

import torch
from torch import Tensor, nn

from ftcli.config.training import Training
from ftcli.data.loader import Batch
from ftcli.engine.batchnorm import has_statistics, reestimate
from ftcli.engine.evaluate import figures_of_epoch
from ftcli.engine.frozen_prefix import FrozenPrefix, frozen_prefix_of, same_in_every_epoch
from ftcli.engine.gradient_scores import SCORED_BATCHES, GradientSource, Scoring
from ftcli.engine.plan import Plan
from ftcli.engine.resume.checkpointer import RunCheckpoint
from ftcli.engine.resume.position import Position, capture_run, restore_run, set_random_states
from ftcli.engine.run_inputs import RunInputs
from ftcli.engine.select import Candidate, best
from ftcli.engine.training.divergence import Diverged
from ftcli.engine.training.feature_anchor import FeatureAnchor
from ftcli.engine.training.gradient_checkpointing import uses_checkpointing
from ftcli.engine.training.loss import BatchLoss, balanced_class_weights
from ftcli.engine.training.low_rank import LowRankNetwork
from ftcli.engine.training_run import Run, copy_to_cpu
from ftcli.engine.training_state import TrainingState
from ftcli.engine.types import Epoch, EpochScores
from ftcli.errors import RequestError
from ftcli.log import EpochEnd, Log
from ftcli.model.normalization import batch_norms
from ftcli.seeds import derive_seed
from ftcli.workload import STEP


def fit(
    model: nn.Module, plan: Plan, lr: float, config: Training, inputs: RunInputs, seed: int, log: Log,
    name: str = "", choice: str = "", since: int = 0, until: int | None = None,
) -> Run:  # fmt: skip
    """Train `model` in place under a plan, at the peak learning rate `lr`; `name` is the run's, in messages and states.
    choice: of several, the one that the run belongs to.

    until: the epoch after which the run pauses, its state saved; called again, it goes on from there. since: where it
    paused last, for the progress that is shown. The schedule is that of all epochs, whatever the pauses.

    Data order, augmentation and dropout depend only on (seed, epoch), dropout also on the process: not on workers, on
    what ran before, or on the learning rate. A diverged run stops, is recorded and puts no candidate forward.
    """
    run, state = Run(seed, lr, choice=choice), training_state(model, plan, lr, config, inputs, seed, log)
    checkpoint = RunCheckpoint(inputs.checkpointer, name, lambda: capture_run(run, state, position))
    end = config.epochs if until is None else until
    restored = checkpoint.restore(partial(restore_run, run=run, state=state, epochs=config.epochs, until=end))
    position = restored or Position()
    paused = position.epochs >= end and end < config.epochs  # after the last epoch it is still to be marked finished
    over = position.finished or paused
    resumed = restored is not None and (position.epochs, position.updates) != (since, 0)
    told = since or -1  # the last epoch that was told before the run paused
    log.begin_run(
        position.epochs, config.epochs, resumed=resumed, finished=over, since=since, until=end, name=name,
        ended=[epoch_end(name, run, entry, state, config.epochs) for entry in run.history if entry.epoch > told],
    )  # fmt: skip
    inputs.machine.wait_for_all()  # the first process may overwrite the saved state only after all have read it
    if over:
        return run
    prefix = frozen_prefix_of(model, plan, config, inputs, log)
    if config.epoch_zero and not run.history:
        evaluate_epoch(run, state, 0, None, config, inputs, prefix, log, time.perf_counter())
        log.epoch(epoch_end(name, run, run.history[-1], state, config.epochs))
    for epoch in range(position.epochs + 1, end + 1):
        started = time.perf_counter()
        try:
            position, network, batches = begin_epoch(run, state, epoch, position, config, inputs, prefix)
            checkpoint.begin_steps()
            label = f"{name} epoch {epoch}/{config.epochs}"
            for batch in log.track(batches, label, state.steps_per_epoch - position.updates, STEP):
                train_step(state, network, batch)
                position = replace(position, updates=position.updates + 1)
                checkpoint.after_step()
            loss = state.loss_watch.mean_of_epoch(state.parameters.values())
            state.machine.broadcast_buffers(state.eval_model)
            evaluate_epoch(run, state, epoch, loss, config, inputs, prefix, log, started)
        except Diverged as reason:
            run.diverged, run.candidate = f"epoch {epoch}: {reason}", None
            log.note(f"{name} diverged in {run.diverged}")
            break
        log.epoch(epoch_end(name, run, run.history[-1], state, config.epochs))
        position = Position(epoch)
        checkpoint.after_epoch()
    if run.diverged or end == config.epochs:
        position = Position(finished=True)
    checkpoint.end_steps(save=True)
    return run


def epoch_end(name: str, run: Run, entry: Epoch, state: TrainingState, epochs: int) -> EpochEnd:
    """What the log is told of an epoch of a run of so many."""
    return EpochEnd(name, epochs, run.record().line(entry), state.rate_at_end_of(entry.epoch))


def train_step(state: TrainingState, network: Callable[[Tensor], Tensor], batch: Batch) -> None:
    """One optimizer step. Raises Diverged; on a GPU up to 50 steps later, because losses are read in bulk."""
    while True:
        state.clear_gradients()
        with state.micro_batches:  # out of memory is caught here, and the loop tries again in more micro-batches
            losses = [forward_and_backward(state, network, micro) for micro in state.micro_batches.of(batch)]
            break
    state.loss_watch.add(losses)  # before the step: on a CPU, a diverged loss is never applied
    if not state.trainable:  # gradient scores froze every tensor in this epoch: only the schedule advances
        state.optimizer.step()
        state.schedule.step()
        state.update_mean()
        return
    state.scaler.unscale_(state.optimizer)
    state.anchor_penalty.add_gradients()
    if state.clip_norm is not None:
        nn.utils.clip_grad_norm_(list(state.parameters.values()), state.clip_norm)
    if state.projection:
        state.projection.before_step()
    state.scaler.step(state.optimizer)
    state.scaler.update()
    if state.projection:
        state.projection.after_step()
    state.schedule.step()
    state.update_mean()


def forward_and_backward(state: TrainingState, network: Callable[[Tensor], Tensor], batch: Batch) -> Tensor:
    """Backpropagate the share of the batch's loss that these examples have; gives this share, a scalar, without the
    penalty of the feature anchor.
    """
    anchor = state.feature_anchor
    recording: AbstractContextManager[list[Tensor]] = anchor.recording(batch.images) if anchor else nullcontext([])
    with state.checkpointing.on():
        with state.machine.autocast(), recording as outputs:
            logits = network(batch.images)  # [b, K]
        loss = state.loss_function(logits.float(), batch)
        if state.trainable:
            objective = loss + anchor.penalty(outputs, batch) if anchor else loss
            # DDP averages gradients over processes, and shares must be summed: so times the number of processes.
            processes = state.machine.processes
            with state.checkpointing.same_statistics():
                state.scaler.scale(objective * processes if processes > 1 else objective).backward()
    return loss.detach()


def training_state(
    model: nn.Module, plan: Plan, lr: float, config: Training, inputs: RunInputs, seed: int, log: Log
) -> TrainingState:
    """The state before the first step. Raises RequestError for batches too small for BatchNorm."""
    train, machine, weights = inputs.train, inputs.machine, None
    assert train is not None and inputs.task.train is not None
    batch_statistics = config.bn == "train"
    if batch_statistics:
        check_batch_size(model, config.batch_size, train.n, machine.processes)
        if config.ma and machine.processes > 1 and has_statistics(model):
            raise RequestError(
                "--ma: BatchNorm of the mean is estimated by one process, and there are several.",
                "start one process, or --bn eval",
            )
    if config.class_weights == "balanced":
        weights = balanced_class_weights(inputs.task.train.labels, inputs.num_classes).to(machine.device)
    loss_function = BatchLoss(weights, config.label_smoothing)
    steps_per_epoch = train.steps(skip_single=batch_statistics)
    anchor, low_rank = None, None
    if plan.low_rank:
        low_rank = LowRankNetwork(model, plan.low_rank.parameters, plan.low_rank.rank, seed)
    if plan.ldifs:
        same = machine.processes == 1 and same_in_every_epoch(train, plan.mixup is not None)
        trained, again = low_rank.module if low_rank else model, uses_checkpointing(config)
        anchor = FeatureAnchor(trained, plan.ldifs, machine, train if same else None, log, again)
    return TrainingState(model, plan, lr, config, loss_function, steps_per_epoch, machine, log, anchor, low_rank)


def check_batch_size(model: nn.Module, batch_size: int, n: int, processes: int) -> None:
    """Raises RequestError where a process would get batches of one image, of which BatchNorm has no variance."""
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
    run: Run, state: TrainingState, epoch: int, position: Position, config: Training, inputs: RunInputs,
    prefix: FrozenPrefix | None,
) -> tuple[Position, Callable[[Tensor], Tensor], Iterator[Batch]]:  # fmt: skip
    """Seed the epoch and freeze what does not train in it; gives the position in it, the network and its batches.

    The position is the epoch's start, or the restored step, from which the batches go on. Where the outputs of the
    frozen prefix are stored, batches hold these, and the network is the suffix.
    """
    machine, loader = state.machine, inputs.train
    assert loader is not None
    torch.manual_seed(derive_seed("noise in the network", run.seed, epoch, *([machine.rank] if machine.rank else [])))
    options: dict[str, bool] = {"skip_single": config.bn == "train", "balanced": config.sampling == "balanced"}
    shares = position.shares
    if state.plan.scoring is not None and not position.updates:
        first = list(islice(loader.shuffled(run.seed, epoch, **options), SCORED_BATCHES))
        scores = gradient_scores(state, state.plan.scoring, first)
        run.scores.append(EpochScores(epoch, scores))
        shares = state.plan.scoring.rate_shares(scores)
    state.begin_epoch(epoch, shares)
    network: Callable[[Tensor], Tensor] = state.network
    # What follows the stored outputs would run without checkpointing: it is made of the parts of the blocks.
    if prefix and not state.checkpointing.enabled and (suffix := prefix.training_forward(state.trainable or ())):
        loader, network = suffix.loader, suffix.network
    state.loss_watch.losses = list(position.losses)
    if position.updates:
        set_random_states(position.random_states, machine.device)
    position = replace(position, shares=shares, losses=state.loss_watch.losses)
    batches = loader.shuffled(run.seed, epoch, done=position.updates, mixup=state.plan.mixup, **options)
    return position, network, batches


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
    run: Run, state: TrainingState, epoch: int, loss: float | None, config: Training, inputs: RunInputs,
    prefix: FrozenPrefix | None, log: Log, started: float,
) -> None:  # fmt: skip
    """Append the epoch to the history; keep its weights if it is the best so far, or with --pick last.

    started: of time.perf_counter. Raises Diverged if the loss on ID-val has blown up: with one step an epoch, the
    training loss was computed before that step.
    """
    state.merge()
    if layers := state.layers_of_mean(epoch):
        assert inputs.plain is not None
        reestimate(state.eval_model, inputs.plain, inputs.machine, run.seed, log, "BatchNorm of the mean", layers)
    id_val, ood = figures_of_epoch(state.eval_model, inputs, log, config.ood_every_epoch, prefix)
    state.loss_watch.check(id_val.loss, "the ID-val loss")
    seconds = round(time.perf_counter() - started, 3)
    run.history.append(Epoch(epoch=epoch, loss=loss, id_val=id_val, ood=ood, seconds=seconds))
    candidate = Candidate(run.seed, id_val.accuracy, id_val.loss, epoch=epoch, lr=run.lr)
    if run.candidate is None or config.pick == "last" or best([run.candidate, candidate]) is candidate:
        earlier = run.candidate.state if run.candidate else {}
        changed = copy_to_cpu(state.changeable if earlier else state.weights)
        run.candidate = replace(candidate, state=earlier | changed)

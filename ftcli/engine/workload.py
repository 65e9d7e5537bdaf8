"""How much the runs of one search have to do."""

from collections.abc import Iterable

from torch import nn

from ftcli.config.details.estimates import MOST_CORRUPTED, NUCLEAR
from ftcli.config.training import Training
from ftcli.data.shifts.shift import CORRUPTION_NAMES, SEVERITIES
from ftcli.engine.batchnorm import has_statistics
from ftcli.engine.budget.halving import halving_of
from ftcli.engine.frozen_prefix import has_frozen_prefix, same_in_every_epoch
from ftcli.engine.plan import Plan
from ftcli.engine.predict import batch_sizes
from ftcli.engine.run_inputs import RunInputs
from ftcli.engine.training.gradient_checkpointing import uses_checkpointing
from ftcli.model.head import classifier_tensors
from ftcli.workload import BACKWARD, EPOCH_PASS, STEP, Loop, SearchWork


def search_work(model: nn.Module, plan: Plan, config: Training, inputs: RunInputs) -> SearchWork:
    """The runs of a search, what each does in an epoch, and the evaluation of its picks on every set."""
    assert inputs.train is not None
    order = [name for name, _ in model.named_parameters()]  # about the order in which the network computes
    tuned, seeds = plan.trainable(config.epochs), len(config.seed_list())
    behind = sum(share_behind(order, set(plan.tensors_in(epoch))) for epoch in range(1, config.epochs + 1))
    backward = BACKWARD * behind / config.epochs
    stored = has_frozen_prefix(model, plan, config, inputs.machine)
    suffix = share_behind(order, tuned) if stored else 1.0
    evaluated = ["id_val", *(inputs.task.labelled_ood if config.ood_every_epoch else ())]
    same = same_in_every_epoch(inputs.train, plan.mixup is not None)
    again = uses_checkpointing(config)  # runs the forward pass of what trains a second time
    forward = suffix if same and not again else 1.0 + (plan.ldifs > 0)  # of the training images; LDIFS has two networks
    forward += behind / config.epochs if again else 0.0
    estimated = 0  # batches of the pass for the BatchNorm statistics of a mean
    if config.ma and config.bn == "train" and has_statistics(model) and inputs.plain is not None:
        estimated = inputs.plain.steps(skip_single=True)
    return SearchWork(
        runs=len(config.lr) * seeds,
        epochs=config.epochs,
        epoch={
            STEP: Loop(inputs.train.steps(skip_single=config.bn == "train"), forward + backward),
            EPOCH_PASS: Loop(batches(inputs, evaluated) + estimated, suffix),
        },
        evaluation=0 if tuned <= set(classifier_tensors(model)) else seeds * evaluated_batches(config, inputs),
        bounds=halving_of(config, 1).bounds() if config.budget else None,
    )


def evaluated_batches(config: Training, inputs: RunInputs) -> int:
    """Batches of the evaluation of a pick, with the corrupted images that --estimate nuclear asks for."""
    corrupted = 0
    if NUCLEAR in config.details().estimates and (id_val := inputs.sets.get("id_val")):
        sizes = batch_sizes(min(id_val.n, MOST_CORRUPTED), id_val.batch_size, inputs.machine.processes)
        corrupted = len(CORRUPTION_NAMES) * len(SEVERITIES) * len(sizes)
    return batches(inputs, inputs.sets) + corrupted


def share_behind(order: list[str], trained: set[str]) -> float:
    """Share of the parameters, in their order, that lie behind the first one that is trained, itself included."""
    first = next((i for i, name in enumerate(order) if name in trained), len(order))
    return 1 - first / len(order)


def batches(inputs: RunInputs, names: Iterable[str]) -> int:
    """Batches of a pass over these sets."""
    loaders = [inputs.sets[name] for name in names]
    return sum(len(batch_sizes(loader.n, loader.batch_size, inputs.machine.processes)) for loader in loaders)

"""A model on the sets of a task: all its logits, or the two figures that selection goes by."""

import torch
from msgspec import UNSET, UnsetType
from torch import Tensor, nn

from ftcli.engine.features.frozen_body import FrozenBody
from ftcli.engine.frozen_prefix import FrozenPrefix
from ftcli.engine.predict import predict, score
from ftcli.engine.run_inputs import RunInputs
from ftcli.engine.types import Score
from ftcli.log import Log
from ftcli.workload import EPOCH_PASS


def figures_on(model: nn.Module, name: str, inputs: RunInputs, log: Log, prefix: FrozenPrefix | None = None) -> Score:
    """Accuracy (a fraction) and mean cross-entropy on one set, among the classes that the set covers.

    prefix: the model's frozen prefix, whose outputs are computed once for all epochs.
    """
    data = inputs.task.sets()[name]
    forward = prefix.evaluation_forward(name) if prefix else None
    logits = predict(model, forward or inputs.sets[name], inputs.machine, log, name, EPOCH_PASS).logits
    labels = torch.from_numpy(data.labels)
    if data.restrict is not None:
        covered = torch.tensor(data.restrict)
        logits, labels = logits[:, covered], torch.searchsorted(covered, labels)
    return Score(*score(logits, labels))


def figures_of_epoch(
    model: nn.Module, inputs: RunInputs, log: Log, ood_every_epoch: bool, prefix: FrozenPrefix | None = None
) -> tuple[Score, dict[str, Score] | UnsetType]:
    """What a run's history holds of an epoch: the figures on ID-val and, where asked for, on the OOD sets."""
    id_val = figures_on(model, "id_val", inputs, log, prefix)
    if not ood_every_epoch:
        return id_val, UNSET
    return id_val, {name: figures_on(model, name, inputs, log, prefix) for name in inputs.task.labelled_ood}


def all_logits(model: nn.Module, inputs: RunInputs, log: Log, frozen: bool) -> dict[str, Tensor]:
    """The logits [N, K] of every set of the task, on the CPU. frozen: keep the body's features for later commands."""
    if frozen:
        return frozen_logits(FrozenBody(model, inputs.feature_cache, log), inputs)
    machine, sets = inputs.machine, inputs.sets
    logits = {name: predict(model, loader, machine, log, name).logits for name, loader in sets.items()}
    return _warned_of_constants(logits, inputs, log)


def frozen_logits(body: FrozenBody, inputs: RunInputs) -> dict[str, Tensor]:
    """`all_logits` of a model whose body stays as it is; `body` then has the features that they were computed from."""
    logits = {name: body.logits(loader, name) for name, loader in inputs.sets.items()}
    return _warned_of_constants(logits, inputs, body.log)


def _warned_of_constants(logits: dict[str, Tensor], inputs: RunInputs, log: Log) -> dict[str, Tensor]:
    """The same logits, with a warning of every set of different images that all have the same ones."""
    for name, of_set in logits.items():
        if (of_set == of_set[0]).all() and len(set(inputs.sets[name].data.pixel_digests)) > 1:
            log.warn("constant-outputs", f"{name}: the model puts out the same for all of its {len(of_set)} images")
    return logits

"""A model on the sets of a task: all its logits, or the two figures that selection goes by."""

from typing import Any

import torch
from torch import Tensor, nn

from ftcli.engine.experiment import Experiment
from ftcli.engine.features.frozen_body import FrozenBody
from ftcli.engine.frozen_prefix import FrozenPrefix
from ftcli.engine.predict import predict, score
from ftcli.log import Log


def figures_on(
    model: nn.Module, name: str, experiment: Experiment, log: Log, prefix: FrozenPrefix | None = None
) -> dict[str, float]:
    """Accuracy (a fraction) and mean cross-entropy on one set, among the classes that the set covers.

    prefix: the model's frozen prefix, whose outputs are computed once for all epochs.
    """
    data = experiment.task.sets()[name]
    forward = prefix.evaluation_forward(name) if prefix else None
    logits = predict(model, forward or experiment.sets[name], experiment.machine, log, name).logits
    labels = torch.from_numpy(data.labels)
    if data.restrict is not None:
        covered = torch.tensor(data.restrict)
        logits, labels = logits[:, covered], torch.searchsorted(covered, labels)
    accuracy, loss = score(logits, labels)
    return {"accuracy": accuracy, "loss": loss}


def figures_of_epoch(
    model: nn.Module, experiment: Experiment, log: Log, ood_every_epoch: bool, prefix: FrozenPrefix | None = None
) -> dict[str, Any]:
    """What a run's history holds of an epoch: the figures on ID-val and, where asked for, on the OOD sets."""
    figures: dict[str, Any] = {"id_val": figures_on(model, "id_val", experiment, log, prefix)}
    if ood_every_epoch:
        figures["ood"] = {name: figures_on(model, name, experiment, log, prefix) for name in experiment.task.ood}
    return figures


def all_logits(model: nn.Module, experiment: Experiment, log: Log, frozen: bool) -> dict[str, Tensor]:
    """The logits [N, K] of every set of the task, on the CPU. frozen: keep the body's features for later commands."""
    machine, sets = experiment.machine, experiment.sets
    if frozen:
        body = FrozenBody(model, experiment.feature_cache, log)
        logits = {name: body.logits(loader, name) for name, loader in sets.items()}
    else:
        logits = {name: predict(model, loader, machine, log, name).logits for name, loader in sets.items()}
    for name, of_set in logits.items():
        if (of_set == of_set[0]).all() and len(set(sets[name].data.pixel_digests)) > 1:
            log.warn("constant-outputs", f"{name}: the model puts out the same for all of its {len(of_set)} images")
    return logits

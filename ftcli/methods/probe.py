"""Linear probing (Kumar et al. 2022): a logistic regression on frozen features becomes the model's own head."""

import time
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from ftcli.config import Probe, Training
from ftcli.engine.logistic import ABSENT_BIAS, DEFAULT_CS, path
from ftcli.engine.predict import predict, score
from ftcli.engine.search import Trained, search
from ftcli.engine.select import Candidate, best
from ftcli.engine.setting import Setting
from ftcli.engine.train import snapshot
from ftcli.errors import RunError
from ftcli.log import Log
from ftcli.methods.start import fresh_start
from ftcli.model.blocks import blocks_of
from ftcli.model.head import set_head
from ftcli.model.load import Loaded

HEAD_TOLERANCE = 1e-4  # largest relative difference between the probe's logits and the model's


def probe(loaded: Loaded, setting: Setting, config: Training, log: Log) -> Trained:
    """The head alone trains: by the exact path over C, or by minibatches."""
    if isinstance(config, Probe) and config.solver == "sgd":
        return sgd_probe(loaded, setting, config, log)
    defaults = {field.name: field.default for field in fields(config)}
    if unused := [f"--{name}" for name in ("lr", "seeds", "seed") if getattr(config, name) != defaults[name]]:
        log.warn("unused-option", f"the exact probe makes no use of {' and '.join(unused)}: chance plays no part in it")
    return linear_probe(loaded, setting, config, log)


@dataclass(frozen=True)
class Scale:
    """One scalar mean and one scalar standard deviation for the whole feature matrix of ID-train."""

    mean: float
    std: float

    def __call__(self, features: Tensor) -> Tensor:
        return (features - self.mean) / self.std  # [N, D]


def scale_of(features: Tensor) -> Scale:
    """The scale of features [N, D], computed in float64. Raises RunError where all of them are equal."""
    std = features.double().std(correction=0).item()
    if not std > 0:
        raise RunError("every feature of the training set has the same value: the network tells the images not apart.")
    return Scale(features.double().mean().item(), std)


def linear_probe(loaded: Loaded, setting: Setting, config: Training, log: Log) -> Trained:
    """The exact probe: min over W, b of C Σ CE(W φ(x) + b, y) + ½‖W‖² for 100 values of C, picked on ID-val.

    Changes the head of `loaded.model` in place to the picked one. Raises RunError where the
    model's logits are not the probe's.
    """
    assert setting.plain is not None
    started = time.perf_counter()
    model = setting.machine.place(loaded.model)
    train = predict(model, setting.plain, setting.machine, log, "features of train")
    id_val = predict(model, setting.sets["id_val"], setting.machine, log, "features of ID-val")
    features_s = time.perf_counter() - started
    scale = scale_of(train.features)
    found = path(scale(train.features), labels_of(setting, None), setting.num_classes, DEFAULT_CS)

    seed, inputs, labels = config.seed_list()[0], scale(id_val.features).double(), labels_of(setting, "id_val")
    candidates = []
    for C, weight, bias in zip(DEFAULT_CS, found.weights, found.bias, strict=True):
        accuracy, loss = score(inputs @ weight.double().T + bias.double(), labels)  # logits [N, K]
        candidates.append(Candidate(seed, accuracy, loss, C=float(C)))
    pick = best(candidates)
    index = candidates.index(pick)
    weight, bias = found.weights[index].double(), found.bias[index].double()
    install(model, weight, bias, scale)
    check(model, setting, inputs @ weight.T + bias, log)
    edge = index in (0, len(candidates) - 1)
    if edge:
        log.warn("edge-of-grid", f"the picked C = {pick.C:g} lies at the edge of the path")
    runs = [
        {"seed": seed, "C": c.C, "id_val": {"accuracy": c.accuracy, "loss": c.loss}, "diverged": False}
        for c in candidates
    ]
    kept = Candidate(seed, pick.accuracy, pick.loss, C=pick.C, edge_of_grid=edge, state=snapshot(model))
    return Trained(runs, [kept], features_s=features_s)


def labels_of(setting: Setting, name: str | None) -> Tensor:
    """Labels [N] of a set, or of the training set."""
    data = setting.task.train if name is None else setting.task.sets()[name]
    assert data is not None
    return torch.from_numpy(data.labels)


def install(model: nn.Module, weight: Tensor, bias: Tensor, scale: Scale) -> None:
    """Undo the scaling in the head: W(φ − m)/s + b = (W/s)φ + (b − (m/s) W·1), so the model takes plain features."""
    set_head(model, weight / scale.std, bias - (scale.mean / scale.std) * weight.sum(1))


def check(model: nn.Module, setting: Setting, expected: Tensor, log: Log) -> None:
    """Raises RunError unless the model's logits on ID-val are the probe's `expected` [N, K].

    Classes without a training example are left aside: their constant -1e4 would make any difference look small.
    """
    got = predict(model, setting.sets["id_val"], setting.machine, log, "check of the head").logits.double()
    seen = expected[0] > ABSENT_BIAS / 2  # [K]
    difference = (got - expected)[:, seen].abs().max().item()
    size = expected[:, seen].abs().max().item()
    if not difference <= HEAD_TOLERANCE * size:
        raise RunError(
            f"the saved head does not compute what the probe found: logits differ by {difference:.3g}, "
            f"allowed is {HEAD_TOLERANCE:g} × {size:.3g}."
        )


def sgd_probe(loaded: Loaded, setting: Setting, config: Training, log: Log) -> Trained:
    """The head by minibatches, in the one loop; the body is frozen, BatchNorm statistics and all."""
    head = blocks_of(loaded.model)[1]
    return search(lambda seed: fresh_start(loaded.model, setting, seed), head.tensors, config, setting, log)

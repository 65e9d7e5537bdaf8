"""Fine-tuning and its variants as one plain loop, in float64: what the engine is held against."""

import math
from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import lru_cache, partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, MultiStepLR
from torch.optim.swa_utils import update_bn

from ftcli.commands import method_of
from ftcli.config.declare import Numbers
from ftcli.config.tuning import Tuning
from ftcli.data.loader import Loader
from ftcli.engine.grid import Trained
from ftcli.engine.run_inputs import RunInputs
from ftcli.log import Log
from ftcli.methods.initial_head import copy_with_fresh_head
from ftcli.model.blocks import blocks_of
from ftcli.model.loading.load import Loaded
from ftcli.seeds import derive_seed
from tests.helpers.tiny import SIDE
from tests.helpers.worlds import DATA_CONFIG, coloured, loaded, world

State = dict[str, Tensor]
Options = dict[str, Any]
# Two batches of nine an epoch: with batches of a few tiny images BatchNorm would blow rounding up.
USUAL: Options = {"batch_size": 9, "epochs": 3, "lr": Numbers((1e-2,)), "pick": "last"}
NOT_VARIED = {"bn", "epochs", "lr", "optimizer", "pick"}
# Where the package says float32, for images, losses and heads, both sides get float64: rounding decides nothing.
float64 = mock.patch.object(Tensor, "float", Tensor.double)


def unbalanced(root: Path) -> Path:
    """An image folder of three classes with 9, 4 and 9 images."""
    coloured(root, each=9)
    for picture in sorted((root / "class1").iterdir())[4:]:
        picture.unlink()
    return root


def precise(name: str) -> Loaded:
    """A tiny network in float64."""
    network = loaded(name)
    network.model.double()
    return network


def small(name: str, folder: Path, command: str = "finetune", **options: Any) -> tuple[RunInputs, Tuning]:
    """A setting of small images, and the configuration of one run whose last epoch counts."""
    side = SIDE if name == "test_vit" else 32
    with mock.patch.dict(DATA_CONFIG, input_size=(3, side, side)):
        inputs, config = world(folder, command, **USUAL | options)
    assert isinstance(config, Tuning)
    return inputs, config


@float64
def tuned(name: str, folder: Path, command: str = "finetune", **options: Any) -> Trained:
    """A run of the engine."""
    inputs, config = small(name, folder, command, **options)
    return method_of(command)(precise(name), inputs, config, Log())


def check_against_plain_loop(name: str, folder: Path, **options: Any) -> None:
    """The engine agrees with the plain loop, and not with the plain loop that leaves one of the options out."""
    state = tuned(name, folder, **options).best.state
    assert difference(state, last_state(name, folder, **options)) < 1e-6
    for option in options.keys() - NOT_VARIED:
        others = {key: value for key, value in options.items() if key != option}
        assert difference(state, last_state(name, folder, **others)) > 1e-5, f"{option} makes no difference"


@lru_cache(maxsize=8)  # most comparisons are with plain fine-tuning
def last_state(name: str, folder: Path, **options: Any) -> State:
    """The plain loop's weights at the end of `finetune`."""
    inputs, config = small(name, folder, **options)
    return plain_loop(copy_with_fresh_head(precise(name).model, inputs, seed=0), inputs, config)[-1]


def difference(state: State, other: State) -> float:
    """The largest difference of a tensor from the same one of `other`, relative to that one's norm."""
    assert state.keys() == other.keys()
    pairs = [(state[name].double(), other[name].double()) for name in state]
    return max(float((a - b).norm() / b.norm().clamp_min(1e-12)) for a, b in pairs)


def figures(model: nn.Module, state: State, loader: Loader, classes: Sequence[int] | None = None) -> dict[str, float]:
    """Accuracy and mean cross-entropy of a state on one set, among `classes` where they are not all."""
    model.load_state_dict(state)
    model.eval()
    with torch.no_grad():
        outputs = [(model(batch.images.to(next(model.parameters()).dtype)), batch.labels) for batch in loader.ordered()]
    logits, labels = (torch.cat(part) for part in zip(*outputs, strict=True))
    if classes is not None:
        logits = torch.full_like(logits, -math.inf).index_copy(1, torch.tensor(classes), logits[:, classes])
    right = (logits.argmax(1) == labels).double().mean().item()
    return {"accuracy": right, "loss": nn.functional.cross_entropy(logits.double(), labels).item()}


@float64
def plain_loop(model: nn.Module, inputs: RunInputs, config: Tuning) -> list[State]:
    """The state after each epoch, by autograd alone: a penalty is a term of the loss, a norm is one number."""
    tensors, body = dict(model.named_parameters()), [n for block in blocks_of(model)[0] for n in block.tensors]
    start = {name: tensor.detach().clone() for name, tensor in tensors.items()}
    rule = {"sgd": partial(torch.optim.SGD, momentum=0.9), "adam": torch.optim.Adam}[config.optimizer]
    optimizer = rule([{"params": [tensors[name]], "lr": rate} for name, rate in rates(model, config).items()])
    assert inputs.train is not None
    train, skip, cross_entropy = inputs.train, config.bn == "train", loss_of(config, inputs)
    total = config.epochs * train.steps(skip_single=skip)
    schedule = schedule_of(config, optimizer, total)
    mean, states, updates = deepcopy(model.state_dict()), [], 0
    anchor = deepcopy(model).eval()
    for epoch in range(1, config.epochs + 1):
        prepare(model, moving(model, config, epoch), config.bn)
        batches = train.shuffled(0, epoch, skip_single=skip, balanced=config.sampling == "balanced")
        for step, (images, labels, *_) in enumerate(batches):
            optimizer.zero_grad()
            away = [tensors[name] - start[name] for name in body]
            weight, partners = mixing(config.mixup, epoch, step, len(labels))
            mixed = weight * images + (1 - weight) * images[partners]
            with torch.no_grad():
                there = block_outputs(anchor, mixed)[1]
            logits, here = block_outputs(model, mixed)
            loss = weight * cross_entropy(logits, labels) + (1 - weight) * cross_entropy(logits, labels[partners])
            loss = loss + config.l2_sp * sum(part.square().sum() for part in away)
            loss = loss + config.l1_sp * sum(part.abs().sum() for part in away)
            loss = loss + config.ldifs * sum(map(mse_loss, here, there)) / max(1, len(here))
            loss.backward()
            if config.clip_norm is not None:
                clip([tensor.grad for tensor in tensors.values() if tensor.grad is not None], config.clip_norm)
            optimizer.step()
            schedule.step()
            before = max(0, updates - train.steps(skip_single=skip)) if config.ma else 0
            mean = averaged(mean, model.state_dict(), before / (1 + before) if config.ma else config.ema or 0.0)
            updates += 1
        states.append(estimated(deepcopy(model), mean, inputs) if config.ma and skip and epoch > 1 else mean)
    return states


def schedule_of(config: Tuning, optimizer: torch.optim.Optimizer, total: int) -> LRScheduler:
    """torch's own schedules, called after each of `total` steps; no warm-up."""
    if config.schedule == "cosine":
        return LambdaLR(optimizer, lambda step: (1 + math.cos(math.pi * step / total)) / 2)
    epochs = [int(epoch) for epoch in config.schedule.removeprefix("step:").split(",")]
    return MultiStepLR(optimizer, [epoch * total // config.epochs for epoch in epochs], gamma=0.1)


def mixing(alpha: float | None, epoch: int, step: int, n: int) -> tuple[float, Tensor]:
    """λ and the permutation of a batch of n images, of seed 0."""
    if alpha is None:
        return 1.0, torch.arange(n)
    generator = np.random.Generator(np.random.PCG64(derive_seed("mixup", 0, epoch, step)))
    return generator.beta(alpha, alpha), torch.from_numpy(generator.permutation(n))


def rates(model: nn.Module, config: Tuning) -> dict[str, float]:
    """The peak rate of every parameter: block i of the L body blocks, counted from 0, has lr·decay^(L - i)."""
    body, head = blocks_of(model)
    of_block = [config.lr[0] * config.layer_decay ** (len(body) - i) for i in range(len(body))]
    of_body = {name: rate for block, rate in zip(body, of_block, strict=True) for name in block.tensors}
    return of_body | dict.fromkeys(head.tensors, config.lr[0] * config.head_rate)


def moving(model: nn.Module, config: Tuning, epoch: int) -> set[str]:
    """Names of the parameters that move in an epoch, counted from 1. What has no rate does not."""
    body, head = blocks_of(model)
    started = min(len(body), 1 + (epoch - 1) * len(body) // config.epochs)
    chosen = {"at-once": body, "first-to-last": body[:started], "last-to-first": body[len(body) - started :]}
    names = {name for block in chosen[config.unfreeze] for name in block.tensors}
    if config.tune == "no-embedding":
        names -= set(body[0].tensors)
    elif config.tune == "bn-affine":
        normalisation = tuple(f"{name}." for name, module in model.named_modules() if isinstance(module, _BatchNorm))
        names = {name for name in names if name.startswith(normalisation)}
    rate = rates(model, config)
    return {name for name in names | set(head.tensors) if rate[name] > 0}


def prepare(model: nn.Module, names: set[str], bn: str) -> None:
    """Gradients for the named parameters alone, and moving statistics only where they and `bn` allow it."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in names)
    model.train(bn == "train")
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.train(bn == "train" and module.weight.requires_grad)


def loss_of(config: Tuning, inputs: RunInputs) -> Callable[[Tensor, Tensor], Tensor]:
    """Cross-entropy of logits with labels, as the options have it."""
    assert inputs.task.train is not None
    n = torch.bincount(torch.from_numpy(inputs.task.train.labels)).double()  # [K]
    weights = n.sum() / ((n > 0).sum() * n) if config.class_weights == "balanced" else None
    return nn.CrossEntropyLoss(weights, label_smoothing=config.label_smoothing)


def clip(gradients: list[Tensor], longest: float) -> None:
    """Scale all gradients together so that they are no longer than the limit."""
    norm = math.sqrt(sum(float(gradient.square().sum()) for gradient in gradients))
    for gradient in gradients:
        gradient.mul_(min(1.0, longest / norm))


def block_outputs(model: nn.Module, images: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Logits, and of every block of test_resnet the output, averaged over positions and of length 1 each, [b, C]."""
    outputs: list[Tensor] = []
    ends = [
        module for name, module in model.named_children() if name in ("bn1", "layer1", "layer2", "layer3", "layer4")
    ]
    hooks = [end.register_forward_hook(lambda module, _, x: outputs.append(x.mean((2, 3)))) for end in ends]
    logits = model(images)
    for hook in hooks:
        hook.remove()
    return logits, [x / x.norm(dim=1, keepdim=True) for x in outputs]


def estimated(model: nn.Module, state: State, inputs: RunInputs) -> State:
    """The same weights with BatchNorm's statistics by torch's own function for averaged models."""
    model.load_state_dict(state)
    assert inputs.plain is not None
    update_bn((batch.images.double() for batch in inputs.plain.shuffled(0, 0, skip_single=True)), model)
    counts = {name: tensor for name, tensor in state.items() if name.endswith("num_batches_tracked")}
    return {name: tensor.clone() for name, tensor in model.state_dict().items()} | counts


def averaged(mean: State, now: State, decay: float) -> State:
    """The running mean of what is floating; what counts is copied."""
    return {
        name: decay * mean[name] + (1 - decay) * tensor if tensor.is_floating_point() else tensor.clone()
        for name, tensor in now.items()
    }

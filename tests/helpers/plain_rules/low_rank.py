"""LoRA as one plain loop in float64, without PEFT: autograd through W + BA, put in the place of W."""

from collections.abc import Mapping
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import mse_loss
from torch.nn.modules.batchnorm import _BatchNorm

from ftcli.config.tuning import Tuning
from ftcli.engine.run_inputs import RunInputs
from tests.helpers.plain_loop import State, averaged, block_outputs, clip, float64, loss_of, moving, rates, schedule_of


def product(B: Tensor, A: Tensor) -> Tensor:
    """BA: of [out, r] and [r, in]; of convolutions [out, r, 1, 1] and [r, in, h, w] with every place by itself."""
    if A.ndim == 2:
        return torch.einsum("or,ri->oi", B, A)
    return torch.einsum("or,rihw->oihw", B[:, :, 0, 0], A)


class Merged(nn.Module):
    """A network with some weights in the place of its own."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.weights = model, dict[str, Tensor]()

    def forward(self, images: Tensor) -> Tensor:
        return functional_call(self.model, self.weights, (images,))


@float64
def low_rank_loop(model: nn.Module, inputs: RunInputs, config: Tuning, start: Mapping[str, Tensor]) -> State:
    """The last weights of a run, or their mean; start: A of each layer, by the path of the layer."""
    tensors = dict(model.named_parameters())
    A = {path: tensor.clone() for path, tensor in start.items()}
    B = {path: a.new_zeros(len(tensors[f"{path}.weight"]), len(a), *[1] * (a.ndim - 2)) for path, a in A.items()}
    rate = rates(model, config)
    head = [name for name in rate if name.split(".")[0] in ("fc", "head")]
    groups = [{"params": [A[path], B[path]], "lr": rate[f"{path}.weight"]} for path in A]
    groups.append({"params": [tensors[name] for name in head], "lr": config.lr[0] * config.head_rate})
    sgd = config.optimizer == "sgd"
    optimizer: torch.optim.Optimizer = (
        torch.optim.SGD(groups, momentum=0.9, weight_decay=config.weight_decay)
        if sgd
        else torch.optim.Adam(groups, weight_decay=config.weight_decay)
    )
    assert inputs.train is not None
    steps = inputs.train.steps(skip_single=config.bn == "train")
    schedule, loss_function = schedule_of(config, optimizer, config.epochs * steps), loss_of(config, inputs)
    anchor, network, updates = deepcopy(model).eval(), Merged(model), 0

    def merged() -> State:
        return {f"{path}.weight": tensors[f"{path}.weight"] + product(B[path], A[path]) for path in A}

    mean = deepcopy(model.state_dict())
    for epoch in range(1, config.epochs + 1):
        started = moving(model, config, epoch)
        for name, tensor in tensors.items():
            tensor.requires_grad_(name in head and name in started)
        for path in A:
            for tensor in (A[path], B[path]):
                tensor.requires_grad_(f"{path}.weight" in started)
        model.train(config.bn == "train")
        for module in model.modules():  # whose parameters are frozen, all of them
            if isinstance(module, _BatchNorm):
                module.eval()
        for images, labels, *_ in inputs.train.shuffled(0, epoch, skip_single=config.bn == "train"):
            optimizer.zero_grad()
            network.weights = merged()
            if config.ldifs:
                with torch.no_grad():
                    there = block_outputs(anchor, images)[1]
                logits, here = outputs_of(network, images)
                loss = loss_function(logits, labels) + config.ldifs * sum(map(mse_loss, here, there)) / len(here)
            else:
                loss = loss_function(network(images), labels)
            loss.backward()
            if config.clip_norm is not None:
                every = [*A.values(), *B.values(), *tensors.values()]
                clip([tensor.grad for tensor in every if tensor.grad is not None], config.clip_norm)
            optimizer.step()
            schedule.step()
            with torch.no_grad():
                before = max(0, updates - steps) if config.ma else 0
                decay = before / (1 + before) if config.ma else config.ema or 0.0
                mean = averaged(mean, model.state_dict() | merged(), decay)
            updates += 1
    return {name: tensor.detach() for name, tensor in mean.items()}


def outputs_of(network: Merged, images: Tensor) -> tuple[Tensor, list[Tensor]]:
    """As `block_outputs`, of the network with its merged weights."""
    ends = [module for name, module in network.model.named_children() if name == "bn1" or name.startswith("layer")]
    outputs: list[Tensor] = []
    hooks = [end.register_forward_hook(lambda module, _, x: outputs.append(x.mean((2, 3)))) for end in ends]
    logits = network(images)
    for hook in hooks:
        hook.remove()
    return logits, [x / x.norm(dim=1, keepdim=True) for x in outputs]

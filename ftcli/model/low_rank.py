"""Which layers of a network LoRA (Hu et al. 2022) changes, and which of them it has to leave as they are."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from ftcli.errors import RequestError
from ftcli.model.classifier import Linear
from ftcli.model.head import classifier_tensors

# What timm calls the layers of attention: a module that has one of the first, and then those of the others beside it.
QUERIES = frozenset({"qkv", "q", "qk", "kv", "q_proj", "qkv_proj", "query"})
OTHERS = frozenset({"k", "v", "k_proj", "v_proj", "key", "value", "proj", "out_proj", "output"})


@dataclass(frozen=True)
class LowRank:
    """Layers whose weights W [out, …] become W + BA, A of `rank` rows [rank, …] and B [out, rank].

    Attributes:
        parameters: numbers in A and B together, by the path of the layer.
        left_out: paths of the layers of the same kind that cannot be changed, by the reason.
    """

    rank: int
    parameters: Mapping[str, int]
    left_out: Mapping[str, Sequence[str]]

    def within(self, tensors: Collection[str]) -> "LowRank":
        """Only the layers whose weights W are among these tensors."""
        kept = {path: numbers for path, numbers in self.parameters.items() if weight_of(path) in tensors}
        return replace(self, parameters=kept)

    @property
    def tensors(self) -> set[str]:
        """The names of the weights W."""
        return set(map(weight_of, self.parameters))


def weight_of(path: str) -> str:
    """The name of the weight W of a layer."""
    return f"{path}.weight"


def low_rank_layers(model: nn.Module, rank: int, input_size: Sequence[int]) -> LowRank:
    """The linear layers and convolutions of a network's attention, or of its whole body where it has no attention.

    input_size: (C, H, W) of the images, one of which shows which layers are called. The model is in eval mode after it.
    Raises RequestError where no layer can be changed.
    """
    in_head = set(classifier_tensors(model))
    layers = {path: layer for path, layer in _chosen(model) if weight_of(path) not in in_head}
    called, names = _called(model, list(layers.values()), input_size), _weights(model)
    parameters: dict[str, int] = {}
    left_out: dict[str, list[str]] = {}
    for path, layer in layers.items():
        reason = obstacle(layer)
        if reason is None and names.get(weight_of(path)) != 1:
            reason = "the weight is not the layer's alone"
        if reason is None and layer not in called:
            reason = "the weight is used without a call of the layer"
        if reason is None:
            parameters[path] = rank * (layer.weight[0].numel() + len(layer.weight))
        else:
            left_out.setdefault(reason, []).append(path)
    if not parameters:
        why = "; ".join(left_out) or "there are no linear layers and convolutions"
        raise RequestError(
            f"--tune lora:{rank}: no layer of the body of {type(model).__name__} can be changed ({why}).", "--tune all"
        )
    check_rank(model, rank, parameters)
    return LowRank(rank, parameters, left_out)


def check_rank(model: nn.Module, rank: int, parameters: Mapping[str, int]) -> None:
    """Raises RequestError where A and B have no fewer numbers than the weights W that they change.

    parameters: numbers in A and B, by the path of the layer.
    """
    weights = sum(model.get_parameter(weight_of(path)).numel() for path in parameters)
    if sum(parameters.values()) >= weights:
        raise RequestError(
            f"--tune lora:{rank}: its matrices have {sum(parameters.values()):,} numbers, and the layers of"
            f" {type(model).__name__} that they change {weights:,}.",
            "a lower rank, as lora:4, or --tune all",
        )


def obstacle(layer: Linear) -> str | None:
    """Why W + BA cannot be computed as W x + B(A x), with both convolutions as PEFT makes them; None where it can."""
    if isinstance(layer, nn.Conv2d):
        if layer.groups > 1:
            return "a grouped convolution"
        if any(one != 1 for one in layer.dilation):
            return "a dilated convolution"
        if layer.padding_mode != "zeros":
            return "a convolution with a padding other than zeros"
    kind: type[Linear] = nn.Conv2d if isinstance(layer, nn.Conv2d) else nn.Linear
    own = type(layer).forward is not kind.forward or (
        isinstance(layer, nn.Conv2d) and type(layer)._conv_forward is not nn.Conv2d._conv_forward
    )
    return f"{type(layer).__name__} computes in a way of its own" if own else None


def _chosen(model: nn.Module) -> Iterator[tuple[str, Linear]]:
    """The layers of the network's attention, or all where it has none, by path."""
    of_attention: dict[str, Linear] = {}
    for path, module in model.named_modules():
        children = dict(module.named_children())
        if QUERIES & children.keys():
            for name in sorted((QUERIES | OTHERS) & children.keys()):
                of_attention |= dict(_layers(children[name], f"{path}.{name}" if path else name))
    every = dict(_layers(model, ""))  # in the order of the network
    yield from ((path, layer) for path, layer in every.items() if path in of_attention or not of_attention)


def _layers(module: nn.Module, path: str) -> Iterator[tuple[str, Linear]]:
    for name, layer in module.named_modules(prefix=path):
        if isinstance(layer, Linear):
            yield name, layer


def _weights(model: nn.Module) -> dict[str, int]:
    """Of every parameter, by its first name, how many names it has."""
    names = Counter(id(parameter) for _, parameter in model.named_parameters(remove_duplicate=False))
    return {name: names[id(parameter)] for name, parameter in model.named_parameters()}


def _called(model: nn.Module, layers: Sequence[nn.Module], input_size: Sequence[int]) -> set[nn.Module]:
    """Those of the layers that are called when an image goes through the network."""
    called: set[nn.Module] = set()
    handles = [layer.register_forward_pre_hook(lambda module, _: called.add(module)) for layer in layers]
    parameter = next(model.parameters())
    try:
        with torch.no_grad():
            model.eval()(torch.zeros(1, *input_size, device=parameter.device, dtype=parameter.dtype))
    finally:
        for handle in handles:
            handle.remove()
    return called

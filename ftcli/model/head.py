"""The classifier of a timm model: found, read, set, or drawn from a seed; and the features that go into it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from ftcli.errors import RequestError
from ftcli.seeds import derive_seed


@dataclass(frozen=True)
class Head:
    """A linear classifier: logits = features @ weight.T + bias  # [B, K].

    `weight` [K, D] and `bias` [K] are detached views: writing to them writes to the model. `name` is the module's.
    """

    name: str
    weight: Tensor
    bias: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """The classifier alone: features [B, D] -> logits [B, K], without gradients for the classifier."""
        return nn.functional.linear(features, self.weight, self.bias)


def classifier_tensors(model: nn.Module) -> tuple[str, ...]:
    """Names of the classifier's parameters: get_classifier()'s and those that pretrained_cfg["classifier"] names."""
    own = {id(p) for module in _classifiers(model) for p in module.parameters()}
    stated = getattr(model, "pretrained_cfg", {}).get("classifier") or ()
    prefixes = tuple(f"{name}." for name in ((stated,) if isinstance(stated, str) else stated))
    return tuple(n for n, p in model.named_parameters() if id(p) in own or n.startswith(prefixes))


def head_of(model: nn.Module) -> Head:
    """The one linear layer that is the classifier.

    Raises RequestError where the classifier is anything but a single nn.Linear or 1x1 Conv2d with a bias.
    """
    name, module = _classifier(model)
    # A 1x1 convolution on the pooled map [B, D, 1, 1] is a linear layer with weight [K, D, 1, 1].
    return Head(name, module.weight.detach().flatten(1), cast(Tensor, module.bias).detach())


def set_head(model: nn.Module, weight: Tensor, bias: Tensor) -> None:
    """Give the classifier this weight [K, D] and bias [K]; K may differ from what the model has. D must not.

    Only the classifier's two parameters change: timm's reset_classifier also draws layers before the classifier anew in
    some families, and uses up random numbers.
    """
    name, module = _classifier(model)
    K, D = weight.shape
    width = module.weight[0].numel()
    if width != D or bias.shape != (K,):
        raise ValueError(f"a head [{K}, {D}] with bias {tuple(bias.shape)} does not fit features of width {width}")
    if module.weight.shape[0] != K:
        _resize(model, name, module, K)
    with torch.no_grad():
        module.weight.copy_(weight.view(module.weight.shape))
        cast(Tensor, module.bias).copy_(bias)


def fresh_head(model: nn.Module, num_classes: int, seed: int) -> None:
    """Draw a new classifier: weight [K, D], then bias [K], from U(-1/sqrt(D), 1/sqrt(D)), nn.Linear's own distribution.

    The generator belongs to the head alone: the same (K, D, seed) gives the same head in any model, and no other random
    number of the run moves.
    """
    D = head_of(model).weight.shape[1]
    generator = torch.Generator().manual_seed(derive_seed("head", seed))
    bound = 1 / math.sqrt(D)
    weight = torch.empty(num_classes, D).uniform_(-bound, bound, generator=generator)  # [K, D]
    bias = torch.empty(num_classes).uniform_(-bound, bound, generator=generator)  # [K]
    set_head(model, weight, bias)


def features(model: nn.Module, images: Tensor) -> Tensor:
    """What goes into the classifier: images [B, C, H, W] -> features [B, D]."""
    return model.forward_head(model.forward_features(images), pre_logits=True)  # type: ignore[operator]


def _classifier(model: nn.Module) -> tuple[str, nn.Linear | nn.Conv2d]:
    names = classifier_tensors(model)
    owners = sorted({name.rpartition(".")[0] for name in names})
    if len(owners) == 1 and {name.rpartition(".")[2] for name in names} == {"weight", "bias"}:
        module = model.get_submodule(owners[0])
        if isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1)):
            return owners[0], module
    kinds = ", ".join(f"{owner} ({type(model.get_submodule(owner)).__name__})" for owner in owners) or "none found"
    raise RequestError(
        f"the classifier of {type(model).__name__} is not one linear layer with a bias: {kinds}",
        "choose an architecture whose classifier is a single nn.Linear or 1x1 Conv2d",
    )


def _classifiers(model: nn.Module) -> Iterable[nn.Module]:
    getter = getattr(model, "get_classifier", None)
    classifiers = getter() if callable(getter) else ()
    classifiers = (classifiers,) if isinstance(classifiers, nn.Module) else classifiers or ()
    return [module for module in classifiers if isinstance(module, nn.Module)]


def _resize(model: nn.Module, name: str, module: nn.Linear | nn.Conv2d, num_classes: int) -> None:
    """Give the classifier `num_classes` rows, and every module around it that states their number the new one."""
    like = module.weight
    module.weight = nn.Parameter(like.new_empty(num_classes, *like.shape[1:]), like.requires_grad)
    module.bias = nn.Parameter(like.new_empty(num_classes), cast(Tensor, module.bias).requires_grad)
    if isinstance(module, nn.Linear):
        module.out_features = num_classes
    else:
        module.out_channels = num_classes
    parent = model
    for child in ("", *name.split(".")[:-1]):
        parent = parent.get_submodule(child)
        if hasattr(parent, "num_classes"):
            parent.num_classes = num_classes  # type: ignore[assignment]

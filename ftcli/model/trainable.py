"""Trainable and frozen parameters. Frozen: no gradient, and eval behaviour that a later .train() does not change."""

from collections.abc import Collection
from types import MethodType
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

KEPT_BIASES = "attention_bias_cache"  # of LeViT, EfficientFormer, EfficientViT and TinyViT: biases by position


def freeze_all_but(model: nn.Module, names: Collection[str]) -> None:
    """Only the named parameters get gradients. Raises KeyError for a name that the model does not have."""
    trainable = set(names)
    parameters = dict(model.named_parameters())
    if unknown := trainable - parameters.keys():
        raise KeyError(f"not parameters of the model: {', '.join(sorted(unknown))}")
    for name, parameter in parameters.items():
        parameter.requires_grad_(name in trainable)


def training_mode(model: nn.Module, bn: str) -> None:
    """Put every module in the mode that the requires_grad flags ask for, and keep frozen ones in eval.

    bn="train": a module all of whose parameters are frozen is in eval, with everything in it (BatchNorm statistics do
    not move, dropout and stochastic depth are off); the rest trains. A module without parameters follows its parent;
    a BatchNorm without parameters trains only where all of its parent does: its statistics are all it has.
    bn="eval": the whole network is in eval, and its parameters may still get gradients.

    Frozen modules ignore `.train()` until the next call of this function, or `release`. Copies keep that. What timm's
    attention keeps in eval mode of its parameters, it computes anew from now on: the parameters will change.
    """
    if bn not in ("train", "eval"):
        raise ValueError(f"bn is {bn!r}, allowed: train, eval")
    release(model)
    for module in model.modules():
        if hasattr(module, KEPT_BIASES):
            setattr(module, KEPT_BIASES, _ReadOnce())
    if bn == "eval":
        for module in model.modules():
            _keep_in_eval(module)
    else:
        _keep_frozen_in_eval(model, parent=_trained(model))
    model.train()


def release(model: nn.Module) -> None:
    """Let `.train()` change the mode of every module again. The mode stays as it is until then."""
    for module in model.modules():
        method = module.__dict__.get("train")
        if isinstance(method, MethodType) and method.__func__ is _stay_in_eval:
            del module.__dict__["train"]


def _trained(module: nn.Module) -> tuple[bool, bool] | None:
    """(any, all) of the module's parameters train; None where it has no parameters."""
    flags = [p.requires_grad for p in module.parameters()]
    return (any(flags), all(flags)) if flags else None


def _keep_frozen_in_eval(module: nn.Module, parent: tuple[bool, bool] | None) -> None:
    some, every = _trained(module) or parent or (False, False)
    own = [p.requires_grad for p in module.parameters(recurse=False)]
    # Statistics move with the parameters they serve: for a BatchNorm its own count, not those of its children.
    trains = (any(own) if own else every) if isinstance(module, _BatchNorm) else some
    if not trains:
        _keep_in_eval(module)
    for child in module.children():
        _keep_frozen_in_eval(child, (some, every))


def _keep_in_eval(module: nn.Module) -> None:
    # In the instance's __dict__, not a subclass or a hook: state_dict and type stay as they were, and deepcopy binds
    # the method to the copy.
    module.__dict__["train"] = MethodType(_stay_in_eval, module)


def _stay_in_eval(self: nn.Module, mode: bool = True) -> nn.Module:
    return nn.Module.train(self, False)


class _ReadOnce(dict[str, Any]):
    """A cache that has nothing: what is put in is taken out by the next look."""

    def __contains__(self, key: object) -> bool:
        return False

    def __getitem__(self, key: str) -> Any:
        return self.pop(key)

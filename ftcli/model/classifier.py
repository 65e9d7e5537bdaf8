"""The linear layers that a timm classifier is made of, in every family, and what each of them reads.

Most families have one. Distilled networks average two, networks of several branches have one for each, and in some
families a BatchNorm or a hidden layer stands before it and belongs to the body.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeGuard

from torch import nn

from ftcli.errors import RequestError

Linear = nn.Linear | nn.Conv2d  # a 1x1 convolution on the pooled map [B, D, 1, 1] is a linear layer

ON_POOLED = ("EfficientFormer", "EfficientFormerV2", "SwiftFormer", "LevitDistilled")  # two heads, averaged
ON_TOKENS = ("VisionTransformerDistilled", "PoolingVisionTransformer")  # two heads, on the first and the second token
ON_BRANCHES = ("CrossVit", "EfficientViM")  # a head for each branch; timm's pre-logits are the branches side by side
CHAINS = {"NormLinear": ("bn", "l", "linear"), "MlpHead": ("fc1", "act", "norm", "fc2")}  # modules in the order of use


@dataclass(frozen=True)
class Source:
    """What a linear layer reads: the pooled features, or one `token`, after the modules `before`, given by path."""

    before: tuple[str, ...] = ()
    token: int | None = None


@dataclass(frozen=True)
class Part:
    """One linear layer, by path; it reads the columns of the features from `start` on."""

    name: str
    start: int


@dataclass(frozen=True)
class Group:
    """Linear layers whose outputs are added, weighted by the softmax of the parameter `mix`; one layer without it."""

    parts: tuple[Part, ...]
    mix: str | None = None


@dataclass(frozen=True)
class Classifier:
    """logits = mean over groups; the features that they read are those of the sources, side by side, `width` in all."""

    groups: tuple[Group, ...]
    sources: tuple[Source, ...]
    width: int

    @property
    def names(self) -> tuple[str, ...]:
        """The paths of the linear layers."""
        return tuple(part.name for group in self.groups for part in group.parts)


def sources_of(model: nn.Module) -> tuple[Source, ...]:
    """What goes into the classifier. Quick for a plain linear layer: this is asked in every forward pass."""
    modules = _classifiers(model)
    if len(modules) == 1 and isinstance(modules[0], Linear):
        return (Source(),)
    return classifier_of(model).sources


def classifier_of(model: nn.Module) -> Classifier:
    """The linear layers of a model's classifier. Raises RequestError where it is not made of layers with biases."""
    classifier = find_classifier(model)
    if classifier is not None:
        return classifier
    family = type(model).__name__
    owners = sorted({name.rpartition(".")[0] for name in stated_tensors(model)})
    if not owners:
        raise RequestError(f"{family} has no classifier: it is an encoder", "choose an architecture with a classifier")
    if getattr(model, "aux_head", None) is not None:
        raise RequestError(
            f"{family} adds to its classifier the maximum over tokens of a second one, aux_head, which is not linear "
            "in any features",
            "leave that out: --model-arg use_aux_head=false --drop-prefix aux_head. (with a config.json, write "
            '"use_aux_head": false into its model_args in place of the first option)',
        )
    kinds = ", ".join(f"{owner} ({type(model.get_submodule(owner)).__name__})" for owner in owners)
    raise RequestError(
        f"the classifier of {family} is not one linear layer with a bias, nor a mean of such layers: {kinds}",
        "choose an architecture whose classifier is nn.Linear or a 1x1 Conv2d; `docs/checkpoints.md` lists the others",
    )


def find_classifier(model: nn.Module) -> Classifier | None:
    """The linear layers of a model's classifier; None where it is not made of such layers, with biases."""
    paths = {module: path for path, module in model.named_modules()}
    modules = _classifiers(model)
    heads = [head for module in modules for head in _heads_of(module)]
    kinds = {base.__name__ for base in type(model).__mro__}
    if len(heads) > 1 and kinds.intersection(ON_BRANCHES):
        return _branches(model, modules, paths)
    tokens = bool(kinds.intersection(ON_TOKENS))
    averaged = all(type(module).__name__ == "RepVitClassifier" for module in modules)
    if not heads or (len(heads) > 1 and not (tokens or averaged or kinds.intersection(ON_POOLED))):
        return None
    columns: dict[Source, int] = {}
    groups, width = [], 0
    for i, head in enumerate(heads):
        *before, linear = _chain(head)
        if not _is_linear(linear):
            return None
        source = Source(tuple(paths[module] for module in before), i if tokens and len(heads) > 1 else None)
        if source not in columns:
            columns[source], width = width, width + linear.weight[0].numel()
        groups.append(Group((Part(paths[linear], columns[source]),)))
    classifier = Classifier(tuple(groups), tuple(columns), width)
    covered = tuple(f"{name}." for source in columns for name in source.before) + tuple(
        f"{name}." for name in classifier.names
    )
    return classifier if all(name.startswith(covered) for name in stated_tensors(model)) else None


def _branches(model: nn.Module, modules: Sequence[nn.Module], paths: dict[nn.Module, str]) -> Classifier | None:
    """Where `modules` are lists of linear layers, one for each branch of the network."""
    groups, width = [], 0
    for module, mix in zip(modules, ("weights", "weights_dist"), strict=False):
        parts, width = [], 0
        for linear in _heads_of(module):
            if not _is_linear(linear):
                return None
            parts.append(Part(paths[linear], width))
            width += linear.weight[0].numel()
        weighted = isinstance(getattr(model, mix, None), nn.Parameter)
        groups += [Group(tuple(parts), mix)] if weighted else [Group((part,)) for part in parts]
    return Classifier(tuple(groups), (Source(),), width)


def _heads_of(module: nn.Module) -> list[nn.Module]:
    """The heads whose mean, or weighted sum, a classifier is."""
    if isinstance(module, nn.ModuleList):
        return list(module)
    if type(module).__name__ == "RepVitClassifier":
        heads = (module.get_submodule("head"), getattr(module, "head_dist", None))
        return [head for head in heads if isinstance(head, nn.Module) and not isinstance(head, nn.Identity)]
    return [module]


def _chain(head: nn.Module) -> list[nn.Module]:
    """The modules that a head applies one after the other, without dropout; the last is to be the linear layer."""
    names = CHAINS.get(type(head).__name__, ())
    return [getattr(head, name) for name in names if hasattr(head, name)] or [head]


def _is_linear(module: nn.Module) -> TypeGuard[Linear]:
    linear = isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1))
    return linear and module.bias is not None


def stated_tensors(model: nn.Module) -> tuple[str, ...]:
    """Names of get_classifier()'s parameters, and of those that pretrained_cfg["classifier"] names."""
    own = {id(p) for module in _classifiers(model) for p in module.parameters()}
    stated = getattr(model, "pretrained_cfg", {}).get("classifier") or ()
    prefixes = tuple(f"{name}." for name in ((stated,) if isinstance(stated, str) else stated))
    return tuple(n for n, p in model.named_parameters() if id(p) in own or n.startswith(prefixes))


def _classifiers(model: nn.Module) -> list[nn.Module]:
    getter = getattr(model, "get_classifier", None)
    classifiers: Iterable[object] | nn.Module | None = getter() if callable(getter) else ()
    # A ModuleList is a module, and is one classifier of several branches.
    classifiers = (classifiers,) if isinstance(classifiers, nn.Module) else classifiers or ()
    return [module for module in classifiers if isinstance(module, nn.Module)]

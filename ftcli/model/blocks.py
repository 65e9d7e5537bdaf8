"""The blocks of a model in order, for any timm family: those of the body, from the input on, and the head."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from timm.models._manipulate import group_with_matcher
from torch import nn

from ftcli.model.head import classifier_tensors


@dataclass(frozen=True)
class Block:
    """Consecutive layers: a name, the names of their parameters in the model's order, and the number of elements."""

    name: str
    tensors: tuple[str, ...]
    parameters: int


def blocks_of(model: nn.Module) -> tuple[list[Block], Block]:
    """Body blocks in order, and the head; together every parameter exactly once.

    The head is the classifier alone; timm's coarse group_matcher orders the rest, and what lies between its last group
    and the classifier (conv_head, head.norm) is the last body block. A ResNet gives the blocks
    of Lee et al. 2022 (stem, layer1 ... layer4), a ViT one block per transformer block.
    """
    sizes = {name: p.numel() for name, p in model.named_parameters()}
    head = classifier_tensors(model)
    in_head = set(head)
    body = [name for name in sizes if name not in in_head]
    index = _group_index(model, body)
    taken: set[str] = set()

    def block(name: str, tensors: Sequence[str]) -> Block:
        return Block(_unused(name, taken), tuple(tensors), sum(sizes[tensor] for tensor in tensors))

    blocks: list[Block] = []
    for group in sorted(set(index.values())):
        tensors = [name for name in body if index[name] == group]
        name = _name(tensors, sizes, first=not blocks)
        if any(_under(tensor, path) for tensor in head for path in name.split("+")):
            name = "+".join(dict.fromkeys(_beside(tensor, head) for tensor in tensors))
        blocks.append(block(name, tensors))
    return blocks, block(_name(head, sizes, first=False) or "head", head)


def _group_index(model: nn.Module, body: Sequence[str]) -> dict[str, int]:
    """Position of each parameter's group: timm's matcher, or the top-level children where a model has none."""
    group_matcher = getattr(model, "group_matcher", None)
    if group_matcher is None:
        position = {child: i for i, child in enumerate(dict.fromkeys(name.split(".")[0] for name in body))}
        return {name: position[name.split(".")[0]] for name in body}
    try:
        matcher = group_matcher(coarse=True)
    except AssertionError:  # rdnet knows fine groups only
        matcher = group_matcher(coarse=False)
    return group_with_matcher(((name, None) for name in body), matcher, reverse=True)


def _name(tensors: Sequence[str], every: Collection[str], *, first: bool) -> str:
    """The path of the module that has these parameters and no others. Without such a module, "stem" for the first
    block, else the paths of several joined by "+".
    """
    by_child: dict[str, list[str]] = {}
    for name in tensors:
        by_child.setdefault(name.split(".")[0], []).append(name)
    if first and len(by_child) > 1:
        return "stem"
    return "+".join(_path(names, every) for names in by_child.values())


def _path(names: Sequence[str], every: Collection[str]) -> str:
    """The shortest dotted prefix of all `names` that no other parameter has; failing that, the longest common one."""
    parts = names[0].split(".")
    common = ""
    for length in range(1, len(parts) + 1):
        prefix = ".".join(parts[:length])
        if not all(_under(name, prefix) for name in names):
            break
        common = prefix
        if sum(_under(name, prefix) for name in every) == len(names):
            break
    return common


def _beside(name: str, head: Collection[str]) -> str:
    """The shortest dotted prefix of `name` that no tensor of the head has."""
    parts = name.split(".")
    prefixes = [".".join(parts[:length]) for length in range(1, len(parts) + 1)]
    return next(prefix for prefix in prefixes if not any(_under(tensor, prefix) for tensor in head))


def _under(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(f"{prefix}.")


def _unused(name: str, taken: set[str]) -> str:
    number = 2
    unique = name
    while unique in taken:
        unique, number = f"{name}-{number}", number + 1
    taken.add(unique)
    return unique

"""A model cut into ordered blocks, for any timm family: the body from the input on, and the head."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from timm.models._manipulate import group_with_matcher
from torch import nn

from ftcli.model.head import classifier_tensors


@dataclass(frozen=True)
class Block:
    """Consecutive part of a model: its name, its parameters' names in the model's order, their number of elements."""

    name: str
    tensors: tuple[str, ...]
    parameters: int


def blocks_of(model: nn.Module) -> tuple[list[Block], Block]:
    """Body blocks in order, and the head; together every parameter exactly once.

    The head comes out first (the classifier alone); timm's coarse group_matcher orders the rest, and what stands
    between its last group and the classifier (conv_head, head.norm) is the last body block. A ResNet gives the blocks
    of Lee et al. 2022 (stem, layer1 ... layer4), a ViT one block per transformer block.
    """
    sizes = {name: p.numel() for name, p in model.named_parameters()}
    head = classifier_tensors(model)
    in_head = set(head)
    body = [name for name in sizes if name not in in_head]
    index = _group_index(model, body)
    groups = [[name for name in body if index[name] == i] for i in sorted(set(index.values()))]
    taken: set[str] = set()
    blocks = []
    for position, group in enumerate(groups):
        name = _unused(_name(group, sizes, first=position == 0), taken)
        blocks.append(_block(name, group, sizes))
    return blocks, _block(_unused(_name(head, sizes, first=False) or "head", taken), head, sizes)


def _block(name: str, tensors: Sequence[str], sizes: dict[str, int]) -> Block:
    return Block(name, tuple(tensors), sum(sizes[t] for t in tensors))


def _group_index(model: nn.Module, body: Sequence[str]) -> dict[str, int]:
    """Position of each parameter's group: timm's matcher, or the top-level children where a model has none."""
    matcher = _matcher(getattr(model, "group_matcher", None))
    if matcher is None:
        position = {child: i for i, child in enumerate(dict.fromkeys(name.split(".")[0] for name in body))}
        return {name: position[name.split(".")[0]] for name in body}
    return group_with_matcher(((name, None) for name in body), matcher, reverse=True)


def _matcher(group_matcher: Callable[..., Any] | None) -> Any:
    if group_matcher is None:
        return None
    try:
        return group_matcher(coarse=True)
    except AssertionError:  # rdnet knows fine groups only
        return group_matcher(coarse=False)


def _name(group: Sequence[str], every: Collection[str], *, first: bool) -> str:
    """The module path of this group and nothing else; without one, "stem" for the first, else paths joined by "+"."""
    by_child: dict[str, list[str]] = {}
    for name in group:
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


def _under(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(f"{prefix}.")


def _unused(name: str, taken: set[str]) -> str:
    number = 2
    unique = name
    while unique in taken:
        unique, number = f"{name}-{number}", number + 1
    taken.add(unique)
    return unique

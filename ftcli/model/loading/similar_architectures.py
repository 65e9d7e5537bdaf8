"""Architectures of timm with similar names, and which of them have the tensors of a file."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from difflib import SequenceMatcher
from itertools import islice

import timm
import torch

from ftcli.model.checkpoints.checkpoint import Checkpoint

MOST_TRIED = 6  # each is built, without values
MOST_NAMED = 2

Shapes = Mapping[str, tuple[int, ...]]


def siblings(architecture: str) -> list[str]:
    """Architectures of the same module of timm, the nearest by name first; without itself."""
    entry = timm.models.model_entrypoint(architecture)
    names = timm.list_models(module=entry.__module__.rpartition(".")[2])
    return nearest_names(architecture, [name for name in names if name != architecture])


def similarly_named(name: str) -> list[str]:
    """Architectures whose names begin with this one but for punctuation: mobilenet_v2 gives mobilenetv2_100, …."""
    plain = _plain(name)
    return nearest_names(name, [known for known in timm.list_models() if plain and _plain(known).startswith(plain)])


def suggest_architecture(name: str, checkpoint: Checkpoint) -> str:
    """What to type instead of a name that timm does not know, by the tensors of the file; empty where none fits."""
    candidates = similarly_named(name)
    if fits := with_same_tensors(candidates, checkpoint.shapes):
        return f"{checkpoint.where} has the tensors of {' and '.join(fits)}: type --model {fits[0]}"
    if similar := with_same_shapes(candidates, checkpoint.shapes):
        return (
            f"{checkpoint.where} has the shapes of {' and '.join(similar)} under other names, which are not converted: "
            f"rename its tensors to those of timm, then type --model {similar[0]}"
        )
    return ""


def nearest_names(name: str, known: Iterable[str]) -> list[str]:
    """The nearest names first, MOST_TRIED of them."""
    return sorted(known, key=lambda other: (-SequenceMatcher(None, name, other).ratio(), other))[:MOST_TRIED]


def with_same_tensors(architectures: Iterable[str], shapes: Shapes) -> list[str]:
    """Architectures with just the tensors of the file, by name and shape; the number of classes may differ."""

    def fits(body: Shapes, head: str) -> bool:
        return body == {name: shape for name, shape in _without_counters(shapes).items() if not name.startswith(head)}

    return _first(architectures, fits)


def with_same_shapes(architectures: Iterable[str], shapes: Shapes) -> list[str]:
    """Architectures whose body has the shapes of the file's, whatever the names; the file has at most a head more."""
    in_file = Counter(_without_counters(shapes).values())

    def fits(body: Shapes, head: str) -> bool:
        in_body = Counter(body.values())
        return not in_body - in_file and (in_file - in_body).total() in (0, 2)  # a weight and a bias

    return _first(architectures, fits)


def _first(architectures: Iterable[str], fits: Callable[[Shapes, str], bool]) -> list[str]:
    return list(islice((name for name in architectures if (built := _built(name)) and fits(*built)), MOST_NAMED))


def _built(architecture: str) -> tuple[Shapes, str] | None:
    """Names and shapes of the body's tensors, and the prefix of the head's; None where timm cannot build it without
    further arguments or packages.
    """
    try:
        with torch.device("meta"):
            model = timm.create_model(architecture, pretrained=False)
    except Exception:
        return None
    head = f"{getattr(model, 'pretrained_cfg', {}).get('classifier')}."
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    return {name: shape for name, shape in _without_counters(shapes).items() if not name.startswith(head)}, head


def _without_counters(shapes: Shapes) -> Shapes:
    """Without the batch counters of BatchNorm, which old files do not have."""
    return {name: shape for name, shape in shapes.items() if not name.endswith("num_batches_tracked")}


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())

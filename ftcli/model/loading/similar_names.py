"""Architectures of timm that are near to a name, and which of them the tensors of a file fit: their shapes decide."""

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
    """Architectures of the same module of timm, the nearest by name first; without the one itself."""
    entry = timm.models.model_entrypoint(architecture)
    names = timm.list_models(module=entry.__module__.rpartition(".")[2])
    return nearest_names(architecture, [name for name in names if name != architecture])


def similarly_named(name: str) -> list[str]:
    """Architectures whose names begin as this one does, signs apart: mobilenet_v2 gives mobilenetv2_100 and others."""
    plain = _plain(name)
    return nearest_names(name, [known for known in timm.list_models() if plain and _plain(known).startswith(plain)])


def suggest_architecture(name: str, checkpoint: Checkpoint) -> str:
    """What to type in the place of a name that timm does not know, by the tensors of the file; empty where unknown."""
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
    return sorted(known, key=lambda one: (-SequenceMatcher(None, name, one).ratio(), one))[:MOST_TRIED]


def with_same_tensors(architectures: Iterable[str], shapes: Shapes) -> list[str]:
    """Those that have all tensors of the file, by name and shape, and no others; the head may have any classes."""

    def fits(body: Shapes, head: str) -> bool:
        return body == {name: shape for name, shape in _lasting(shapes).items() if not name.startswith(head)}

    return _first(architectures, fits)


def with_same_shapes(architectures: Iterable[str], shapes: Shapes) -> list[str]:
    """Those whose body has just the shapes of the file's, whatever the names; the file has a weight and a bias besides,
    or no head.
    """
    held = Counter(_lasting(shapes).values())

    def fits(body: Shapes, head: str) -> bool:
        of_body = Counter(body.values())
        return not of_body - held and (held - of_body).total() in (0, 2)

    return _first(architectures, fits)


def _first(architectures: Iterable[str], fits: Callable[[Shapes, str], bool]) -> list[str]:
    return list(islice((name for name in architectures if (built := _built(name)) and fits(*built)), MOST_NAMED))


def _built(architecture: str) -> tuple[Shapes, str] | None:
    """Names and shapes of all tensors but the head's, and how the names of these begin; None where timm cannot build it
    without further arguments or packages.
    """
    try:
        with torch.device("meta"):
            model = timm.create_model(architecture, pretrained=False)
    except Exception:
        return None
    head = f"{getattr(model, 'pretrained_cfg', {}).get('classifier')}."
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    return {name: shape for name, shape in _lasting(shapes).items() if not name.startswith(head)}, head


def _lasting(shapes: Shapes) -> Shapes:
    """Without the counters of batches, which old files do not have."""
    return {name: shape for name, shape in shapes.items() if not name.endswith("num_batches_tracked")}


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())

"""Why the tensors of a file do not fit a network, and what to type so that they do."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from ftcli.errors import RequestError
from ftcli.model.checkpoints.checkpoint import Checkpoint
from ftcli.model.checkpoints.prefixes import foreign_prefixes
from ftcli.model.loading.architecture import ModelConfig
from ftcli.model.loading.similar_names import siblings, with_same_tensors

FEW = 10  # prefixes in one hint
_TORCHVISION = ("features.0.", "encoder.layers.encoder_layer_0.", "trunk_output.")  # how names of its networks begin


@dataclass
class Mismatch:
    """Names of tensors that the network has and the file has not, the other way round, and of other shapes."""

    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    reshaped: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.reshaped)

    def __str__(self) -> str:
        counted = (("missing", self.missing), ("left over", self.unexpected), ("of another shape", self.reshaped))
        return "; ".join(f"{len(names)} {what} ({first_few(names)})" for what, names in counted if names)


def find_mismatch(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Mismatch:
    """Names and shapes of the body, both ways."""
    found = Mismatch()
    for name, tensor in wanted.items():
        if name not in state:
            # Counts batches for a BatchNorm without momentum only; old files do not have it.
            if not name.endswith(".num_batches_tracked"):
                found.missing.append(name)
        elif state[name].shape != tensor.shape:
            found.reshaped.append(f"{name} {list(state[name].shape)} for {list(tensor.shape)}")
    found.unexpected = [name for name in state if name not in wanted]
    return found


def mismatch_error(
    mismatch: Mismatch, model: nn.Module, head: str, checkpoint: Checkpoint, recipe: ModelConfig
) -> RequestError:
    """What does not fit, and the option that mends it; where none does, what the file is."""
    problem = f"{checkpoint.where} does not fit {recipe.name}, tensors {mismatch}"
    wanted = [name for name in model.state_dict() if not name.startswith(f"{head}.")]
    absent = len(mismatch.missing) + len(mismatch.reshaped)
    if prefixes := foreign_prefixes(checkpoint.shapes, wanted):
        return RequestError(problem, prefix_hint(prefixes, beside=absent == 0))
    related = 4 * (len(wanted) - len(mismatch.missing)) >= len(wanted)  # only then one of the same family can fit
    incomplete = not mismatch.unexpected and not mismatch.reshaped and 10 * absent < len(wanted)
    if related and not incomplete and (others := with_same_tensors(siblings(recipe.architecture), checkpoint.shapes)):
        return RequestError(problem, f"the file fits {' and '.join(others)}: type --model {others[0]}")
    own = {name.split(".")[0] for name in wanted}
    if not absent and not any(name.split(".")[0] in own for name in mismatch.unexpected):
        leftover = prefixes_of(mismatch.unexpected, [*wanted, f"{head}."])
        return RequestError(problem, f"leave out what the model has no place for: --drop-prefix {','.join(leftover)}")
    said = statement(mismatch, checkpoint, recipe, len(wanted))
    other = absent * 2 > len(wanted) and "rename" not in said
    return RequestError(problem + "; it looks like another architecture" * other, said)


def prefix_hint(prefixes: list[str], *, beside: bool) -> str:
    """`beside`: names without a prefix fit too, and are of another copy of the weights."""
    options = " or ".join(f"--strip-prefix {prefix}" for prefix in sorted(prefixes, reverse=True))  # teacher, student
    if beside:
        return (
            f"the file holds several copies: type --drop-prefix {','.join(prefixes)} for the one without, or {options}"
        )
    carry = f"the prefix {prefixes[0]}" if len(prefixes) == 1 else f"the prefixes {', '.join(prefixes)}"
    return f"the names carry {carry}: type {options}"


def prefixes_of(names: Iterable[str], others: Iterable[str]) -> list[str]:
    """Few prefixes that all of `names` have and none of `others`: up to a dot or an underscore, or a whole name."""
    others, left, found = list(others), list(names), []
    while left:
        first = left[0]
        cuts = [i + 1 for i, sign in enumerate(first) if sign in "._"] + [len(first)]
        prefix = next((first[:cut] for cut in cuts if not any(o.startswith(first[:cut]) for o in others)), first)
        covered = [name for name in left if name.startswith(prefix)]
        found.append(prefix if len(covered) > 1 else first)
        left = [name for name in left if not name.startswith(prefix)]
    return found if len(found) <= FEW else sorted({name.split(".")[0] for name in found})


def statement(mismatch: Mismatch, checkpoint: Checkpoint, recipe: ModelConfig, wanted: int) -> str:
    """What the file is, where no option of this command makes it fit."""
    names = checkpoint.shapes
    if checkpoint.model_type is not None:
        return (
            f"the folder has the form of transformers, model_type {checkpoint.model_type}: look for the same weights "
            "among the tags of timm, or rename the tensors to those of timm"
        )
    if any(name.startswith(_TORCHVISION) for name in names):
        return f"the names are torchvision's; rename the tensors to those of timm's {recipe.architecture}"
    if (len(mismatch.missing) + len(mismatch.reshaped) + len(mismatch.unexpected)) * 10 < wanted:
        return "give the whole file; nearly all of it fits, so the architecture is the right one"
    return (
        "name the architecture that the file was saved from: --model NAME, with --import FILE.py where it is your own"
    )


def first_few(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")

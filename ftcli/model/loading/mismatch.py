"""Why the tensors of a file do not fit a network, and what to type so that they do."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from ftcli.errors import RequestError
from ftcli.model.checkpoints.checkpoint import Checkpoint
from ftcli.model.checkpoints.prefixes import foreign_prefixes
from ftcli.model.loading.architecture import ModelConfig
from ftcli.model.loading.similar_architectures import siblings, with_same_tensors
from ftcli.safe_text import first_few

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
        groups = (("missing", self.missing), ("left over", self.unexpected), ("of another shape", self.reshaped))
        return "; ".join(f"{len(names)} {what} ({first_few(names)})" for what, names in groups if names)


def find_mismatch(state: Mapping[str, Tensor], body: Mapping[str, Tensor]) -> Mismatch:
    """What differs in names and shapes between the tensors of a file and those of a network's body."""
    mismatch = Mismatch(unexpected=[name for name in state if name not in body])
    for name, tensor in body.items():
        if name not in state:
            # Counts batches for a BatchNorm without momentum only; old files do not have it.
            if not name.endswith(".num_batches_tracked"):
                mismatch.missing.append(name)
        elif state[name].shape != tensor.shape:
            mismatch.reshaped.append(f"{name} {list(state[name].shape)} for {list(tensor.shape)}")
    return mismatch


def mismatch_error(
    mismatch: Mismatch, body: Sequence[str], heads: Sequence[str], checkpoint: Checkpoint, model_config: ModelConfig
) -> RequestError:
    """What does not fit, and the option that mends it; where none does, what the file is.

    body: names of the tensors of the network's body; heads: paths of its classifier's layers.
    """
    problem = f"{checkpoint.where} does not fit {model_config.name}, tensors {mismatch}"
    absent = len(mismatch.missing) + len(mismatch.reshaped)
    if prefixes := foreign_prefixes(checkpoint.shapes, body):
        return RequestError(problem, prefix_hint(prefixes, complete=absent == 0))
    related = 4 * (len(body) - len(mismatch.missing)) >= len(body)  # only then one of the same family can fit
    incomplete = not mismatch.unexpected and not mismatch.reshaped and 10 * absent < len(body)
    if (
        related
        and not incomplete
        and (others := with_same_tensors(siblings(model_config.architecture), checkpoint.shapes))
    ):
        return RequestError(problem, f"the file fits {' and '.join(others)}: type --model {others[0]}")
    first_names = {name.split(".")[0] for name in body}
    if not absent and not any(name.split(".")[0] in first_names for name in mismatch.unexpected):
        leftover = prefixes_of(mismatch.unexpected, [*body, *(f"{head}." for head in heads)])
        return RequestError(problem, f"leave out what the model has no place for: --drop-prefix {','.join(leftover)}")
    description = describe_file(mismatch, checkpoint, model_config, len(body))
    other = absent * 2 > len(body) and "rename" not in description
    return RequestError(problem + "; it looks like another architecture" * other, description)


def prefix_hint(prefixes: list[str], *, complete: bool) -> str:
    """The options for these prefixes. complete: names without a prefix fit, and are another copy of the weights."""
    options = " or ".join(f"--strip-prefix {prefix}" for prefix in sorted(prefixes, reverse=True))  # teacher, student
    if complete:
        return (
            f"the file holds several copies: type --drop-prefix {','.join(prefixes)} for the one without, or {options}"
        )
    carry = f"the prefix {prefixes[0]}" if len(prefixes) == 1 else f"the prefixes {', '.join(prefixes)}"
    return f"the names carry {carry}: type {options}"


def prefixes_of(names: Iterable[str], others: Iterable[str]) -> list[str]:
    """Few prefixes that all of `names` have and none of `others`: up to a dot or an underscore, or a whole name."""
    others, left, prefixes = list(others), list(names), []
    while left:
        first = left[0]
        ends = [i + 1 for i, char in enumerate(first) if char in "._"] + [len(first)]
        prefix = next((first[:end] for end in ends if not any(o.startswith(first[:end]) for o in others)), first)
        covered = [name for name in left if name.startswith(prefix)]
        prefixes.append(prefix if len(covered) > 1 else first)
        left = [name for name in left if not name.startswith(prefix)]
    return prefixes if len(prefixes) <= FEW else sorted({name.split(".")[0] for name in prefixes})


def describe_file(mismatch: Mismatch, checkpoint: Checkpoint, model_config: ModelConfig, tensors: int) -> str:
    """What the file is, where no option makes it fit. tensors: their number in the network's body."""
    if checkpoint.model_type is not None:
        return (
            f"the folder has the form of transformers, model_type {checkpoint.model_type}: look for the same weights "
            "among the tags of timm, or rename the tensors to those of timm"
        )
    if any(name.startswith(_TORCHVISION) for name in checkpoint.shapes):
        return f"the names are torchvision's; rename the tensors to those of timm's {model_config.architecture}"
    if (len(mismatch.missing) + len(mismatch.reshaped) + len(mismatch.unexpected)) * 10 < tensors:
        return "give the whole file; nearly all of it fits, so the architecture is the right one"
    return (
        "name the architecture that the file was saved from: --model NAME, with --import FILE.py where it is your own"
    )

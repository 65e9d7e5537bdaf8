"""Prefixes that training programs put before the names of a model's tensors: found and stripped."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from ftcli.errors import RequestError, suggest

# DistributedDataParallel, torch.compile, Lightning and friends, detection and self-supervision code.
KNOWN = ("module.", "_orig_mod.", "model.", "backbone.", "timm_model.")
# torch.compile, FSDP and activation checkpointing around a layer: no network has layers of these names.
INNER = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
_MOCO = "encoder_q."  # MoCo: the query encoder; encoder_k. and queue lie beside it


@dataclass
class TensorNames:
    """The names of a file's tensors. `kept` maps a name in the file to the stripped one; `dropped` are names without
    the stripped prefix, `left_out` those with a prefix of --drop-prefix.
    """

    kept: dict[str, str]
    stripped: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def strip(self, prefix: str) -> None:
        """Take `prefix` off. TensorNames without it are dropped."""
        self.dropped += [old for old, new in self.kept.items() if not new.startswith(prefix)]
        self.kept = {old: new.removeprefix(prefix) for old, new in self.kept.items() if new.startswith(prefix)}
        self.stripped.append(prefix)

    def strip_known(self) -> None:
        """Take off known prefixes as long as every name has one (for MoCo's, some names)."""
        while prefix := _known_prefix(self.kept.values()):
            self.strip(prefix)

    def strip_inner(self) -> None:
        """Take known prefixes out of the middle of names, where that leaves all names different."""
        for prefix in INNER:
            inner = {old: new.replace(f".{prefix}", ".") for old, new in self.kept.items()}
            if inner != self.kept and len(set(inner.values())) == len(inner):
                self.kept = inner
                self.stripped.append(f".{prefix}")

    def leave_out(self, prefix: str) -> None:
        """Leave out the names with `prefix`, in the file or as stripped. Raises RequestError where there is none."""
        matching = [old for old, new in self.kept.items() if old.startswith(prefix) or new.startswith(prefix)]
        if not matching:
            raise RequestError(f"--drop-prefix {prefix!r}: no tensor in the file has this prefix", self.beginnings())
        self.left_out += matching
        self.kept = {old: new for old, new in self.kept.items() if old not in matching}

    def beginnings(self) -> str:
        """The commonest beginnings of the names, as advice."""
        first = Counter(f"{name.split('.')[0]}." for name in self.kept.values())
        return f"the names in the file begin with {', '.join(prefix for prefix, _ in first.most_common(5))}"

    def has(self, prefix: str) -> bool:
        return any(new.startswith(prefix) for new in self.kept.values())


def unwrap(names: Iterable[str], strip_prefix: str | None, drop: Sequence[str] = ()) -> TensorNames:
    """Strip known prefixes and `strip_prefix`, and leave out names with one of `drop`, in the file or as stripped.

    Raises RequestError where no name has the prefix.
    """
    result = TensorNames({name: name for name in names})
    waiting = [prefix for prefix in drop if prefix and not result.has(prefix)]
    for prefix in drop:
        if prefix and prefix not in waiting:
            result.leave_out(prefix)
    _strip(result, strip_prefix)
    result.strip_inner()
    for prefix in waiting:
        result.leave_out(prefix)
    return result


def _strip(result: TensorNames, strip_prefix: str | None) -> None:
    prefix = _with_dot(strip_prefix, result) if strip_prefix else None
    if prefix and result.has(prefix):
        result.strip(prefix)
        prefix = None
    result.strip_known()
    if prefix:
        prefix = _with_dot(prefix, result)
        if not result.has(prefix):
            first = {f"{name.split('.')[0]}." for name in result.kept.values()}
            hint = suggest(prefix, sorted(first)) or result.beginnings()
            raise RequestError(f"no tensor in the file has the prefix {prefix!r}", hint)
        result.strip(prefix)
        result.strip_known()


def foreign_prefixes(file_names: Iterable[str], model_names: Collection[str]) -> list[str]:
    """Prefixes of names in the file before a name of the model, those that cover at least half of the model; the most
    frequent first.
    """
    expected, seen = set(model_names), Counter[str]()
    for name in file_names:
        parts = name.split(".")
        for i in range(1, len(parts)):
            if ".".join(parts[i:]) in expected:
                seen[".".join(parts[:i]) + "."] += 1
    return [prefix for prefix, count in seen.most_common() if count * 2 >= len(expected)]


def _known_prefix(names: Iterable[str]) -> str | None:
    names = list(names)
    if any(name.startswith(_MOCO) for name in names):
        return _MOCO
    return next((p for p in KNOWN if names and all(name.startswith(p) for name in names)), None)


def _with_dot(prefix: str, names: TensorNames) -> str:
    """`student` is taken as `student.` where that is what the file has."""
    return f"{prefix}." if not prefix.endswith(".") and names.has(f"{prefix}.") else prefix

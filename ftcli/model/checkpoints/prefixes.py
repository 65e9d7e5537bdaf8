"""Prefixes that training programs put before the names of a model's tensors, and how they come off again."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from ftcli.errors import RequestError, suggest

# DistributedDataParallel, torch.compile, Lightning and friends, detection and self-supervision code.
KNOWN = ("module.", "_orig_mod.", "model.", "backbone.", "timm_model.")
# torch.compile, FSDP and activation checkpointing around a part of a network: no network has such a part of its own.
INSIDE = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
_MOCO = "encoder_q."  # MoCo: the query encoder; encoder_k. and queue lie beside it


@dataclass
class Names:
    """`kept` maps a name in the file to the name it goes by; `dropped` are names in the file that play no part, and
    `left_out` those that the request leaves out.
    """

    kept: dict[str, str]
    stripped: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def strip(self, prefix: str) -> None:
        """Take `prefix` off. Names without it are dropped."""
        self.dropped += [old for old, new in self.kept.items() if not new.startswith(prefix)]
        self.kept = {old: new.removeprefix(prefix) for old, new in self.kept.items() if new.startswith(prefix)}
        self.stripped.append(prefix)

    def strip_known(self) -> None:
        """Take known wrappers off as long as there is one around every name (for MoCo's, around some)."""
        while prefix := _known_wrapper(self.kept.values()):
            self.strip(prefix)

    def strip_inside(self) -> None:
        """Take known wrappers out of the middle of names, where that leaves all names different."""
        for part in INSIDE:
            inner = {old: new.replace(f".{part}", ".") for old, new in self.kept.items()}
            if inner != self.kept and len(set(inner.values())) == len(inner):
                self.kept = inner
                self.stripped.append(f".{part}")

    def leave_out(self, prefix: str) -> None:
        """Leave out the names with `prefix`, as in the file or as they go by now. Raises RequestError where none is."""
        found = [old for old, new in self.kept.items() if old.startswith(prefix) or new.startswith(prefix)]
        if not found:
            raise RequestError(f"--drop-prefix {prefix!r}: no tensor in the file has this prefix", self.first_parts())
        self.left_out += found
        self.kept = {old: new for old, new in self.kept.items() if old not in found}

    def first_parts(self) -> str:
        """How the names begin, as advice."""
        first = Counter(f"{name.split('.')[0]}." for name in self.kept.values())
        return f"the names in the file begin with {', '.join(prefix for prefix, _ in first.most_common(5))}"

    def has(self, prefix: str) -> bool:
        """Whether any name begins with `prefix`."""
        return any(new.startswith(prefix) for new in self.kept.values())


def unwrap(names: Iterable[str], strip_prefix: str | None, drop: Sequence[str] = ()) -> Names:
    """Strip known wrappers and the asked prefix, and leave out what begins with one of `drop`; these may be meant as in
    the file or as after the known ones.

    Raises RequestError when no name has the asked prefix.
    """
    result = Names({name: name for name in names})
    waiting = [prefix for prefix in drop if prefix and not result.has(prefix)]
    for prefix in drop:
        if prefix and prefix not in waiting:
            result.leave_out(prefix)
    _strip(result, strip_prefix)
    result.strip_inside()
    for prefix in waiting:
        result.leave_out(prefix)
    return result


def _strip(result: Names, strip_prefix: str | None) -> None:
    asked = _with_dot(strip_prefix, result) if strip_prefix else None
    if asked and result.has(asked):
        result.strip(asked)
        asked = None
    result.strip_known()
    if asked:
        asked = _with_dot(asked, result)
        if not result.has(asked):
            first = {f"{name.split('.')[0]}." for name in result.kept.values()}
            hint = suggest(asked, sorted(first)) or result.first_parts()
            raise RequestError(f"no tensor in the file has the prefix {asked!r}", hint)
        result.strip(asked)
        result.strip_known()


def foreign_prefixes(file_names: Iterable[str], model_names: Collection[str]) -> list[str]:
    """The prefixes that names in the file carry before a name of the model, of those that cover half of the model; the
    fullest first.
    """
    wanted, seen = set(model_names), Counter[str]()
    for name in file_names:
        parts = name.split(".")
        for i in range(1, len(parts)):
            if ".".join(parts[i:]) in wanted:
                seen[".".join(parts[:i]) + "."] += 1
    return [prefix for prefix, count in seen.most_common() if count * 2 >= len(wanted)]


def _known_wrapper(names: Iterable[str]) -> str | None:
    names = list(names)
    if any(name.startswith(_MOCO) for name in names):
        return _MOCO
    return next((p for p in KNOWN if names and all(name.startswith(p) for name in names)), None)


def _with_dot(prefix: str, names: Names) -> str:
    """`student` is taken as `student.` where that is what the file has."""
    return f"{prefix}." if not prefix.endswith(".") and names.has(f"{prefix}.") else prefix

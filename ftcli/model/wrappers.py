"""Prefixes that training programs put before the names of a model's tensors, and how they come off again."""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from ftcli.errors import RequestError, suggest

# DistributedDataParallel, torch.compile, Lightning and friends, detection and self-supervision code.
KNOWN = ("module.", "_orig_mod.", "model.", "backbone.")
_MOCO = "encoder_q."  # MoCo: the query encoder; encoder_k. and queue lie beside it


@dataclass
class Names:
    """`kept` maps a name in the file to the name it goes by; `dropped` are names in the file that play no part."""

    kept: dict[str, str]
    stripped: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)

    def strip(self, prefix: str) -> None:
        """Take `prefix` off. Names without it are dropped."""
        self.dropped += [old for old, new in self.kept.items() if not new.startswith(prefix)]
        self.kept = {old: new.removeprefix(prefix) for old, new in self.kept.items() if new.startswith(prefix)}
        self.stripped.append(prefix)

    def strip_known(self) -> None:
        """Take known wrappers off as long as there is one around every name (for MoCo's, around some)."""
        while prefix := _known_wrapper(self.kept.values()):
            self.strip(prefix)

    def has(self, prefix: str) -> bool:
        """Whether any name begins with `prefix`."""
        return any(new.startswith(prefix) for new in self.kept.values())


def unwrap(names: Iterable[str], strip_prefix: str | None) -> Names:
    """Strip known wrappers and the asked prefix, which may be meant as in the file or as after the known ones.

    Raises RequestError when no name has the asked prefix.
    """
    result = Names({name: name for name in names})
    asked = _with_dot(strip_prefix, result) if strip_prefix else None
    if asked and result.has(asked):
        result.strip(asked)
        asked = None
    result.strip_known()
    if asked:
        asked = _with_dot(asked, result)
        if not result.has(asked):
            first = Counter(f"{name.split('.')[0]}." for name in result.kept.values())
            seen = ", ".join(prefix for prefix, _ in first.most_common(5))
            hint = suggest(asked, first) or f"the names in the file begin with {seen}"
            raise RequestError(f"no tensor in the file has the prefix {asked!r}", hint)
        result.strip(asked)
        result.strip_known()
    return result


def foreign_prefix(file_names: Iterable[str], model_names: Collection[str]) -> str | None:
    """The prefix that most names in the file carry before a name of the model, if that covers half of the model."""
    wanted, seen = set(model_names), Counter[str]()
    for name in file_names:
        parts = name.split(".")
        for i in range(1, len(parts)):
            if ".".join(parts[i:]) in wanted:
                seen[".".join(parts[:i]) + "."] += 1
    best = seen.most_common(1)
    return best[0][0] if best and best[0][1] * 2 >= len(wanted) else None


def _known_wrapper(names: Iterable[str]) -> str | None:
    names = list(names)
    if any(name.startswith(_MOCO) for name in names):
        return _MOCO
    return next((p for p in KNOWN if names and all(name.startswith(p) for name in names)), None)


def _with_dot(prefix: str, names: Names) -> str:
    """`student` is taken as `student.` where that is what the file has."""
    return f"{prefix}." if not prefix.endswith(".") and names.has(f"{prefix}.") else prefix

"""Of the rows of one command that differ by values of `--set`, the one that is picked: by the usual rule, or, of a
strength of regularisation, by the one-standard-error rule.
"""

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ftcli.engine.select import Candidate, best, strongest_within_error

Rule = Literal["best", "se"]
STRENGTHS = ("ldifs", "l1_sp", "l2_sp", "project")  # options whose larger values hold a network nearer to its start
NONE = "none"  # no projection


@dataclass(frozen=True)
class Rival:
    """A row. accuracy, loss: on ID-val, means over the seeds; n: examples of ID-val."""

    method: str
    command: str
    accuracy: float
    loss: float
    n: int

    @property
    def values(self) -> dict[str, str]:
        """The values of --set, by option."""
        pairs = (word.lstrip("-").split("=", 1) for word in shlex.split(self.method) if is_value(word))
        return {name.replace("-", "_"): value for name, value in pairs}

    @property
    def candidate(self) -> Candidate:
        return Candidate(0, self.accuracy, self.loss)


def without_values(method: str) -> str:
    """A row's name without the values of --set, which are typed as one word."""
    return shlex.join(word for word in shlex.split(method) if not is_value(word))


def is_value(word: str) -> bool:
    """Whether a word of a row's name is a value of --set."""
    return word.startswith("--") and "=" in word


def picked_rows(rivals: Sequence[Rival], rule: Rule) -> dict[str, tuple[str, str]]:
    """The rows that are picked, by the rule and by the usual one, for each command and its words."""
    groups: dict[tuple[str, str], list[Rival]] = {}
    for rival in rivals:
        groups.setdefault((rival.command, without_values(rival.method)), []).append(rival)
    found = {}
    for (_, words), group in groups.items():
        usual = _usual(group)
        found[words] = (usual if rule == "best" else _strongest(usual, group)).method, usual.method
    return found


def _usual(group: Sequence[Rival]) -> Rival:
    pick = best(one.candidate for one in group)
    return next(one for one in group if one.candidate == pick)


def _strongest(usual: Rival, group: Sequence[Rival]) -> Rival:
    """The most regularised row within one standard error of the usual pick, among those that differ from it by one
    strength alone; of two rules of projection the better of both on ID-val. The usual pick, where there is none.
    """
    for option in STRENGTHS:
        if option not in usual.values:
            continue
        others = [one for one in group if _without(option, one) == _without(option, usual)]
        kinds = {_kind(one.values[option]) for one in others} - {NONE}
        own = _kind(usual.values[option])
        found = []
        for kind in sorted(kinds if own == NONE else [own]):
            of_kind = [one for one in others if _kind(one.values[option]) in (NONE, kind)]
            strong_first = sorted(of_kind, key=lambda one: -_strength(one.values[option]))
            pick = strongest_within_error([one.candidate for one in strong_first], usual.n, usual.accuracy)
            found.append(next(one for one in strong_first if one.candidate == pick))
        if strong := [one for one in found if one is not usual]:
            return _usual(strong)
    return usual


def _without(option: str, rival: Rival) -> dict[str, str]:
    return {name: value for name, value in rival.values.items() if name != option} | {"": str(option in rival.values)}


def _kind(value: str) -> str:
    """The rule of a projection, "spd" of "spd:0.5"; "none" stands beside every rule. Empty of a number."""
    return "" if _is_number(value) else value.partition(":")[0]


def _strength(value: str) -> float:
    """10 of "10", 0.5 of "spd:0.5", 1 of "spd"; of "none" less than of any other."""
    if value == NONE:
        return -1.0
    return float(value) if _is_number(value) else float(value.partition(":")[2] or 1)


def _is_number(value: str) -> bool:
    try:
        return math.isfinite(float(value))
    except ValueError:
        return False

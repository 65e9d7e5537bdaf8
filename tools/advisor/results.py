"""The advice of every world beside the truth: tables in Markdown.

    python -m tools.advisor.results FOLDER

FOLDER is that of tools/advisor/run.py. A choice's accuracy is the mean over the seeds of what ID-val picked, on the
target's test images. Regret: the best accuracy of any choice of blocks, `all`, `none` and Auto-RGN, minus that of the
advice, in points. `random`: the mean over the blocks.
"""

import json
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import typer

from tools.advisor.worlds import WORLDS, World

NOT_BLOCKS = ("none", "all", "rgn")
SHIFTS = ("none", "label", "input", "feature", "output", "mixed")


class Outcome(NamedTuple):
    """One world. accuracy: of every choice, in per cent; advised: the choice, and its accuracy."""

    world: World
    advice: dict[str, Any]
    accuracy: dict[str, float]
    choice: str
    advised: float

    @property
    def best(self) -> str:
        return max(self.accuracy, key=lambda name: self.accuracy[name])

    def regret(self, accuracy: float) -> float:
        """Of the best choice, or of the advice where that is better, over this one."""
        return max(*self.accuracy.values(), self.advised) - accuracy

    @property
    def blocks(self) -> list[str]:
        return [name for name in self.accuracy if name not in NOT_BLOCKS]


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def outcome(folder: Path, world: World) -> Outcome | None:
    """None where a run is missing."""
    truth, advice = folder / "truth" / world.name / "report.json", folder / "advice" / world.name / "report.json"
    if not (truth.exists() and advice.exists()):
        return None
    choices, given = read(truth)["choices"], read(advice)["advice"]
    accuracy = {name: 100 * of["results"]["id_test"]["accuracy"] for name, of in choices.items()}
    picks = {name: of["results"]["id_val"]["accuracy"] for name, of in choices.items() if name not in NOT_BLOCKS}
    if given["shift"] == "label":
        corrected = read(folder / "corrected" / world.name / "report.json")
        return Outcome(world, given, accuracy, "corrected", 100 * corrected["results"]["id_test"]["accuracy"])
    if given["shift"] == "mixed":
        choice = max(picks, key=lambda name: picks[name])
    else:
        choice = "none" if given["shift"] == "none" else given["blocks"][0]
        blocks = [name for name in accuracy if name not in NOT_BLOCKS]
        body = [name for name in blocks if name != "head"]
        choice = choice if choice in accuracy else body[(len(body) + 1) // 2 - 1] if choice == "middle" else "first"
    return Outcome(world, given, accuracy, choice, accuracy[choice])


def table(heads: list[str], rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in [heads, ["---"] * len(heads), *rows])


def by_world(found: list[Outcome]) -> str:
    """What was advised, and its regret beside that of other policies."""
    heads = ["world", "kind", "named", "rule", "sure", "untouched", "advised", "accuracy", "best", "accuracy", "regret"]
    heads += ["all", "first", "Auto-RGN", "random"]
    rows = []
    for of in found:
        others = [
            of.accuracy["all"],
            of.accuracy["first"],
            of.accuracy["rgn"],
            fmean(of.accuracy[b] for b in of.blocks),
        ]
        row = [of.world.name, of.world.kind, of.advice["shift"], of.advice["rule"], of.advice["sure"]]
        row += [f"{of.accuracy['none']:.1f}", of.choice, f"{of.advised:.1f}", of.best, f"{of.accuracy[of.best]:.1f}"]
        rows.append(row + [f"{of.regret(value):.1f}" for value in (of.advised, *others)])
    return table(heads, rows)


def mean_regrets(found: list[Outcome]) -> str:
    """Over all worlds, and over those of each kind."""
    heads = ["worlds", "number", "advice", "untouched", "all", "first", "Auto-RGN", "random", "within 2 points"]
    groups = {"all": found} | {kind: [of for of in found if of.world.kind == kind] for kind in SHIFTS}
    digits = [of for of in found if of.world.source not in ("cifar", "entity13")]
    groups |= {"digits": digits, "CIFAR and tiny100": [of for of in found if of not in digits]}
    groups["accuracy falls"] = [of for of in found if of.advice["evidence"]["accuracy"]["p"] <= 0.01]
    rows = []
    for name, members in groups.items():
        if members:
            values = [
                fmean(of.regret(of.advised) for of in members),
                *(
                    fmean(of.regret(of.accuracy[choice]) for of in members)
                    for choice in ("none", "all", "first", "rgn")
                ),
                fmean(of.regret(fmean(of.accuracy[b] for b in of.blocks)) for of in members),
            ]
            near = sum(of.regret(of.advised) <= 2 for of in members)
            rows.append([name, str(len(members)), *(f"{value:.1f}" for value in values), f"{near} of {len(members)}"])
    return table(heads, rows)


def confusion(found: list[Outcome]) -> str:
    """Kinds of the worlds in rows, named kinds in columns."""
    rows = []
    for kind in SHIFTS:
        of_kind = [of for of in found if of.world.kind == kind]
        if of_kind:
            rows.append([kind, *(str(sum(of.advice["shift"] == name for of in of_kind)) for name in SHIFTS)])
    return table(["kind", *SHIFTS], rows)


def shares(found: list[Outcome]) -> str:
    """How far the estimated class shares are from those counted, in total variation, where labels have shifted."""
    rows = []
    for of in found:
        labels = of.advice["evidence"]["label_shift"]
        if of.world.kind == "label":
            counted = labels["counted"]
            errors = [
                sum(abs(labels[name][k] - q) for k, q in counted.items()) / 2 if name in labels else float("nan")
                for name in ("source", "bbse", "rlls", "em")
            ]
            inside = labels["expected"]["explained"]
            n = str(of.advice["evidence"]["n"]["target"])
            rows.append([of.world.name, n, f"{labels['p']:.1g}", *(f"{error:.3f}" for error in errors), str(inside)])
    return table(["world", "images", "p", "source", "BBSE", "RLLS", "EM", "accuracy explained"], rows)


def as_printed(folder: Path, of: Outcome) -> Outcome:
    """With the exact head where the advice prints that."""
    report = folder / "heads" / of.world.name / "report.json"
    if not report.exists():
        return of
    return of._replace(choice="exact head", advised=100 * read(report)["results"]["id_test"]["accuracy"])


def heads(folder: Path, found: list[Outcome]) -> str:
    """The exact head that advice of an output shift prints, beside the choices of `ftcli surgical`."""
    rows = []
    for of in found:
        printed = as_printed(folder, of)
        if printed.choice == "exact head":
            exact = printed.advised
            tuned = [of.accuracy[choice] for choice in ("none", "head", of.best, "all")]
            rows.append([of.world.name, f"{exact:.1f}", *(f"{value:.1f}" for value in tuned)])
    return table(["world", "exact head", "untouched", "`head`", "best", "`all`"], rows)


def main(folder: Path) -> None:
    """Print the tables."""
    found = [of for world in WORLDS if (of := outcome(folder, world))]
    missing = [world.name for world in WORLDS if world.name not in {of.world.name for of in found}]
    print(*(text(found) for text in (by_world, mean_regrets, confusion, shares)), sep="\n\n")
    print("\n" + heads(folder, found))
    print("\n" + mean_regrets([as_printed(folder, of) for of in found]))
    if missing:
        print("\nmissing:", ", ".join(missing))


if __name__ == "__main__":
    typer.run(main)

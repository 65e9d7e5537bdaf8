"""How well each score of `ftcli rank` orders checkpoints: against their accuracy after fine-tuning.

    python -m tools.rank_agreement RANKING=STUDY …

RANKING is the output folder of `ftcli rank`, STUDY that of `ftcli study --methods finetune --set checkpoint=…` with the
same checkpoints. For each pair of them, a table in Markdown: for each score the weighted Kendall τ, the accuracy of its
first choice over the best accuracy, and the points that this choice loses.
"""

import json
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from scipy.stats import weightedtau

SCORES = ("parameters", "probe", "knn", "logme", "nleep", "h_score", "gbc", "transrate", "leep")


class Judgement(NamedTuple):
    """Of one score on one data set: τ_w, accuracy of its first choice over the best, and the points that it loses."""

    tau: float
    relative: float
    regret: float


def compare(pairs: Annotated[list[str], typer.Argument(metavar="RANKING=STUDY…", show_default=False)]) -> None:
    """Print a table of the checkpoints for each pair, then one of the scores over all of them."""
    judgements: dict[str, list[Judgement]] = {name: [] for name in SCORES}
    for pair in pairs:
        ranking, _, study = pair.partition("=")
        rows = json.loads((Path(ranking) / "report.json").read_text(encoding="utf-8"))["ranking"]
        reached = accuracies(json.loads((Path(study) / "study.json").read_text(encoding="utf-8")))
        print(
            f"\n{ranking}\n\n| checkpoint | fine-tuned | "
            + " | ".join(SCORES)
            + " |\n|---|---:|"
            + "---:|" * len(SCORES)
        )
        for row in sorted(rows, key=lambda row: -reached[row["label"]]):
            figures = " | ".join(written(name, row.get(name)) for name in SCORES)
            print(f"| {row['label']} | {100 * reached[row['label']]:.1f} | {figures} |")
        for name, found in judgements.items():
            found.append(judged(rows, reached, name))
    print(
        "\n| score | " + " | ".join(f"τ_w, rel@1, regret: {pair.partition('=')[0]}" for pair in pairs) + " | mean τ_w |"
    )
    print("|---|" + "---:|" * (len(pairs) + 1))
    for name, found in judgements.items():
        cells = " | ".join(f"{one.tau:.2f}, {one.relative:.2f}, {one.regret:.1f}" for one in found)
        print(f"| {name} | {cells} | {sum(one.tau for one in found) / len(found):.2f} |")


def accuracies(study: dict[str, Any]) -> dict[str, float]:
    """The mean accuracy on ID-test over the seeds, by the checkpoint's name."""
    found = {}
    for benchmark, part in study["benchmarks"].items():
        (method,) = part["methods"]
        found[benchmark.rpartition(", ")[2]] = method["results"]["id_test"]["accuracy"]
    return found


def judged(rows: list[dict[str, Any]], reached: dict[str, float], name: str) -> Judgement:
    """One score, over the checkpoints that have it."""
    known = [row for row in rows if row.get(name) is not None]
    scores, accuracy = [row[name] for row in known], [reached[row["label"]] for row in known]
    chosen = [one for score, one in zip(scores, accuracy, strict=True) if score == max(scores)]
    pick, best = sum(chosen) / len(chosen), max(reached.values())  # of equal scores, the mean
    return Judgement(float(weightedtau(scores, accuracy).statistic), pick / best, 100 * (best - pick))


def written(name: str, value: float | None) -> str:
    """A score as tables have it."""
    if value is None:
        return "–"
    if name == "parameters":
        return f"{value:,}"
    return f"{100 * value:.1f}" if name in ("probe", "knn") else f"{value:.3g}"


if __name__ == "__main__":
    typer.run(compare)

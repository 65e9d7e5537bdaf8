"""How well each score of `ftcli rank` orders checkpoints: against their accuracy after fine-tuning.

    python -m tools.rank_agreement RANKING=STUDY …

RANKING is the output folder of `ftcli rank`, STUDY that of `ftcli study --methods finetune --set checkpoint=…` with the
same checkpoints. For each pair of them, a table in Markdown: for each score the weighted Kendall τ, the accuracy of its
first choice over the best accuracy, and the points that this choice loses.
"""

import json
import math
from pathlib import Path
from typing import Annotated, Any

import typer
from scipy.stats import weightedtau

SCORES = ("parameters", "probe", "knn", "logme", "nleep", "h_score", "gbc", "transrate", "leep")


def compare(pairs: Annotated[list[str], typer.Argument(metavar="RANKING=STUDY…", show_default=False)]) -> None:
    """Print a table for each pair."""
    for pair in pairs:
        ranking, _, study = pair.partition("=")
        rows = json.loads((Path(ranking) / "report.json").read_text(encoding="utf-8"))["ranking"]
        reached = accuracies(json.loads((Path(study) / "study.json").read_text(encoding="utf-8")))
        print(f"\n{ranking}: {len(rows)} checkpoints, fine-tuned accuracy on ID-test in per cent\n")
        print("| checkpoint | fine-tuned | " + " | ".join(SCORES) + " |\n" + "|---|" + "---:|" * (len(SCORES) + 1))
        for row in sorted(rows, key=lambda row: -reached[row["label"]]):
            figures = " | ".join(written(name, row[name]) for name in SCORES)
            print(f"| {row['label']} | {100 * reached[row['label']]:.1f} | {figures} |")
        print("\n| score | τ_w | rel@1 | regret |\n|---|---:|---:|---:|")
        for name in SCORES:
            print(f"| {name} | " + " | ".join(judged(rows, reached, name)) + " |")


def accuracies(study: dict[str, Any]) -> dict[str, float]:
    """The mean accuracy on ID-test over the seeds, by the checkpoint's name."""
    found = {}
    for benchmark, part in study["benchmarks"].items():
        (method,) = part["methods"]
        found[benchmark.rpartition(", ")[2]] = method["results"]["id_test"]["accuracy"]
    return found


def judged(rows: list[dict[str, Any]], reached: dict[str, float], name: str) -> tuple[str, str, str]:
    """τ_w, rel@1 and regret in points of one score, over the checkpoints that have it."""
    known = [row for row in rows if row.get(name) is not None]
    scores, accuracy = [row[name] for row in known], [reached[row["label"]] for row in known]
    tau = weightedtau(scores, accuracy).statistic if len(known) > 1 else math.nan
    top = max(scores)
    chosen = [reached[row["label"]] for row in known if row[name] == top]
    pick, best = sum(chosen) / len(chosen), max(reached.values())  # of equal scores, the mean
    return f"{tau:.2f}", f"{pick / best:.2f}", f"{100 * (best - pick):.1f}"


def written(name: str, value: float | None) -> str:
    """A score as tables have it."""
    if value is None:
        return "–"
    if name == "parameters":
        return f"{value:,}"
    return f"{100 * value:.1f}" if name in ("probe", "knn") else f"{value:.3g}"


if __name__ == "__main__":
    typer.run(compare)

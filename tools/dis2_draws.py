"""How often the Dis² lower bound holds, over random draws from the sets of some runs.

python -m tools.dis2_draws DRAWS RUN…

Each draw takes a run, one of its OOD sets, and half of the examples of ID-val and of the set, all at random, and
compares the bound with the accuracy on the drawn half. The logits and labels are those that lie in the run folders.
"""

import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from safetensors.numpy import load_file

from ftcli.measures.estimates.dis2 import dis2_bound
from ftcli.report.read import read_report

Set = tuple[np.ndarray, np.ndarray]  # logits [N, K] and labels [N]


def sets_of(folder: Path) -> dict[str, Set]:
    """The sets of a run with all classes in play."""
    data = read_report(folder).data
    logits, table = load_file(folder / "logits.safetensors"), pq.read_table(folder / "predictions.parquet")
    found = {}
    for name in ("id_val", *data.ood):
        labels = table.filter(pc.equal(table["set"], name))["label"].to_pylist()
        found[name] = logits[f"0/{name}"], np.array([data.classes.index(label) for label in labels])
    return found


def half_of(data: Set, rng: np.random.Generator) -> Set:
    rows = rng.permutation(len(data[1]))[: len(data[1]) // 2]
    return data[0][rows], data[1][rows]


def main(draws: int, folders: list[str]) -> None:
    runs, rng = [sets_of(Path(folder)) for folder in folders], np.random.default_rng(0)
    held, gaps = defaultdict(list), []
    for draw in range(draws):
        i = int(rng.integers(len(runs)))
        name = str(rng.choice([one for one in runs[i] if one != "id_val"]))
        (v, y), (u, z) = half_of(runs[i]["id_val"], rng), half_of(runs[i][name], rng)
        lower, accuracy = dis2_bound(v, v.argmax(1) == y, u, seed=draw), float((u.argmax(1) == z).mean())
        held[folders[i]].append(lower <= accuracy)
        gaps.append(accuracy - lower)
        print(f"{draw} {folders[i]} {name}: bound {lower:.3f}, accuracy {accuracy:.3f}", file=sys.stderr, flush=True)
    for folder, of_run in sorted(held.items()):
        print(f"{folder}: {sum(of_run)} of {len(of_run)}")
    median = 100 * np.median(gaps)
    print(f"all: {sum(map(sum, held.values()))} of {draws}; accuracy - bound: median {median:.1f} points")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])

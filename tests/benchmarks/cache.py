"""What is not computed twice: a second probe on warm caches, and a grid of rates beside single runs.

    python -m tests.benchmarks.cache FOLDER_OF_THE_DATA [--only probe|grid]

Every run is a command in a process of its own, timed whole, start-up and all. The probe runs on PACS photo, first with
an empty cache folder, then again with the same one. The grid is `lpft` (or `--command finetune`) with four rates, one
epoch each, on a part of the training images (`--limit`), beside four runs of one rate each; each of the five has an
empty cache folder of its own. The fewer images, the more of a single run is what the grid does only once.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from pathlib import Path
from statistics import median
from typing import Any

import torch

from tests.benchmarks.common import parser, photo_options, print_machine, ratio

RATES = ("3e-5", "1e-4", "3e-4", "1e-3")


def ftcli(command: str, options: dict[str, Any], cache: Path) -> tuple[float, dict[str, Any]]:
    """Run a command that trains; gives the seconds of the whole process, and its report."""
    with tempfile.TemporaryDirectory(prefix="ftcli-benchmark-") as folder:
        given = options | {"out": Path(folder, "run")}
        words = [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", str(value))]
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "ftcli", command, *words, "--json", "--quiet"],
            capture_output=True, text=True, env=os.environ | {"FTCLI_CACHE": str(cache)},
        )  # fmt: skip
        seconds = time.perf_counter() - started
    if done.returncode:
        sys.exit(f"ftcli {command} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    print(f"ftcli {command}: {seconds:.1f} s", file=sys.stderr, flush=True)
    return seconds, json.loads(done.stdout)


def options_of(asked: Namespace, **further: Any) -> dict[str, Any]:
    threads = {} if asked.threads is None else {"threads": asked.threads}
    return photo_options(asked.data, **threads, **further)


def second_probe(asked: Namespace) -> None:
    """Print how long the features and the whole process take, the first time and the second."""
    options = options_of(asked)
    del options["epochs"]  # the exact probe has none
    cold, warm = [], []
    for _ in range(asked.pairs):
        with tempfile.TemporaryDirectory(prefix="ftcli-benchmark-") as cache:
            cold.append(ftcli("probe", options, Path(cache)))
            warm.append(ftcli("probe", options, Path(cache)))
    for name, runs in (("first", cold), ("second", warm)):
        features = median(report["timing"]["features_s"] for _, report in runs)
        print(f"{name} probe: features {features:.3f} s, the whole process {median(s for s, _ in runs):.1f} s")
    same = all(a["results"] == b["results"] for (_, a), (_, b) in zip(cold, warm, strict=True))
    print(f"features, second over first: {ratio(features_of(warm), features_of(cold))}; the same results: {same}")


def features_of(runs: list[tuple[float, dict[str, Any]]]) -> list[float]:
    return [report["timing"]["features_s"] for _, report in runs]


def grid(asked: Namespace) -> None:
    """Print how long the grid takes, and the sum of the single runs."""
    options = options_of(asked)
    options["train"] += f"?limit={asked.limit}"
    together, apart = [], []
    for _ in range(asked.pairs):
        together.append(alone(asked.command, options | {"lr": ",".join(RATES)}))
        apart.append(sum(alone(asked.command, options | {"lr": rate}) for rate in RATES))
    print(f"{asked.command}, 4 rates in one run: {median(together):.1f} s; in four runs: {median(apart):.1f} s")
    print(f"the grid over the sum: {ratio(together, apart)}")


def alone(command: str, options: dict[str, Any]) -> float:
    """Seconds of a run with a cache folder of its own."""
    with tempfile.TemporaryDirectory(prefix="ftcli-benchmark-") as cache:
        return ftcli(command, options, Path(cache))[0]


def main() -> None:
    arguments = parser(__doc__, images=None)
    arguments.add_argument("--only", choices=["probe", "grid"], help="one of the two (both)")
    arguments.add_argument("--command", choices=["lpft", "finetune"], default="lpft", help="of the grid (lpft)")
    arguments.add_argument("--limit", type=int, default=320, help="images that the grid is given (320)")
    asked = arguments.parse_args()
    if asked.threads:
        torch.set_num_threads(asked.threads)
    print_machine()
    if asked.only != "grid":
        second_probe(asked)
    if asked.only != "probe":
        grid(asked)


if __name__ == "__main__":
    main()

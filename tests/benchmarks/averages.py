"""What `--average` adds to `lpft`: seconds of training, of the whole command, and the peak memory of the process.

    python -m tests.benchmarks.averages FOLDER_OF_THE_DATA [--pairs 2] [--threads N]

Two learning rates, three seeds and four epochs on photographs of PACS at 64 px, tested on paintings and sketches: once
plain, once with all averages, in turns. Training is the loop with its ID-val passes; the rest is what is measured then.
"""

import json
import os
import subprocess
import sys
import tempfile
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks.common import CHECKPOINT, PHOTO, print_machine, ratio

OPTIONS = {"plain": [], "averages": ["--average", "wise,uniform,greedy,stock"]}


class Cost(NamedTuple):
    """Seconds, and MiB."""

    training: float
    command: float
    peak: float


def cost(data: Path, options: list[str], threads: int) -> Cost:
    """The cost of one command, a process of its own."""
    with tempfile.TemporaryDirectory(prefix="ftcli-averages-") as folder:
        words = [
            "lpft", "--checkpoint", data / CHECKPOINT, "--train", f"{data / PHOTO}?limit=600:0", "--image-size", 64,
            "--ood", f"art={data}/pacs/art_painting.parquet", "--ood", f"sketch={data}/pacs/sketch.parquet",
            "--epochs", 4, "--lr", "1e-4,1e-3", "--seeds", 3, "--threads", threads, "--quiet",
            "--out", f"{folder}/run", *options,
        ]  # fmt: skip
        process = subprocess.Popen([sys.executable, "-m", "ftcli", *map(str, words)], stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        if status:
            sys.exit(f"exit status {status}")
        timing = json.loads(Path(folder, "run", "report.json").read_text("utf-8"))["timing"]
        return Cost(timing["train_s"], timing["total_s"], used.ru_maxrss / 1024)


def main() -> None:
    arguments = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    arguments.add_argument("data", type=Path, help=f"folder that holds {PHOTO} and {CHECKPOINT}")
    arguments.add_argument("--pairs", type=int, default=2, help="rounds that count (2)")
    arguments.add_argument("--threads", type=int, default=2, help="CPU threads (2)")
    asked = arguments.parse_args()
    print_machine()
    found: dict[str, list[Cost]] = {name: [] for name in OPTIONS}
    for _ in range(asked.pairs):
        for name, options in OPTIONS.items():
            found[name].append(cost(asked.data, options, asked.threads))
            print(f"{name}: {found[name][-1]}", flush=True)
    for place, what in enumerate(Cost._fields):
        print(f"{what}: {ratio(*([one[place] for one in found[name]] for name in ('averages', 'plain')))}")


if __name__ == "__main__":
    main()

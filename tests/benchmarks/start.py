"""What starting a command costs: processor time, seconds and memory of each that only looks, and of a warm probe.

    python -m tests.benchmarks.start [--rounds 5] [--only look|probe|line]

Every command is a process of its own, timed whole, by turns; the least of the rounds is printed, since another program
can only add to it. `python -c "import typer, rich"` beside them is what no command can do without. The reports looked
at are those of `probe` and `evaluate` on the preset `digits`. Of the probe with warm caches the imports are also told
apart by package, by Python's own count of them, which is a run of its own. The first line is what a terminal shows
first, from the start of the process.
"""

import os
import pty
import re
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks.common import own_cache, print_machine

# In a small process between, because memory is counted from the fork on, when the child is still its parent's copy.
MEASURE = (
    "import resource, subprocess, sys, time\n"
    "began = time.perf_counter()\n"
    "done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n"
    "wall, used = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)\n"
    "print(done.returncode, used.ru_utime + used.ru_stime, wall, used.ru_maxrss / 1024)"
)
FTCLI = [sys.executable, "-m", "ftcli"]
BARE = [sys.executable, "-c", "import typer, rich.table, rich.console"]
LARGEST = 12  # packages that are printed


class Cost(NamedTuple):
    """Of one process: processor seconds of user and system, seconds, peak memory in MiB."""

    cpu: float
    wall: float
    memory: float


def cost(command: list[str], code: int = 0) -> Cost:
    """What a command took, which must end with this exit code."""
    done = subprocess.run([sys.executable, "-c", MEASURE, *command], capture_output=True, text=True, check=True)
    ended, *figures = map(float, done.stdout.split())
    if ended != code:
        sys.exit(f"{' '.join(command)} ended with {ended:.0f}")
    return Cost(*figures)


def print_costs(commands: dict[str, tuple[list[str], int]], rounds: int) -> None:
    """The least of each figure over the rounds, in which the commands take turns. commands: words and exit code."""
    taken: dict[str, list[Cost]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, (words, code) in commands.items():
            taken[name].append(cost(words, code))
    print(f"{'command':<34}{'CPU s':>8}{'s':>8}{'MiB':>8}")
    for name, costs in taken.items():
        least = Cost(*map(min, zip(*costs, strict=True)))
        print(f"{name:<34}{least.cpu:>8.2f}{least.wall:>8.2f}{least.memory:>8.0f}")


def looking(runs: Path, rounds: int) -> None:
    """Print what the commands cost that only look."""
    probe, evaluate = str(runs / "probe"), str(runs / "evaluate")
    prepare(["probe", "--preset", "digits", "--out", probe])
    prepare(["evaluate", probe, "--preset", "digits", "--out", evaluate])
    commands = {
        "--version": 0, "--help": 0, "lpft --help": 0, "probe --bad": 2, "schema": 0, "presets": 0, "cache": 0,
        "report PROBE": 0, "compare PROBE EVALUATE": 0,
    }  # fmt: skip
    folders = {"PROBE": probe, "EVALUATE": evaluate}
    words = {name: ([*FTCLI, *(folders.get(word, word) for word in name.split())], commands[name]) for name in commands}
    print_costs({"python, typer and rich alone": (BARE, 0)} | words, rounds)


def warm_probe(runs: Path, rounds: int) -> None:
    """Print what a probe of the digits costs whose caches are filled, beside its two largest libraries alone."""
    words = ["probe", "--preset", "digits", "--overwrite", "--out", str(runs / "warm")]
    prepare(words)
    libraries = [sys.executable, "-c", "import torch, timm"]
    print_costs({"torch and timm alone": (libraries, 0), "probe --preset digits, warm": (FTCLI + words, 0)}, rounds)
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *FTCLI[1:], *words], capture_output=True, text=True, check=True
    )
    seconds: Counter[str] = Counter()
    for own, name in re.findall(r"^import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)$", done.stderr, re.MULTILINE):
        seconds[name.partition(".")[0]] += int(own) / 1e6
    largest = ", ".join(f"{name} {taken:.2f}" for name, taken in seconds.most_common(LARGEST))
    print(f"imports of a warm probe, {seconds.total():.1f} s, by package: {largest}")


def first_line(rounds: int) -> None:
    """Print after how long a terminal shows the first line of commands that import for seconds."""
    for command in ("probe", "lpft", "evaluate"):
        words = [*FTCLI, command, *(["missing"] if command == "evaluate" else []), "--checkpoint", "missing"]
        print(f"first line of {command}: {min(until_shown(words) for _ in range(rounds)):.2f} s")


def until_shown(command: list[str]) -> float:
    """Seconds until a command has written to its terminal; it is ended then."""
    here, there = pty.openpty()
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=there, stderr=there) as process:
        os.close(there)
        os.read(here, 1)
        seconds = time.perf_counter() - began
        process.kill()
    os.close(here)
    return seconds


def prepare(words: list[str]) -> None:
    """Run a command whose figures do not count."""
    subprocess.run(FTCLI + words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def main() -> None:
    arguments = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=5, help="processes of each command (5)")
    arguments.add_argument("--only", choices=["look", "probe", "line"], help="one of the parts (all)")
    asked = arguments.parse_args()
    print_machine()
    with own_cache(), tempfile.TemporaryDirectory(prefix="ftcli-benchmark-") as folder:
        if asked.only in (None, "line"):
            first_line(asked.rounds)
        if asked.only in (None, "look"):
            looking(Path(folder), asked.rounds)
        if asked.only in (None, "probe"):
            warm_probe(Path(folder), asked.rounds)


if __name__ == "__main__":
    main()

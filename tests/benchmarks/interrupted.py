"""Commands that are killed at random moments, gone on with, and held against one that was not.

    python -m tests.benchmarks.interrupted [--kills 50] [--signal KILL]

`lpft --preset digits` and `surgical` on the same digits, 2 rates × 2 seeds, states every half second. A command is
started, sent a signal after a random time, and started again, until it gets through; then model, predictions and
report (but for times) are compared with the undisturbed ones, and another begins, until so many signals were sent.
"""

import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any

TIMES = ("created", "argv", "timing", "seconds", "out", "workers", "resume")
COMMON = ["--lr", "1e-3,1e-2", "--seeds", "2", "--epochs", "3", "--save-every", "0.008", "--quiet"]
COMMANDS = {
    "lpft": ["lpft", "--preset", "digits", *COMMON],
    "surgical": [
        "surgical", "--checkpoint", "preset:digits/checkpoint", "--train", "digits:inverted?split=train[:400]",
        "--id-test", "digits:inverted?split=train[1297:]", "--image-size", "32", "--blocks", "first,last",
        "--auto", "rgn", "--threads", "1", *COMMON,
    ],
}  # fmt: skip


def started(words: list[str], out: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "ftcli", *words, "--out", str(out)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def lasting(value: Any) -> Any:
    """A report without what may differ between two runs of one command."""
    if isinstance(value, dict):
        return {key: lasting(one) for key, one in value.items() if key not in TIMES}
    return [lasting(one) for one in value] if isinstance(value, list) else value


def same(one: Path, other: Path) -> bool:
    bytes_alike = all(
        (one / name).read_bytes() == (other / name).read_bytes()
        for name in ("model.safetensors", "config.json", "predictions.parquet")
    )
    reports = [lasting(json.loads((folder / "report.json").read_text())) for folder in (one, other)]
    return bytes_alike and reports[0] == reports[1]


def storm(words: list[str], root: Path, kills: int, number: signal.Signals, draw: random.Random) -> None:
    """Kill and go on until so many signals were sent; say how many finished runs were the same."""
    calm = root / "calm"
    began = time.monotonic()
    if started(words, calm).wait():
        sys.exit("the undisturbed run failed")
    whole = time.monotonic() - began
    sent, finished, alike = 0, 0, 0
    while sent < kills:
        out = root / f"storm-{finished}"
        while True:
            process = started([*words, "--resume"], out)  # a kill may come when the report is written already
            try:
                process.wait(timeout=draw.uniform(0.1, 1.0) * whole if sent < kills else None)
                break
            except subprocess.TimeoutExpired:
                process.send_signal(number)
                process.wait()
                sent += 1
        finished += 1
        alike += process.returncode == 0 and same(out, calm)
        print(f"{words[0]}: {sent} signals, {alike} of {finished} the same", file=sys.stderr, flush=True)
    print(f"{words[0]}: {sent} times {number.name}, {alike} of {finished} finished runs the same", flush=True)


def main() -> None:
    arguments = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    arguments.add_argument("--kills", type=int, default=50, help="signals to each command (50)")
    arguments.add_argument("--signal", default="KILL", choices=["KILL", "TERM", "INT"], help="which (KILL)")
    arguments.add_argument("--seed", type=int, default=0, help="of the moments (0)")
    asked = arguments.parse_args()
    for name, words in COMMANDS.items():
        with tempfile.TemporaryDirectory(prefix=f"ftcli-{name}-") as folder:
            number = signal.Signals[f"SIG{asked.signal}"]
            storm(words, Path(folder), asked.kills, number, random.Random(asked.seed))


if __name__ == "__main__":
    main()

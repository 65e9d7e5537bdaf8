"""Studies that are killed at random moments, typed again, and held against one that was not.

    python -m tests.benchmarks.study_killed [--moments 20] [--jobs 2] [--engine ray]

finetune and lpft on digits, 2 rates × 2 seeds. A moment is a signal to the study (KILL, TERM or INT), SIGKILL to all of
its cells, or SIGKILL to both; a study meets up to MOMENTS of them before it may end, and is typed again after each that
ends it, every second time at once, while its cells may still save their states. Then study.json (but for times), and
the files of every cell are compared; and no process, lock or half-written file may be left.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.helpers.killed import cells_of, lasting_answer, left_behind, same_cells, zombies_of

DATA = [
    "--checkpoint", "preset:digits/checkpoint", "--train", "digits:plain?split=train[:400]",
    "--id-test", "digits:plain?split=train[1297:]", "--ood", "inverted=digits:inverted?split=train[1297:]",
    "--image-size", "32", "--augment", "none", "--batch-size", "64", "--threads", "1",
]  # fmt: skip
STUDY = ["study", *DATA, "--methods", "finetune,lpft", "--seeds", "2", "--set", "epochs=3", "--set", "lr=1e-3,1e-2"]
HITS = ["study KILL", "cells KILL", "study TERM", "both KILL", "study INT"]
CODES = {"KILL": -signal.SIGKILL, "TERM": 143, "INT": 130}
MOMENTS = 5  # of one study
PATIENCE = 300  # seconds in which a cell saves its state


@dataclass
class Seen:
    """What was seen: moments by kind, and how often something was as it should be."""

    moments: Counter[str] = field(default_factory=Counter)
    with_cells: int = 0
    answered: int = 0
    alone: int = 0
    faults: list[str] = field(default_factory=list)
    finished: int = 0
    same: int = 0

    def say(self) -> str:
        kinds = ", ".join(f"{count} × {kind}" for kind, count in sorted(self.moments.items()))
        return (
            f"{self.moments.total()} moments ({kinds}), at {self.with_cells} of them a cell ran; {self.answered} "
            f"answered as they should be; {self.same} of {self.finished} finished studies the same; "
            f"faults: {self.faults or 'none'}"
        )


class Storm:
    """A study that is disturbed until it has met its moments, then left alone."""

    def __init__(self, words: list[str], out: Path, seen: Seen, whole: float, draw: random.Random) -> None:
        self.words, self.out, self.seen, self.whole, self.draw = [*words, "--out", str(out)], out, seen, whole, draw
        self.told = out.with_suffix(".told")
        self.process = self.start()

    def start(self) -> "subprocess.Popen[bytes]":
        with self.told.open("wb") as file:
            return subprocess.Popen(
                [sys.executable, "-m", "ftcli", *self.words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=file, start_new_session=True,
            )  # fmt: skip

    def meet(self, moments: int) -> None:
        """Let the study meet so many moments, unless it has ended before."""
        for _ in range(moments):
            try:
                code = self.process.wait(self.draw.uniform(1.0, self.whole / 3))
            except subprocess.TimeoutExpired:
                self.hit(HITS[self.seen.moments.total() % len(HITS)])
            else:
                if code:
                    self.fault(f"ended by itself with {code}")
                return

    def hit(self, kind: str) -> None:
        whom, name = kind.split()
        cells = cells_of(self.out)
        self.seen.moments[kind] += 1
        self.seen.with_cells += bool(cells)
        if whom != "study":
            for cell in cells:
                kill(cell)
        if whom == "cells":
            time.sleep(2)
            if left := zombies_of(self.process.pid):
                self.fault(f"{kind}: zombies {left}")
            self.seen.answered += not left
            return
        os.kill(self.process.pid, signal.Signals[f"SIG{name}"])
        code = self.process.wait(PATIENCE)
        text = self.told.read_text()
        if code == CODES[name] and (name == "KILL" or "try: " in text):
            self.seen.answered += 1
        elif code == 0:  # it was through
            self.seen.moments[kind] -= 1
            return
        else:
            self.fault(f"{kind}: exit code {code}, {text[-200:]!r}")
        if name != "KILL" and (left := cells_of(self.out)):
            self.fault(f"{kind}: {len(left)} cells run on")
        if self.seen.moments.total() % 2:
            self.wait_for_orphans(kind)
        self.process = self.start()

    def wait_for_orphans(self, kind: str) -> None:
        _, left = psutil.wait_procs(cells_of(self.out), PATIENCE)
        self.seen.alone += not left
        if left:
            self.fault(f"{kind}: {len(left)} cells run on alone")

    def end(self) -> int:
        return self.process.wait(3600)

    def fault(self, text: str) -> None:
        self.seen.faults.append(text)
        print(text, file=sys.stderr, flush=True)


def kill(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        process.kill()


def run_storms(words: list[str], root: Path, moments: int, draw: random.Random) -> Seen:
    seen, calm, out = Seen(), root / "calm", root / "disturbed"
    began = time.monotonic()
    if subprocess.run([sys.executable, "-m", "ftcli", *words, "--out", str(calm), "--quiet"], check=False).returncode:
        sys.exit("the undisturbed study failed")
    whole = time.monotonic() - began
    print(f"undisturbed: {whole:.0f} s", file=sys.stderr)
    while seen.moments.total() < moments:
        storm = Storm(words, out, seen, whole, draw)
        storm.meet(min(MOMENTS, moments - seen.moments.total()))
        if code := storm.end():
            storm.fault(f"the last command ended with {code}: {storm.told.read_text()[-400:]!r}")
        if left := left_behind(out):
            storm.fault(f"left behind: {left}")
        seen.finished += 1
        seen.same += code == 0 and lasting_answer(out) == lasting_answer(calm) and same_cells(out, calm)
        print(f"{time.monotonic() - began:.0f} s: {seen.say()}", file=sys.stderr, flush=True)
        shutil.rmtree(out)
    return seen


def main() -> None:
    arguments = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    arguments.add_argument("--moments", type=int, default=20, help="at which something is killed (20)")
    arguments.add_argument("--jobs", type=int, default=2, help="cells at the same time (2)")
    arguments.add_argument("--engine", choices=["local", "ray"], default="local", help="what runs the cells (local)")
    arguments.add_argument("--seed", type=int, default=0, help="of the moments (0)")
    asked = arguments.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # not ignored, as in a background job
    engine: list[Any] = ["--jobs", str(asked.jobs)] if asked.engine == "local" else ["--engine", asked.engine]
    with tempfile.TemporaryDirectory(prefix="ftcli-study-") as folder:
        print(run_storms([*STUDY, *engine], Path(folder), asked.moments, random.Random(asked.seed)).say())


if __name__ == "__main__":
    main()

"""A command on a disk that is too small, again and again, each time with a little more room, until it gets through.

    unshare --user --map-root-user --mount python -m tests.benchmarks.room [--from-kb 400] [--more-kb 400]

The disk is a file system in memory of exactly that size, which only the commands started here see (hence `unshare`, or
be root). After each end for want of room the last state is read as a whole; the result is compared with that of a
command that had room from the start.
"""

import subprocess
import sys
import tempfile
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path

from safetensors.torch import load_file

from tests.benchmarks.interrupted import COMMANDS, Command, same


def sized(disk: Path, kb: int, *more: str) -> None:
    options = ",".join([*more, f"size={kb}k"])
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(disk)], check=True)


def main() -> None:
    arguments = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    arguments.add_argument("--from-kb", type=int, default=400, help="the disk's size at first (400)")
    arguments.add_argument("--more-kb", type=int, default=400, help="that it grows by each time (400)")
    arguments.add_argument("--command", choices=list(COMMANDS), default="lpft")
    asked = arguments.parse_args()
    words, kb, ends = COMMANDS[asked.command], asked.from_kb, list[str]()
    with tempfile.TemporaryDirectory(prefix="ftcli-room-") as folder:
        calm, disk = Path(folder, "calm"), Path(folder, "disk")
        if Command(words, calm).wait():
            sys.exit(calm.with_suffix(".told").read_text())
        disk.mkdir()
        sized(disk, kb)
        try:
            while (command := Command(words, disk / "run", Path(folder, "told"))).wait():
                told = command.told.read_text()
                whole = [len(load_file(state)) for state in (disk / "run" / "state").glob("*.safetensors")]
                parts = list(disk.rglob("*.part"))
                ends.append(f"{kb} kB: exit {command.code}, {len(whole)} states whole, {len(parts)} files half-written")
                print(ends[-1], told.strip().splitlines()[-2:], sep="\n  ", file=sys.stderr, flush=True)
                if command.code != 1 or "No space left" not in told or "needed" not in told or parts:
                    sys.exit("not as it should be")
                kb += asked.more_kb
                sized(disk, kb, "remount")
            alike = same(disk / "run", calm)
            print(f"{asked.command}: {len(ends)} times without room, then through on {kb} kB; the same result: {alike}")
        finally:
            subprocess.run(["umount", str(disk)], check=True)


if __name__ == "__main__":
    main()

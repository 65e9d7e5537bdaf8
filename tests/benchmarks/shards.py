"""A WebDataset shard beside the folder of the same images: second runs, and what the index takes of the first.

    python -m tests.benchmarks.shards FOLDER_OF_THE_DATA [--images 20000] [--side 64] [--rounds 5]

Makes a folder of JPEG files from tiny100/train.parquet, and of it train.tar, each image with its class in a .cls member
beside it. The data part of a command, up to the stored pixels of train, ID-val and ID-test, reads each with an empty
cache, and then in turns with the cache that this leaves. Both must have one fingerprint. Files are in the system's
cache. CPU seconds, of all processes together, are less disturbed by what else runs on a machine.
"""

import io
import sys
import tarfile
import tempfile
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from ftcli.cache.cache import Cache
from ftcli.data.pixel_cache import CachedPixels, open_pixels
from ftcli.data.preparation import Transforms
from ftcli.data.sources.shards.index import index_of
from ftcli.data.task import open_sets, read_task
from ftcli.data.transforms import evaluation
from ftcli.log import Log
from tests.benchmarks.common import Contestant, print_machine, ratio, take_turns, timed
from tests.benchmarks.first_run import TABLES, cpu_seconds, make_folder

CAP = 10**11  # bytes of a cache


def make_shard(folder: Path, path: Path) -> None:
    """Write an image folder, in its order, as a shard."""
    with tarfile.open(path, "w") as archive:
        for file in sorted(folder.glob("*/*")):
            name = f"{file.parent.name}/{file.stem}"
            for ending, content in ((file.suffix, file.read_bytes()), (".cls", file.parent.name.encode())):
                member = tarfile.TarInfo(name + ending)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))


def data_part(spec: Path, side: int, cache: Cache) -> None:
    """Task and pixels of a command; the fingerprint is printed to stderr."""
    config = {"input_size": (3, side, side), "interpolation": "bilinear", "crop_pct": 1.0, "crop_mode": "center"}
    plain = evaluation(config | {"mean": (0.5,) * 3, "std": (0.5,) * 3})
    log = Log()
    opened = open_sets(train=str(spec), id_val=None, id_test=None, ood=[], log=log, cache=cache)
    task = read_task(
        opened, split_seed=0, damaged="stop", log=log, cache=cache, transforms=Transforms((plain,), (plain,))
    )
    assert task.train is not None
    for images in (task.train, *task.sets().values()):
        if not isinstance(open_pixels(images, plain, cache, log), CachedPixels):
            sys.exit("pixels are not kept")
    print(f"{spec.name}: fingerprint {task.train.fingerprint[:12]}", file=sys.stderr)


def measure(work: Path, side: int, rounds: int) -> None:
    """Print seconds and ratios; first runs have a new cache in every round."""
    folder, shard = work / "train", work / "train.tar"
    caches: dict[str, Cache] = {}

    def new_cache() -> Cache:
        return Cache(Path(tempfile.mkdtemp(dir=work, prefix="cache-")), CAP, Log())

    def first(spec: Path) -> None:
        caches[spec.name] = new_cache()
        data_part(spec, side, caches[spec.name])

    for stage in (
        {"first run, shard": lambda: first(shard), "first run, folder": lambda: first(folder),
         "index": lambda: index_of([str(shard)], new_cache(), Log())},
        {"second run, shard": lambda: data_part(shard, side, caches[shard.name]),
         "second run, folder": lambda: data_part(folder, side, caches[folder.name])},
    ):  # fmt: skip
        cpu: dict[str, list[float]] = {name: [] for name in stage}
        wall = take_turns({name: clocked(work, cpu[name]) for name, work in stage.items()}, rounds)
        cpu = {name: seconds[1:] for name, seconds in cpu.items()}  # without the first round, which warms up
        for kind, seconds in (("wall", wall), ("cpu", cpu)):
            own = next(iter(seconds))
            for name, taken in seconds.items():
                print(f"  {kind}: {name} {median(taken):.2f} s", end="")
                print("" if name == own else f", the shard's over it: {ratio(seconds[own], taken)}", flush=True)


def clocked(work: Callable[[], Any], cpu: list[float]) -> Contestant:
    """A contestant that notes its CPU seconds, too."""

    def turn() -> float:
        before, seconds = cpu_seconds(), timed(work)()
        cpu.append(cpu_seconds() - before)
        return seconds

    return turn


def main() -> None:
    arguments = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    arguments.add_argument("data", type=Path, help=f"folder that holds {TABLES['small']}")
    arguments.add_argument("--images", type=int, default=20_000, help="in the folder and the shard (20000)")
    arguments.add_argument("--side", type=int, default=64, help="pixels of the network's input (64)")
    arguments.add_argument("--rounds", type=int, default=5, help="that count (5)")
    asked = arguments.parse_args()
    print_machine()
    with tempfile.TemporaryDirectory(prefix="ftcli-benchmark-") as name:
        work = Path(name)
        make_folder(asked.data / TABLES["small"], work / "train", asked.images)
        make_shard(work / "train", work / "train.tar")
        print(f"{asked.images:,} images to {asked.side} px, as for probe:", flush=True)
        measure(work, asked.side, asked.rounds)


if __name__ == "__main__":
    main()

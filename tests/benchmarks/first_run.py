"""The data part of a first run: every picture hashed, decoded, checked, resized and stored, beside torchvision's.

    python -m tests.benchmarks.first_run FOLDER_OF_THE_DATA [--images 2000,20000,100000] [--side 64] [--cut probe|lpft]

Makes folders of JPEG files from the tables of the data, and reads each with an empty cache, up to the stored pixels of
train, ID-val and ID-test as a command needs them, and with the cache that this leaves. In turns with it, torchvision's
ImageFolder reads the same files by a DataLoader with as many processes as there are cores, decoded and resized to
tensors of the same size; nothing of it is hashed, checked or kept. Files are in the system's cache for both.
"""

import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from tests.benchmarks.common import print_machine, ratio

TABLES = {"small": "tiny100/train.parquet", "large": "pacs/photo.parquet"}
AUGMENTED = {"probe": (), "lpft": ("light",)}
CODE = "import sys; from tests.benchmarks import first_run as b; b.turn(*sys.argv[1:])"
Turn = dict[str, float]  # wall and CPU seconds


def make_folder(table: Path, folder: Path, images: int) -> None:
    """Write `images` JPEG files into a folder per class; rows that are used again are rolled, so that all differ."""
    rows = pq.read_table(table)
    encoded, labels = rows["image"], rows["label"].to_pylist()
    for i in range(images):
        row = i % len(rows)
        content = encoded[row].as_py()["bytes"]
        if repeated := i // len(rows):
            with Image.open(io.BytesIO(content)) as image:
                rolled = np.roll(np.asarray(image.convert("RGB")), repeated, axis=(0, 1))
            Image.fromarray(rolled).save(stream := io.BytesIO(), "JPEG", quality=90)
            content = stream.getvalue()
        own = folder / f"class {labels[row]}"
        own.mkdir(parents=True, exist_ok=True)
        (own / f"{i}.jpg").write_bytes(content)


def turn(name: str, folder: str, side: str, cut: str) -> None:
    """In a process of its own: print the wall and CPU seconds of one contestant, without its imports."""
    work = {"ours": ours, "torchvision": torchvision_loader}[name](folder, int(side), cut)
    before, started = cpu_seconds(), time.perf_counter()
    work()
    print(json.dumps({"wall": time.perf_counter() - started, "cpu": cpu_seconds() - before}))


def ours(folder, side, cut):  # type: ignore[no-untyped-def]
    """Task and pixels of a command, by FTCLI_CACHE."""
    from ftcli.cache.cache import open_cache
    from ftcli.data.pixel_cache import CachedPixels, open_pixels
    from ftcli.data.preparation import Transforms
    from ftcli.data.task import open_sets, read_task
    from ftcli.data.transforms import augmentation, evaluation
    from ftcli.log import Log

    config = {"input_size": (3, side, side), "interpolation": "bilinear", "crop_pct": 1.0, "crop_mode": "center"}
    config |= {"mean": (0.5,) * 3, "std": (0.5,) * 3}
    plain = evaluation(config)
    transforms = Transforms((plain, *(augmentation(config, name) for name in AUGMENTED[cut])), (plain,))

    def work() -> None:
        log = Log()
        cache = open_cache(log)
        opened = open_sets(train=folder, id_val=None, id_test=None, ood=[], log=log)
        task = read_task(opened, split_seed=0, damaged="stop", log=log, cache=cache, transforms=transforms)
        for images, transform in [(task.train, t) for t in transforms.train] + [
            (s, plain) for s in task.sets().values()
        ]:
            if not isinstance(open_pixels(images, transform, cache, log), CachedPixels):
                sys.exit("pixels are not kept")

    return work


def torchvision_loader(folder, side, cut):  # type: ignore[no-untyped-def]
    from torch.utils.data import DataLoader
    from torchvision import transforms
    from torchvision.datasets import ImageFolder

    from ftcli.data.decoding.forked import available_cores

    prepare = transforms.Compose([transforms.Resize(side), transforms.CenterCrop(side), transforms.ToTensor()])

    def work() -> None:
        for _ in DataLoader(ImageFolder(folder, prepare), batch_size=64, num_workers=available_cores()):
            pass

    return work


def cpu_seconds() -> float:
    """Of this process, and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def run(name: str, folder: Path, side: int, cut: str, cache: Path) -> Turn:
    words = [sys.executable, "-c", CODE, name, str(folder), str(side), cut]
    done = subprocess.run(words, capture_output=True, text=True, env=os.environ | {"FTCLI_CACHE": str(cache)})
    if done.returncode:
        sys.exit(done.stderr[-2000:])
    return json.loads(done.stdout)


def measure(folder: Path, images: int, side: int, cut: str, rounds: int) -> None:
    """Print the medians of some rounds, and the ratios round by round; a first round warms up."""
    turns: dict[str, list[Turn]] = {"first run": [], "second run": [], "torchvision": []}
    for number in range(rounds + 1):
        with tempfile.TemporaryDirectory(prefix="ftcli-benchmark-") as cache:
            contestants = {"first run": "ours", "second run": "ours", "torchvision": "torchvision"}
            for name, contestant in list(contestants.items()):
                taken = run(contestant, folder, side, cut, Path(cache))
                print(f"round {number}: {name} {taken}", file=sys.stderr, flush=True)
                if number:
                    turns[name].append(taken)
    print(f"{images:,} pictures to {side} px, as for {cut}:")
    for kind in ("wall", "cpu"):
        peer = [taken[kind] for taken in turns["torchvision"]]
        print(f"  {kind}: torchvision {median(peer):.2f} s, {images / median(peer):,.0f} images/s")
        for name in ("first run", "second run"):
            own = [taken[kind] for taken in turns[name]]
            print(f"  {kind}: {name} {median(own):.2f} s, {ratio(own, peer)}")


def main() -> None:
    arguments = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    arguments.add_argument("data", type=Path, help="folder that holds the tables")
    arguments.add_argument("--images", default="2000,20000", help="pictures in each folder (2000,20000)")
    arguments.add_argument("--pictures", choices=TABLES, default="small", help="64 or 227 pixels wide (small)")
    arguments.add_argument("--side", type=int, default=64, help="pixels of the network's input (64)")
    arguments.add_argument("--cut", choices=AUGMENTED, default="probe", help="whose transforms are prepared (probe)")
    arguments.add_argument("--rounds", type=int, default=3, help="that count (3)")
    asked = arguments.parse_args()
    print_machine()
    for images in map(int, asked.images.split(",")):
        with tempfile.TemporaryDirectory(prefix="ftcli-benchmark-") as folder:
            make_folder(asked.data / TABLES[asked.pictures], Path(folder), images)
            measure(Path(folder), images, asked.side, asked.cut, asked.rounds)


if __name__ == "__main__":
    main()

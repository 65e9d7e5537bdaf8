"""Loader: every example once, the same tensors for any number of processes, with and without a cache."""

import multiprocessing
import os
import random
import select
import signal
import time
import warnings
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import create_transform
from torch import Tensor

from ftcli.cache.cache import Cache
from ftcli.data.examples import open_images
from ftcli.data.images import ImageSet
from ftcli.data.loader import Batch, BatchMaker, Loader
from ftcli.data.specs.parse import parse
from ftcli.data.transforms import augmentation, evaluation
from ftcli.errors import ResourceLimit, RunError
from ftcli.log import Log
from ftcli.seeds import derive_seed

CONFIG = {
    "input_size": (3, 16, 16),
    "interpolation": "bilinear",
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
    "crop_pct": 0.9,
    "crop_mode": "center",
}
MODES = ("RGB", "L", "RGBA", "P", "CMYK", "1", "I;16")


def opened(folder: Path) -> ImageSet:
    return open_images(parse(str(folder)), Log())


@pytest.fixture
def data(tmp_path: Path) -> ImageSet:
    """13 examples of two classes, every picture of its own noise."""
    for i in range(13):
        folder = tmp_path / "set" / ("cat" if i % 2 else "dog")
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.random.RandomState(i).randint(0, 256, (20, 20, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i:02d}.png")
    return opened(tmp_path / "set")


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", 10**9, Log())


def flat(batches: Iterable[Batch]) -> tuple[Tensor, list[int], list[int]]:
    """All images, all labels, and the batch sizes."""
    made = list(batches)
    assert all(batch.images.is_contiguous(memory_format=torch.channels_last) for batch in made)
    assert all(len(batch.images) == len(batch.labels) for batch in made)
    images = torch.cat([batch.images for batch in made])
    return images, torch.cat([batch.labels for batch in made]).tolist(), [len(batch.labels) for batch in made]


def same(one: Iterable[Batch], two: Iterable[Batch]) -> bool:
    """Whether two epochs are equal in every bit."""
    pairs = list(zip(one, two, strict=True))
    return all(
        torch.equal(a.images, b.images) and torch.equal(a.labels, b.labels) and torch.equal(a.whole, b.whole)
        and a.counted == b.counted and (a.mixed is None) == (b.mixed is None)
        for a, b in pairs
    )  # fmt: skip


def test_ordered(data: ImageSet) -> None:
    images, labels, sizes = flat(Loader(data, evaluation(CONFIG), batch_size=4).ordered())
    assert sizes == [4, 4, 4, 1]
    assert labels == data.labels.tolist()
    assert images.dtype == torch.float32
    theirs = create_transform(**CONFIG, is_training=False)
    for i in range(len(data)):
        assert torch.equal(images[i], theirs(data.image(i)))


@pytest.mark.parametrize("mode", ["center", "border"])
def test_odd_pictures_come_out_as_timm_alone_makes_them(tmp_path: Path, cache: Cache, mode: str) -> None:
    """Every colour mode and shape through the whole loader, decoded now, put into the cache, and read from it."""
    (tmp_path / "odd" / "one").mkdir(parents=True)
    for i, kind in enumerate(MODES):
        pixels = np.random.RandomState(i).randint(0, 256, (9 + 4 * i, 40 - 4 * i, 4)).astype(np.uint8)
        image = Image.fromarray(pixels if kind == "RGBA" else pixels[..., :3])
        image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 200) if kind == "I;16" else image.convert(kind)
        image.save(tmp_path / "odd" / "one" / f"{i}.{'tif' if kind == 'CMYK' else 'png'}")
    data = opened(tmp_path / "odd")
    cfg = CONFIG | {"crop_mode": mode, "input_size": (3, 24, 16)}
    theirs = create_transform(**cfg, is_training=False)
    expected = torch.stack([theirs(data.image(i)) for i in range(len(MODES))])
    for kept in (None, cache, cache):
        assert torch.equal(flat(Loader(data, evaluation(cfg), batch_size=3, cache=kept).ordered())[0], expected)
    assert len(cache.entries()) == 1


@pytest.mark.real
def test_real_pictures_come_out_as_timm_alone_makes_them(data_dir: Path, cache: Cache) -> None:
    images = open_images(parse(f"{data_dir}/pacs/art_painting.parquet?limit=70:0"), Log())
    cfg = CONFIG | {"input_size": (3, 112, 112), "interpolation": "bicubic", "crop_pct": 0.875}
    theirs = create_transform(**cfg, is_training=False)
    expected = torch.stack([theirs(images.image(i)) for i in range(70)])
    for _ in range(2):
        loader = Loader(images, evaluation(cfg), batch_size=32, cache=cache)
        assert torch.equal(flat(loader.ordered())[0], expected)


@pytest.mark.parametrize("name", ["none", "light", "standard", "randaugment"])
def test_cold_warm_and_no_cache_are_the_same(data: ImageSet, cache: Cache, name: str) -> None:
    transform = augmentation(CONFIG, name)
    without = Loader(data, transform, batch_size=4)
    for _ in range(2):  # written, then read
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            loader = Loader(data, transform, batch_size=4, cache=cache)
            assert same(loader.ordered(), without.ordered())
            for epoch in (0, 1):
                assert same(loader.shuffled(1, epoch, skip_single=True), without.shuffled(1, epoch, skip_single=True))
    assert [entry.kind for entry in cache.entries()] == ["pixels"]


def test_a_warm_cache_needs_no_picture(data: ImageSet, cache: Cache) -> None:
    """Nothing is decoded until the first batch, and nothing ever again after it."""
    transform = augmentation(CONFIG, "light")
    loader = Loader(data, transform, batch_size=4, cache=cache)
    assert cache.entries() == []
    expected = flat(loader.ordered())[0]
    assert len(cache.entries()) == 1
    assert data.column.paths is not None
    for path in data.column.paths.to_pylist():
        Path(path).unlink()
    assert torch.equal(flat(Loader(data, transform, batch_size=4, cache=cache).ordered())[0], expected)


def test_shuffled_shows_every_example_once_in_an_order_of_its_seed_and_epoch(data: ImageSet) -> None:
    loader = Loader(data, evaluation(CONFIG), batch_size=4)
    straight = flat(loader.ordered())[0]
    orders = []
    for seed, epoch in ((0, 0), (0, 1), (1, 0), (0, 0)):
        images, labels, _ = flat(loader.shuffled(seed, epoch, skip_single=False))
        order = [int((straight == image).flatten(1).all(1).nonzero()) for image in images]
        assert sorted(order) == list(range(13))
        assert labels == data.labels[order].tolist()
        orders.append(order)
    assert orders[0] == orders[3]
    assert len({tuple(order) for order in orders}) == 3


@pytest.mark.parametrize("name", ["standard", "randaugment", "augmix"])
def test_augmentation_of_an_example_depends_on_seed_epoch_and_example_only(data: ImageSet, name: str) -> None:
    """Another batch size cuts the epoch otherwise; the picture that an example gives is the same."""
    transform = augmentation(CONFIG, name)
    small = Loader(data, transform, batch_size=2)
    large = Loader(data, transform, batch_size=7)
    assert torch.equal(
        flat(small.shuffled(3, 2, skip_single=False))[0], flat(large.shuffled(3, 2, skip_single=False))[0]
    )
    one, two = (flat(small.shuffled(3, epoch, skip_single=False))[0] for epoch in (2, 4))
    found = [bool((one == image).flatten(1).all(1).any()) for image in two]
    assert not all(found)
    half = data.select(range(6))  # the first rows of numbers, whatever follows them
    some = flat(Loader(half, transform, batch_size=2).shuffled(3, 2, skip_single=False))[0]
    every = flat(small.shuffled(3, 2, skip_single=False))[0]
    assert all(bool((every == image).flatten(1).all(1).any()) for image in some)


def test_no_two_examples_epochs_or_seeds_share_their_random_numbers(data: ImageSet) -> None:
    """A sum of seed, epoch and index would give example 1 of epoch 0 the numbers of example 0 of epoch 1."""
    loader = Loader(data, augmentation(CONFIG, "light"), batch_size=4)
    drawn = [loader._numbers(seed, epoch) for seed in range(3) for epoch in range(3)]
    rows = np.concatenate(drawn)
    assert rows.shape == (9 * 13, 3) and rows.min() >= 0 and rows.max() < 1
    assert len({tuple(row) for row in rows.tolist()}) == 9 * 13
    assert len(set(rows.ravel().tolist())) == rows.size


@pytest.mark.parametrize("name", ["light", "randaugment", "augmix"])
def test_workers_change_nothing_and_live_through_epochs(data: ImageSet, cache: Cache, name: str) -> None:
    transform = augmentation(CONFIG, name)
    here, there, kept = (
        Loader(data, transform, batch_size=4, workers=workers, cache=place)
        for workers, place in ((0, None), (2, None), (2, cache))
    )
    next(there.shuffled(9, 9, skip_single=False))  # an epoch that is left early leaves nothing behind
    for loader in (there, kept):
        for seed, epoch in ((0, 0), (0, 1), (5, 1)):
            assert same(here.shuffled(seed, epoch, skip_single=True), loader.shuffled(seed, epoch, skip_single=True))
        assert same(here.ordered(), loader.ordered())


@pytest.mark.parametrize("name", ["standard", "randaugment", "augmix"])
def test_global_generators_are_left_alone(data: ImageSet, name: str) -> None:
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # type: ignore[index]
    loader = Loader(data, augmentation(CONFIG, name), batch_size=4)
    for balanced in (False, True):
        for _ in loader.shuffled(0, 0, skip_single=False, balanced=balanced):
            pass
    for _ in loader.ordered():
        pass
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]  # type: ignore[index]
    assert random.getstate() == before[2]


@pytest.mark.parametrize(("batch_size", "skip", "steps"), [(4, False, 4), (4, True, 3), (5, True, 3), (20, True, 1)])
def test_steps_and_a_last_batch_of_one(data: ImageSet, batch_size: int, skip: bool, steps: int) -> None:
    loader = Loader(data, evaluation(CONFIG), batch_size=batch_size)
    assert loader.steps(skip_single=skip) == steps
    sizes = flat(loader.shuffled(0, 0, skip_single=skip))[2]
    assert len(sizes) == steps
    assert all(size == batch_size for size in sizes[:-1])
    assert sum(sizes) == (12 if skip and batch_size == 4 else 13)


@pytest.mark.parametrize("world", [1, 2, 3, 5])
def test_ordered_deals_whole_batches_out(data: ImageSet, world: int) -> None:
    """The batches of all processes, put back in order, are the very batches of one."""
    alone = Loader(data, evaluation(CONFIG), batch_size=4)
    shards = [Loader(data, evaluation(CONFIG), batch_size=4, shard=(rank, world)) for rank in range(world)]
    dealt = [list(shard.ordered()) for shard in shards]
    merged = [dealt[i % world][i // world] for i in range(4)]
    assert sum(map(len, dealt)) == 4 and same(merged, alone.ordered())


@pytest.mark.parametrize("world", [2, 3, 5])
@pytest.mark.parametrize("name", ["light", "standard", "augmix"])
@pytest.mark.parametrize("balanced", [False, True])
def test_shares_of_a_shuffled_epoch_are_the_batches_of_one_process(
    data: ImageSet, world: int, name: str, balanced: bool
) -> None:
    transform, how = augmentation(CONFIG, name), {"skip_single": False, "balanced": balanced}
    alone = list(Loader(data, transform, batch_size=4).shuffled(2, 1, **how))
    shards = [
        list(Loader(data, transform, batch_size=4, shard=(rank, world)).shuffled(2, 1, **how)) for rank in range(world)
    ]
    for batch, *shares in zip(alone, *shards, strict=True):
        parts = np.array_split(np.arange(len(batch.labels)), world)
        assert torch.equal(batch.whole, batch.labels) and batch.counted
        for part, share in zip(parts, shares, strict=True):
            assert torch.equal(share.whole, batch.labels)
            assert share.counted == bool(len(part))
            rows = part if len(part) else np.array([0])  # the stand-in
            assert torch.equal(share.images, batch.images[rows]) and torch.equal(share.labels, batch.labels[rows])


@pytest.mark.parametrize("balanced", [False, True])
def test_mixed_images_are_weighted_means_within_a_batch(data: ImageSet, balanced: bool) -> None:
    """Of the very images and labels that are not mixed otherwise; weights and partners change with seed and epoch."""
    loader, how = (
        Loader(data, augmentation(CONFIG, "light"), batch_size=4),
        {"skip_single": False, "balanced": balanced},
    )
    seen = set()
    for seed, epoch in ((0, 1), (0, 2), (1, 1)):
        plain = list(loader.shuffled(seed, epoch, **how))
        mixed = list(loader.shuffled(seed, epoch, mixup=0.7, **how))
        for one, other in zip(plain, mixed, strict=True):
            assert other.mixed is not None and torch.equal(one.labels, other.labels) and one.mixed is None
            weight, labels = other.mixed
            apart = (other.images.double() - weight * one.images) / (1 - weight)  # [b, C, H, W], of the partners
            distances = torch.cdist(apart.flatten(1), one.images.double().flatten(1))  # [b, b]
            partners = distances.argmin(1)
            assert distances.min(1).values.max() < 1e-3 / (1 - weight)
            assert torch.equal(labels, one.labels[partners])
            assert balanced or sorted(partners.tolist()) == list(range(len(labels)))
            assert other.images.is_contiguous(memory_format=torch.channels_last)
            seen.add(weight)
    assert len(seen) == 12


def test_weights_of_mixed_images_have_a_beta_distribution(data: ImageSet) -> None:
    from scipy.stats import beta, kstest

    loader = Loader(data, evaluation(CONFIG), batch_size=1)
    weights = [weight for epoch in range(100) for weight in loader._mixup(0.7, 0, epoch).weights]
    assert len(set(weights)) == len(weights) == 1300
    assert kstest(weights, beta(0.7, 0.7).cdf).pvalue > 1e-3


@pytest.mark.parametrize("world", [2, 3, 5])
@pytest.mark.parametrize("workers", [0, 1])
def test_shares_of_mixed_images_are_those_of_one_process(data: ImageSet, world: int, workers: int) -> None:
    """And a part of an epoch is the rest of it."""
    transform, how = augmentation(CONFIG, "light"), {"skip_single": False, "mixup": 0.7}
    alone = list(Loader(data, transform, batch_size=4).shuffled(2, 1, **how))
    for rank in range(world):
        loader = Loader(data, transform, batch_size=4, shard=(rank, world), workers=workers)
        shares = list(loader.shuffled(2, 1, **how))
        for batch, share in zip(alone, shares, strict=True):
            part = np.array_split(np.arange(len(batch.labels)), world)[rank]
            rows = part if len(part) else np.array([0])
            assert batch.mixed is not None and share.mixed is not None
            assert torch.equal(share.images, batch.images[rows]) and torch.equal(share.labels, batch.labels[rows])
            assert (
                torch.equal(share.mixed.labels, batch.mixed.labels[rows]) and share.mixed.weight == batch.mixed.weight
            )
        assert same(loader.shuffled(2, 1, done=2, **how), shares[2:])


def test_balanced_draws_every_class_that_has_examples_equally_often(data: ImageSet) -> None:
    labels = np.array([5] * 9 + [2] * 3 + [0])  # classes 1, 3, 4 have none
    loader = Loader(replace(data, labels=labels), evaluation(CONFIG), batch_size=4)
    straight = flat(loader.ordered())[0]
    drawn, examples = [], []
    for epoch in range(150):
        images, found, sizes = flat(loader.shuffled(0, epoch, skip_single=False, balanced=True))
        assert sizes == [4, 4, 4, 1]
        rows = [int((straight == image).flatten(1).all(1).nonzero()) for image in images]
        assert found == labels[rows].tolist()
        drawn += found
        examples += rows
    counts = np.bincount(drawn, minlength=6)
    assert counts.sum() == 150 * 13 and counts[[1, 3, 4]].sum() == 0
    assert abs(counts[[0, 2, 5]] - 650).max() < 5 * (1950 * 2 / 9) ** 0.5
    within = np.bincount(examples)[:9]  # the nine examples of class 5
    assert abs(within - within.mean()).max() < 5 * (within.sum() * 8 / 81) ** 0.5
    twice = [loader._balanced(3, 1), loader._balanced(3, 1), loader._balanced(3, 2)]
    assert torch.equal(twice[0], twice[1]) and not torch.equal(twice[0], twice[2])


def test_an_example_drawn_twice_is_augmented_twice(data: ImageSet) -> None:
    labels = np.array([0] + [1] * 12)
    loader = Loader(replace(data, labels=labels), augmentation(CONFIG, "standard"), batch_size=13)
    (batch,) = loader.shuffled(0, 0, skip_single=False, balanced=True)
    rare = batch.images[batch.labels == 0]
    assert len(rare) >= 3 and len({image.numpy().tobytes() for image in rare}) == len(rare)


@pytest.mark.parametrize(("workers", "kept"), [(1, False), (0, True), (0, False)])
def test_a_picture_that_vanishes_is_named_without_a_traceback(
    data: ImageSet, cache: Cache, workers: int, kept: bool
) -> None:
    assert data.column.paths is not None
    Path(data.column.paths[3].as_py()).unlink()
    loader = Loader(data, evaluation(CONFIG), batch_size=4, workers=workers, cache=cache if kept else None)
    with pytest.raises(RunError) as error:
        list(loader.ordered())
    assert data.ids[3] in error.value.problem and "Traceback" not in error.value.problem
    assert cache.entries() == []


def test_a_picture_that_changes_after_opening_is_refused(data: ImageSet, cache: Cache) -> None:
    """Its pixels would stand in the cache under the digest of what it was."""
    assert data.column.paths is not None
    paths = [Path(path) for path in data.column.paths.to_pylist()]
    paths[3].write_bytes(paths[4].read_bytes())
    for place in (cache, None):
        with pytest.raises(RunError, match="has changed") as error:
            list(Loader(data, evaluation(CONFIG), batch_size=4, cache=place).ordered())
        assert data.ids[3] in error.value.problem
    assert cache.entries() == []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("workers", [0, 2])
def test_a_gpu_gets_the_same_bits(data: ImageSet, cache: Cache, workers: int) -> None:
    for name in ("none", "light", "standard"):
        transform, device = augmentation(CONFIG, name), torch.device("cuda")
        here = Loader(data, transform, batch_size=4)
        there = Loader(data, transform, batch_size=4, workers=workers, device=device, cache=cache)
        for epoch in range(3):
            moved = [
                Batch(batch.images.cpu(), batch.labels.cpu(), batch.whole.cpu(), batch.counted)
                for batch in there.shuffled(0, epoch, skip_single=False)
                if batch.images.is_cuda and batch.labels.is_cuda and batch.whole.is_cuda
            ]
            assert same(here.shuffled(0, epoch, skip_single=False), moved)


def test_mix_is_a_hash_not_a_sum() -> None:
    seeds = {derive_seed(seed, epoch, index) for seed in range(10) for epoch in range(10) for index in range(10)}
    assert len(seeds) == 1000
    assert len({derive_seed(1, 2), derive_seed(2, 1), derive_seed(3, 0), derive_seed(1, 2, 0)}) == 4
    assert all(0 <= seed < 2**64 for seed in seeds)
    assert derive_seed(-1, 0) != derive_seed(1, 0)
    assert len({seed % 2**32 for seed in seeds}) == 1000  # torch's CPU generator takes the low 32 bits


# --- processes that make batches ---


def room(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    """Shared memory of so many free bytes, as far as the loader can see."""
    found = SimpleNamespace(f_bavail=free // 4096, f_frsize=4096)
    monkeypatch.setattr(os, "statvfs", lambda _: found)


@pytest.mark.parametrize(("free", "started"), [(0, 0), (100_000, 0), (2**18 + 4096, 1), (2**20, 3)])
def test_no_more_workers_than_shared_memory_holds(
    data: ImageSet, free: int, started: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches of 2 images of 16 x 16; the pictures are the same, and the report says it."""
    transform, log = augmentation(CONFIG, "light"), Log()
    assert transform.size == (16, 16)
    here, there = Loader(data, transform, batch_size=2), Loader(data, transform, batch_size=2, workers=3, log=log)
    before = {child.pid for child in multiprocessing.active_children()}
    room(monkeypatch, free)
    made = there.shuffled(1, 1, skip_single=False)
    first = next(made)
    monkeypatch.undo()
    assert len({child.pid for child in multiprocessing.active_children()} - before) == started
    assert same(here.shuffled(1, 1, skip_single=False), [first, *made])
    warned = [warning["text"] for warning in log.warnings if warning["code"] == "workers"]
    assert len(warned) == (started < 3) and all("/dev/shm" in text and "--shm-size" in text for text in warned)


def test_a_batch_for_which_shared_memory_has_no_room_is_made_here(
    data: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else has filled it since the processes began."""
    monkeypatch.setattr(Tensor, "share_memory_", mock.Mock(side_effect=RuntimeError("No space left on device (28)")))
    log = Log()
    there = Loader(data, evaluation(CONFIG), batch_size=4, workers=2, log=log)
    assert same(Loader(data, evaluation(CONFIG), batch_size=4).ordered(), there.ordered())
    assert [warning["code"] for warning in log.warnings] == ["workers"]


def test_without_locks_between_processes_none_is_started(data: ImageSet, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log()
    there = Loader(data, evaluation(CONFIG), batch_size=4, workers=2, log=log)
    with mock.patch(
        "multiprocessing.synchronize.SemLock.__init__", side_effect=OSError(38, "Function not implemented")
    ):
        made = list(there.ordered())
    assert same(Loader(data, evaluation(CONFIG), batch_size=4).ordered(), made)
    assert "Function not implemented" in log.warnings[0]["text"]


@pytest.mark.parametrize(
    ("number", "threads"), [(signal.SIGKILL, False), (signal.SIGBUS, False), (signal.SIGKILL, True)]
)
def test_a_process_that_is_killed_ends_the_work_in_order(data: ImageSet, number: signal.Signals, threads: bool) -> None:
    def work() -> None:
        loader = Loader(data, evaluation(CONFIG), batch_size=1, workers=2)
        before = {child.pid for child in multiprocessing.active_children()}
        for batch in loader.ordered():
            assert len(batch.labels) == 1
            for child in multiprocessing.active_children():
                if child.pid not in before and child.pid is not None:
                    os.kill(child.pid, number)

    with pytest.raises(ResourceLimit) as error:
        if threads:
            with ThreadPoolExecutor(1) as pool:
                pool.submit(work).result()
        else:
            work()
    why = "memory" if number == signal.SIGKILL else "SIGBUS"
    assert "killed" in error.value.problem and why in error.value.problem and "fewer --workers" in error.value.fix


def test_processes_end_with_the_one_that_started_them(data: ImageSet) -> None:
    """Killed, it cannot tell them."""
    plain, (read, write) = BatchMaker.make, os.pipe()

    def slow(maker: BatchMaker, plan: Any) -> Tensor:
        time.sleep(600 * int(plan.indices[0] > 0))  # a picture on a disk that does not answer
        return plain(maker, plan)

    if not (child := os.fork()):
        try:
            os.close(read)
            with mock.patch.object(BatchMaker, "make", slow):
                next(Loader(data, evaluation(CONFIG), batch_size=1, workers=2).ordered())
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.close(write)  # those processes have it open too
    os.waitpid(child, 0)
    ended = bool(select.select([read], [], [], 60)[0])
    os.close(read)
    assert ended

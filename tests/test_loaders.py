"""Loader: every example once, the same tensors for any number of workers, and no global generator touched."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ftcli.data.loaders import Loader
from ftcli.data.sources import open_source
from ftcli.data.spec import parse
from ftcli.data.task import TaskSet
from ftcli.data.transforms import augmentation, evaluation
from ftcli.errors import RunError
from ftcli.log import Log
from ftcli.seeds import mix

CONFIG = {
    "input_size": (3, 16, 16),
    "interpolation": "bilinear",
    "mean": (0.0,) * 3,
    "std": (1.0,) * 3,
    "crop_pct": 1.0,
    "crop_mode": "center",
}


@pytest.fixture
def data(tmp_path: Path) -> TaskSet:
    """13 examples of two classes, every picture of its own noise."""
    for i in range(13):
        folder = tmp_path / "set" / ("cat" if i % 2 else "dog")
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.random.RandomState(i).randint(0, 256, (20, 20, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i:02d}.png")
    images = open_source(parse(str(tmp_path / "set")), Log())
    assert images.labels is not None
    return TaskSet(images, images.labels)


def flat(batches: object) -> tuple[torch.Tensor, list[int], list[int]]:
    """All images, all labels, and the batch sizes."""
    pairs = list(batches)  # type: ignore[call-overload]
    images = torch.cat([images for images, _ in pairs])
    return images, torch.cat([labels for _, labels in pairs]).tolist(), [len(images) for images, _ in pairs]


def test_ordered(data: TaskSet) -> None:
    images, labels, sizes = flat(Loader(data, evaluation(CONFIG), batch_size=4).ordered())
    assert sizes == [4, 4, 4, 1]
    assert labels == data.labels.tolist()
    assert images.dtype == torch.float32
    transform = evaluation(CONFIG)
    for i in range(len(data)):
        assert torch.equal(images[i], transform(data.images.image(i)))


def test_shuffled_shows_every_example_once_in_an_order_of_its_seed_and_epoch(data: TaskSet) -> None:
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


def test_augmentation_of_an_example_depends_on_seed_epoch_and_example_only(data: TaskSet) -> None:
    """Another batch size cuts the epoch otherwise; the picture that example 5 gives is the same."""
    transform = augmentation(CONFIG, "standard")
    small = Loader(data, transform, batch_size=2)
    large = Loader(data, transform, batch_size=7)
    assert torch.equal(
        flat(small.shuffled(3, 2, skip_single=False))[0], flat(large.shuffled(3, 2, skip_single=False))[0]
    )
    one, two = (flat(small.shuffled(3, epoch, skip_single=False))[0] for epoch in (2, 4))
    same = [bool((one == image).flatten(1).all(1).any()) for image in two]
    assert not all(same)


def test_no_two_examples_epochs_or_seeds_share_their_random_numbers(data: TaskSet) -> None:
    """A sum of seed, epoch and index would give example 1 of epoch 0 the numbers of example 0 of epoch 1."""
    loader = Loader(data, lambda image: torch.rand(2), batch_size=4)
    drawn = [flat(loader.shuffled(seed, epoch, skip_single=False))[0] for seed in range(3) for epoch in range(3)]
    assert len({tuple(numbers) for numbers in torch.cat(drawn).tolist()}) == 9 * 13


def test_workers_change_nothing_and_live_through_epochs(data: TaskSet) -> None:
    transform = augmentation(CONFIG, "light")
    here, there = (Loader(data, transform, batch_size=4, workers=workers) for workers in (0, 2))
    next(there.shuffled(9, 9, skip_single=False))  # an epoch that is left early leaves nothing behind
    for seed, epoch in ((0, 0), (0, 1), (5, 1)):
        mine, yours = (flat(loader.shuffled(seed, epoch, skip_single=True)) for loader in (here, there))
        assert torch.equal(mine[0], yours[0]) and mine[1:] == yours[1:]
    assert torch.equal(flat(here.ordered())[0], flat(there.ordered())[0])


def test_global_generators_are_left_alone(data: TaskSet) -> None:
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # type: ignore[index]
    loader = Loader(data, augmentation(CONFIG, "standard"), batch_size=4)
    for _ in loader.shuffled(0, 0, skip_single=False):
        pass
    for _ in loader.ordered():
        pass
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]  # type: ignore[index]
    assert random.getstate() == before[2]


@pytest.mark.parametrize(("batch_size", "skip", "steps"), [(4, False, 4), (4, True, 3), (5, True, 3), (20, True, 1)])
def test_steps_and_a_last_batch_of_one(data: TaskSet, batch_size: int, skip: bool, steps: int) -> None:
    loader = Loader(data, evaluation(CONFIG), batch_size=batch_size)
    assert loader.steps(skip_single=skip) == steps
    sizes = flat(loader.shuffled(0, 0, skip_single=skip))[2]
    assert len(sizes) == steps
    assert all(size == batch_size for size in sizes[:-1])
    assert sum(sizes) == (12 if skip and batch_size == 4 else 13)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_picture_that_vanishes_is_named_without_a_traceback(data: TaskSet, workers: int) -> None:
    assert data.images.pictures.paths is not None
    Path(data.images.pictures.paths[3].as_py()).unlink()
    with pytest.raises(RunError) as error:
        list(Loader(data, evaluation(CONFIG), batch_size=4, workers=workers).ordered())
    assert data.ids[3] in error.value.problem and "Traceback" not in error.value.problem


def test_mix_is_a_hash_not_a_sum() -> None:
    seeds = {mix(seed, epoch, index) for seed in range(10) for epoch in range(10) for index in range(10)}
    assert len(seeds) == 1000
    assert len({mix(1, 2), mix(2, 1), mix(3, 0), mix(1, 2, 0)}) == 4
    assert all(0 <= seed < 2**64 for seed in seeds)
    assert mix(-1, 0) != mix(1, 0)
    assert len({seed % 2**32 for seed in seeds}) == 1000  # torch's CPU generator takes the low 32 bits

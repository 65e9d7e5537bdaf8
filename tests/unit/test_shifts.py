"""Shifts in a SPEC: what they change, who shares it, and that nothing but the picture decides about its numbers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from ftcli.cache.cache import Cache
from ftcli.data.examples import open_images
from ftcli.data.images import ImageSet
from ftcli.data.loader import Loader
from ftcli.data.overlap import shared
from ftcli.data.pixel_cache import pixels_key
from ftcli.data.shifts import corruptions
from ftcli.data.shifts.corruptions import corrupt
from ftcli.data.shifts.permutation import permute
from ftcli.data.shifts.shift import Shuffle
from ftcli.data.specs.parse import parse
from ftcli.data.task import build_task
from ftcli.data.transforms import augmentation, evaluation
from ftcli.engine.device import Machine
from ftcli.engine.features.feature_cache import FeatureCache
from ftcli.engine.features.frozen_body import FrozenBody
from ftcli.errors import RequestError
from ftcli.log import Log
from tests.helpers.photographs import photographs
from tests.helpers.tiny import tiny

CONFIG = {
    "input_size": (3, 24, 36), "interpolation": "bilinear", "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4),
    "crop_pct": 1.0, "crop_mode": "center",
}  # fmt: skip
PETS = ("ant", "bee", "cat")


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 pictures of three classes."""
    root = tmp_path_factory.mktemp("pets")
    for i, picture in enumerate(photographs(40, 12)):
        (root / PETS[i % 3]).mkdir(exist_ok=True)
        picture.save(root / PETS[i % 3] / f"{i:02d}.png")
    return root


def opened(pets: Path, settings: str = "") -> ImageSet:
    return open_images(parse(f"{pets}?{settings}" if settings else str(pets)), Log())


def loader(images: ImageSet, name: str = "none", **options: object) -> Loader:
    options = {"batch_size": 5, **options}
    return Loader(images, augmentation(CONFIG, name), **options)  # type: ignore[arg-type]


def inputs(images: ImageSet, name: str = "none", **options: object) -> Tensor:
    """What a model gets of a set, in its order."""
    return torch.cat([batch.images for batch in loader(images, name, **options).ordered()])


def pixels(images: ImageSet) -> dict[str, bytes]:
    return {id: images.image(i).tobytes() for i, id in enumerate(images.ids)}


def test_pictures_are_those_that_the_corruption_gives(pets: Path) -> None:
    clean, foggy = opened(pets), opened(pets, "shift=fog:4")
    assert foggy.digests == clean.digests and foggy.ids == clean.ids
    for i in range(len(clean)):
        assert foggy.image(i) == corrupt(clean.image(i), "fog", 4, clean.digests[i])


@pytest.mark.parametrize("name", ["shot_noise", "glass_blur", "frost", "elastic_transform"])
def test_no_order_no_subset_and_no_process_changes_a_picture(pets: Path, name: str, tmp_path: Path) -> None:
    whole = opened(pets, f"shift={name}:3")
    known = pixels(whole)
    some = opened(pets, f"shift={name}:3&limit=5:1")
    assert pixels(some) == {id: known[id] for id in some.ids}
    assert pixels(whole.select(np.arange(len(whole))[::-1])) == known
    plain = inputs(whole)
    cache = Cache(tmp_path / "cache", 10**8, Log())
    for options in (
        {"workers": 2},
        {"cache": cache},
        {"cache": cache},
        {"batch_size": 3},
        {"workers": 2, "cache": cache},
    ):
        assert torch.equal(inputs(whole, **options), plain)


@pytest.mark.parametrize("workers", [0, 2])
def test_every_epoch_sees_the_same_corrupted_pictures(pets: Path, workers: int) -> None:
    images = opened(pets, "shift=gaussian_noise:5")
    plain = inputs(images)
    for epoch, order in ((0, 1), (1, 1), (1, 2)):
        batches = list(loader(images, workers=workers).shuffled(order, epoch, skip_single=False))
        seen = torch.cat([batch.images for batch in batches])
        assert sorted(row.numpy().tobytes() for row in seen) == sorted(row.numpy().tobytes() for row in plain)


def test_no_two_settings_share_a_key_or_a_fingerprint(pets: Path) -> None:
    settings = [
        "",
        "shift=fog:1",
        "shift=fog:2",
        "shift=snow:1",
        "shuffle=4",
        "shuffle=4:1",
        "shuffle=2",
        "shuffle=channels",
    ]
    settings += ["shift=fog:1&shuffle=4"]
    sets = [opened(pets, setting) for setting in settings]
    assert len({images.fingerprint for images in sets}) == len(sets)
    stores = [pixels_key(images, evaluation(CONFIG)) for images in sets]
    assert stores[0] == stores[4] == stores[5] == stores[6] == stores[7] and stores[1] == stores[8]  # shuffled later
    assert len(set(stores)) == 4
    after = [loader(images).transform.normalisation_key for images in sets]
    assert len({*zip(stores, after, strict=True)}) == len(sets)


def test_features_of_every_setting_have_a_key_of_their_own(pets: Path) -> None:
    body = FrozenBody(tiny("test_resnet"), FeatureCache(Machine(torch.device("cpu"), "fp32", 0), None), Log())
    settings = ["", "shift=fog:1", "shift=fog:2", "shuffle=4", "shuffle=4:1", "shuffle=channels"]
    assert len({body.key(loader(opened(pets, setting))) for setting in settings}) == len(settings)


def test_a_set_without_a_shift_keeps_its_fingerprint_and_its_keys() -> None:
    images = open_images(parse("digits:plain"), Log())
    assert images.fingerprint.startswith(
        "8cab3c83238d9dd3"
    )  # as docs/commands/data.md has shown since the first version
    assert images.identities == (b"".join(images.digests),)
    mean, std = evaluation(CONFIG).normalisation_key.split(") (")
    assert mean == "(0.5, 0.4000000059604645, 0.30000001192092896"
    assert std == "0.20000000298023224, 0.30000001192092896, 0.4000000059604645)"


def test_a_store_of_other_code_or_another_library_is_not_used(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = opened(pets, "shift=fog:1")
    found = {images.identities}
    for place, version in (("numpy", "0.0"), ("scipy", "0.0")):
        with monkeypatch.context() as changed:
            changed.setattr(f"{place}.__version__", version)
            corruptions.made_by.cache_clear()
            found.add(opened(pets, "shift=fog:1").identities)
    with monkeypatch.context() as changed:
        changed.setattr(corruptions.inspect, "getsource", lambda module: module.__name__)
        corruptions.made_by.cache_clear()
        found.add(opened(pets, "shift=fog:1").identities)
    corruptions.made_by.cache_clear()
    assert len(found) == 4 and opened(pets, "shift=fog:1").identities in found


def test_a_corrupted_copy_is_the_same_picture(pets: Path) -> None:
    clean, foggy = opened(pets), opened(pets, "shift=fog:4")
    assert len(shared(clean, foggy)) == len(clean)
    log = Log()
    build_task(
        train=str(pets), id_val=f"{pets}?shift=snow:2", id_test=str(pets), ood=[], split_seed=0, damaged="stop", log=log
    )
    assert [entry["code"] for entry in log.warnings].count("overlap") == 3


def test_labels_are_flipped_in_the_order_of_the_task_s_classes(pets: Path, tmp_path: Path) -> None:
    swapped = tmp_path / "map.json"
    swapped.write_text('{"ant": "zebra"}')  # in the set's own order "bee" comes first now
    plain, log = opened(pets), Log()
    task = build_task(
        train=str(pets), id_val=f"{pets}?labels=flip", id_test=str(pets), damaged="stop", log=log, split_seed=0,
        ood=[("mapped", f"{pets}?classes={swapped}&labels=flip")],
    )  # fmt: skip
    assert task.id_val is not None and task.train is not None
    assert plain.labels is not None and task.id_val.labels.tolist() == (2 - plain.labels).tolist()
    assert task.id_val.fingerprint != task.train.fingerprint == plain.fingerprint
    mapped = task.ood["mapped"]  # "zebra" is dropped; bee and cat, 1 and 2 of the task, become 1 and 0
    assert (len(mapped), set(mapped.labels.tolist()), mapped.restrict) == (8, {0, 1}, (0, 1))
    names = [Path(id).parent.name for id in mapped.ids]
    assert [{"bee": 1, "cat": 0}[name] for name in names] == mapped.labels.tolist()


def test_flipping_twice_does_not_happen(pets: Path) -> None:
    once = opened(pets, "labels=flip").flipped()
    assert once.flipped() is once and opened(pets).labels.tolist() == (2 - once.labels).tolist()
    bare = replace(once, labels=once.labels * 0 - 1, classes=(), flip=True)
    assert bare.flipped() is bare


def test_flip_needs_labels(pets: Path) -> None:
    with pytest.raises(RequestError, match="labels are not used here"):
        open_images(parse(f"{pets}?labels=flip"), Log(), labelled=False)


@pytest.mark.parametrize(("name", "block"), [("none", 4), ("light", 12), ("standard", 4)])
def test_blocks_of_the_normalised_input_change_places(pets: Path, name: str, block: int) -> None:
    plain, mixed = (inputs(opened(pets, setting), name) for setting in ("", f"shuffle={block}:3"))
    assert mixed.is_contiguous(memory_format=torch.channels_last) and not torch.equal(plain, mixed)
    B, C, H, W = plain.shape
    apart = (B, C, H // block, block, W // block, block)
    tiles, moved = (
        batch.reshape(apart).permute(2, 4, 0, 1, 3, 5).reshape(-1, B, C, block, block) for batch in (plain, mixed)
    )
    places = [next(j for j, tile in enumerate(tiles) if torch.equal(tile, one)) for one in moved]
    assert sorted(places) == list(range(len(tiles)))


def test_blocks_of_one_pixel_keep_its_channels() -> None:
    batch = torch.arange(2 * 4 * 6 * 3, dtype=torch.float32).view(2, 4, 6, 3)
    mixed = permute(batch, Shuffle(1, 0)).view(2, -1, 3)
    assert torch.equal(mixed[1], mixed[0] + 72) and not torch.equal(mixed[0], batch[0].view(-1, 3))
    assert torch.equal(mixed[0][mixed[0, :, 0].argsort()], batch[0].view(-1, 3))


def test_channels_are_shuffled_with_pixels() -> None:
    batch = torch.arange(2 * 4 * 6 * 3, dtype=torch.float32).view(2, 4, 6, 3)
    mixed = permute(batch, Shuffle(None, 0)).view(2, -1)
    assert torch.equal(mixed[1], mixed[0] + 72) and sorted(mixed[0].tolist()) == list(range(72))
    assert len({int(value) % 3 for value in mixed[0, ::3]}) == 3  # a value leaves its channel


def test_two_sets_of_one_setting_have_one_permutation(pets: Path) -> None:
    few, all_, other = (opened(pets, f"shuffle=4:{setting}") for setting in ("1&limit=4:0", "1", "2"))
    where = [all_.ids.index(id) for id in few.ids]
    assert torch.equal(inputs(few), inputs(all_)[where])
    assert not torch.equal(inputs(other), inputs(all_))


def test_blocks_must_fit(pets: Path) -> None:
    with pytest.raises(RequestError) as error:
        loader(opened(pets, "shuffle=5"))
    assert "24 x 36" in error.value.problem and "1, 2, 3, 4, 6, 12, or channels" in error.value.fix

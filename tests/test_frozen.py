"""Features that are kept: the same as those that are computed, and under another key as soon as anything differs."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn
from worlds import coloured, loaded, world

from ftcli.cache import Cache
from ftcli.engine.frozen import FrozenBody
from ftcli.engine.predict import predict
from ftcli.engine.setting import Setting
from ftcli.log import Log
from ftcli.model.head import fresh_head


class Counted(nn.Module):
    """How often a network looked at images."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.looks = 0
        inner = model.forward_features

        def forward_features(images: torch.Tensor) -> Any:
            self.looks += 1
            return inner(images)

        model.forward_features = forward_features  # type: ignore[assignment]


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    return world(coloured(tmp_path / "train"), "probe")[0]


def frozen(setting: Setting, cache: Cache | None, name: str = "test_resnet", **machine: Any) -> FrozenBody:
    return FrozenBody(loaded(name).model, replace(setting.machine, **machine), cache, Log())


def test_kept_features_are_the_computed_ones(setting: Setting, tmp_path: Path) -> None:
    loader, cache = setting.sets["id_val"], Cache(tmp_path / "cache", 10**8, Log())
    plain = predict(loaded("test_resnet").model, loader, setting.machine, Log(), "")
    for kept in (None, cache, cache):
        body = frozen(setting, kept)
        looks = Counted(body.model)
        assert body.whole(loader, "").equal(plain.features)
        assert body.logits(loader, "").equal(plain.logits)
        first = looks.looks
    assert first == 0  # the last time nothing was computed


def test_another_head_takes_the_same_features(setting: Setting, tmp_path: Path) -> None:
    loader, cache = setting.sets["id_val"], Cache(tmp_path / "cache", 10**8, Log())
    frozen(setting, cache).whole(loader, "")
    body = frozen(setting, cache)
    fresh_head(body.model, 7, seed=1)
    looks = Counted(body.model)
    logits = body.logits(loader, "")
    assert looks.looks == 0 and logits.shape[1] == 7
    again = loaded("test_resnet").model
    fresh_head(again, 7, seed=1)
    assert logits.equal(predict(again, loader, setting.machine, Log(), "").logits)


def one_weight(body: FrozenBody) -> None:
    """The smallest change that a weight can have: its lowest bit."""
    weight = next(body.model.parameters()).data.view(-1)
    weight[:1].view(torch.int32).bitwise_xor_(1)


def one_statistic(body: FrozenBody) -> None:
    next(buffer for name, buffer in body.model.named_buffers() if "mean" in name).view(-1)[0] += 1


@pytest.mark.parametrize("change", [one_weight, one_statistic])
def test_another_body_is_another_key(setting: Setting, change: Callable[[FrozenBody], None]) -> None:
    body = frozen(setting, None)
    before = body.name_of(setting.sets["id_val"])
    assert frozen(setting, None).name_of(setting.sets["id_val"]) == before
    changed = frozen(setting, None)
    change(changed)
    assert changed.name_of(setting.sets["id_val"]) != before


def test_another_machine_or_batch_is_another_key(setting: Setting) -> None:
    loader = setting.sets["id_val"]
    names = {frozen(setting, None).name_of(loader)}
    for machine in ({"precision": "bf16"}, {"compiled": True}):
        names.add(frozen(setting, None, **machine).name_of(loader))
    loader.batch_size += 1
    names.add(frozen(setting, None).name_of(loader))
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    names.add(frozen(setting, None).name_of(loader))
    torch.set_num_threads(threads)
    assert len(names) == 5


def test_another_picture_or_transform_is_another_key(tmp_path: Path) -> None:
    folder = coloured(tmp_path / "train")

    def name(**options: Any) -> str:
        setting = world(folder, "probe", id_val=str(folder), id_test=str(folder), **options)[0]
        return frozen(setting, None).name_of(setting.sets["id_val"])

    before = name()
    assert name() == before
    one = sorted(folder.rglob("*.png"))[5]
    pixels = Image.open(one).copy()
    pixels.putpixel((0, 0), (1, 2, 3))
    pixels.save(one)
    assert name() != before


def test_other_constants_are_another_key(setting: Setting) -> None:
    loader = setting.sets["id_val"]
    names = {frozen(setting, None).name_of(loader)}
    for change in ({"mean": (0.4,) * 3}, {"std": (0.4,) * 3}, {"key": loader.transform.key + " "}):
        loader.transform = replace(loader.transform, **change)
        names.add(frozen(setting, None).name_of(loader))
    assert len(names) == 4


@pytest.mark.parametrize("spoil", [lambda whole: whole[:-4], lambda whole: whole + b"1234", lambda whole: b"x", bytes])
def test_a_damaged_entry_is_not_believed(setting: Setting, tmp_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    loader, cache = setting.sets["id_val"], Cache(tmp_path / "cache", 10**8, Log())
    features = frozen(setting, cache).whole(loader, "")
    [entry] = cache.entries("features")
    content = entry.path.read_bytes()
    entry.path.write_bytes(spoil(content) if spoil is not bytes else b"")
    assert frozen(setting, cache).whole(loader, "").equal(features)
    assert cache.entries("features")[0].path.read_bytes() == content


def test_a_cache_without_room_changes_nothing(setting: Setting, tmp_path: Path) -> None:
    loader, full = setting.sets["id_val"], Cache(tmp_path / "cache", 100, Log())
    plain = frozen(setting, None).whole(loader, "")
    assert frozen(setting, full).whole(loader, "").equal(plain)
    assert not full.entries()


def test_features_larger_than_memory_go_to_a_file(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    loader = setting.sets["id_val"]
    plain = frozen(setting, None).whole(loader, "")
    monkeypatch.setattr("ftcli.engine.frozen.IN_MEMORY", 10)
    body = frozen(setting, None)
    matrix = body.features(loader, "")
    assert isinstance(matrix.source, Path) and matrix.source.exists()
    assert body.whole(loader, "").equal(plain)

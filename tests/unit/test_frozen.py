"""Features that are kept: the same as those that are computed, and under another key as soon as anything differs."""

import os
from collections.abc import Callable
from dataclasses import replace
from io import FileIO
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn

from ftcli.cache.cache import Cache
from ftcli.engine.features.feature_cache import FeatureCache
from ftcli.engine.features.frozen_body import FrozenBody
from ftcli.engine.predict import passes, predict
from ftcli.engine.run_inputs import RunInputs
from ftcli.log import Log
from ftcli.model.head import fresh_head
from tests.helpers.worlds import coloured, loaded, world


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one whenever images go through a network to make features."""
    seen: list[int] = []

    def counted(*arguments: Any) -> Any:
        for part in passes(*arguments):
            seen.append(len(part.features))
            yield part

    monkeypatch.setattr("ftcli.engine.features.frozen_body.passes", counted)
    return seen


@pytest.fixture
def inputs(tmp_path: Path) -> RunInputs:
    return world(coloured(tmp_path / "train"), "probe")[0]


def frozen(inputs: RunInputs, cache: Cache | None, name: str = "test_resnet", **machine: Any) -> FrozenBody:
    return FrozenBody(loaded(name).model, FeatureCache(replace(inputs.machine, **machine), cache), Log())


def test_kept_features_are_the_computed_ones(inputs: RunInputs, tmp_path: Path, looks: list[int]) -> None:
    loader, cache = inputs.sets["id_val"], Cache(tmp_path / "cache", 10**8, Log())
    plain = predict(loaded("test_resnet").model, loader, inputs.machine, Log(), "")
    for kept in (None, cache, cache):
        body, before = frozen(inputs, kept), len(looks)
        assert body.whole(loader, "").equal(plain.features)
        assert body.logits(loader, "").equal(plain.logits)
    assert before == len(looks) > 0  # the last time nothing was computed


def test_another_head_takes_the_same_features(inputs: RunInputs, tmp_path: Path, looks: list[int]) -> None:
    loader, cache = inputs.sets["id_val"], Cache(tmp_path / "cache", 10**8, Log())
    frozen(inputs, cache).whole(loader, "")
    body = frozen(inputs, cache)
    fresh_head(body.model, 7, seed=1)
    before = len(looks)
    logits = body.logits(loader, "")
    assert len(looks) == before and logits.shape[1] == 7
    again = loaded("test_resnet").model
    fresh_head(again, 7, seed=1)
    assert logits.equal(predict(again, loader, inputs.machine, Log(), "").logits)


def one_weight(body: FrozenBody) -> None:
    """The smallest change that a weight can have: its lowest bit."""
    weight = next(body.model.parameters()).data.view(-1)
    weight[:1].view(torch.int32).bitwise_xor_(1)


def one_statistic(body: FrozenBody) -> None:
    next(buffer for name, buffer in body.model.named_buffers() if "mean" in name).view(-1)[0] += 1


def one_setting(body: FrozenBody) -> None:
    """What neither a tensor nor the text of the network shows."""
    body.model.global_pool.pool_type = "max"


@pytest.mark.parametrize("change", [one_weight, one_statistic, one_setting])
def test_another_body_is_another_key(inputs: RunInputs, change: Callable[[FrozenBody], None]) -> None:
    body = frozen(inputs, None)
    before = body.key(inputs.sets["id_val"])
    assert frozen(inputs, None).key(inputs.sets["id_val"]) == before
    changed = frozen(inputs, None)
    change(changed)
    assert changed.key(inputs.sets["id_val"]) != before


def test_another_machine_or_batch_is_another_key(inputs: RunInputs) -> None:
    loader = inputs.sets["id_val"]
    names = {frozen(inputs, None).key(loader)}
    for machine in ({"precision": "bf16"}, {"compiled": True}):
        names.add(frozen(inputs, None, **machine).key(loader))
    loader.batch_size += 1
    names.add(frozen(inputs, None).key(loader))
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    names.add(frozen(inputs, None).key(loader))
    torch.set_num_threads(threads)
    assert len(names) == 5


def test_another_picture_or_transform_is_another_key(tmp_path: Path) -> None:
    folder = coloured(tmp_path / "train")

    def name(**options: Any) -> str:
        inputs = world(folder, "probe", id_val=str(folder), id_test=str(folder), **options)[0]
        return frozen(inputs, None).key(inputs.sets["id_val"])

    before = name()
    assert name() == before
    one = sorted(folder.rglob("*.png"))[5]
    pixels = Image.open(one).copy()
    pixels.putpixel((0, 0), (1, 2, 3))
    pixels.save(one)
    assert name() != before


def test_other_constants_are_another_key(inputs: RunInputs) -> None:
    loader = inputs.sets["id_val"]
    names = {frozen(inputs, None).key(loader)}
    for change in ({"mean": (0.4,) * 3}, {"std": (0.4,) * 3}, {"key": loader.transform.key + " "}):
        loader.transform = replace(loader.transform, **change)
        names.add(frozen(inputs, None).key(loader))
    assert len(names) == 4


def other_number(whole: bytes) -> bytes:
    """The exponent of one of them."""
    return whole[: 128 + 7] + bytes([whole[128 + 7] ^ 1]) + whole[128 + 8 :]


def other_rows(whole: bytes) -> bytes:
    """The first two in each other's place."""
    row = 4 * 96  # bytes
    return whole[:128] + whole[128 + row : 128 + 2 * row] + whole[128 : 128 + row] + whole[128 + 2 * row :]


SPOILT = [
    lambda whole: whole[:-4], lambda whole: whole + b"1234", lambda whole: b"x", lambda whole: b"", other_number,
    other_rows, lambda whole: bytes(len(whole)),
]  # fmt: skip


@pytest.mark.parametrize("spoil", SPOILT)
def test_a_damaged_entry_is_not_believed(inputs: RunInputs, tmp_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    loader, cache = inputs.sets["id_val"], Cache(tmp_path / "cache", 10**8, Log())
    features = frozen(inputs, cache).whole(loader, "")
    [entry] = cache.entries("features")
    content = entry.path.read_bytes()
    entry.path.write_bytes(spoil(content))
    assert entry.path.read_bytes() != content
    assert frozen(inputs, cache).whole(loader, "").equal(features)
    assert cache.entries("features")[0].path.read_bytes() == content
    assert [warning["code"] for warning in cache.log.warnings] == ["cache-damaged"]


def test_features_that_another_process_removes_are_used_to_the_end(
    inputs: RunInputs, tmp_path: Path, looks: list[int]
) -> None:
    """Between any two looks at them, and however they came: made just now, or found."""
    loader, cache = inputs.sets["id_val"], Cache(tmp_path / "cache", 10**8, Log())
    plain = predict(loaded("test_resnet").model, loader, inputs.machine, Log(), "").features
    for again in range(2):
        before = len(looks)
        if again:
            frozen(inputs, cache).features(loader, "")
            before = len(looks)
        matrix = frozen(inputs, cache).features(loader, "")
        made = len(looks) - before
        cache.clear()
        for _ in range(2):
            assert torch.cat([block.clone() for _, block in matrix.blocks()]).equal(plain)
        assert (made == 0) == bool(again) and len(looks) == before + made
    assert cache.log.warnings == []


def test_a_cache_without_room_changes_nothing(inputs: RunInputs, tmp_path: Path, looks: list[int]) -> None:
    loader, full = inputs.sets["id_val"], Cache(tmp_path / "cache", 100, Log())
    plain = frozen(inputs, None).whole(loader, "")
    once = len(looks)
    assert frozen(inputs, full).whole(loader, "").equal(plain)
    assert not full.entries() and len(looks) == 2 * once  # computed once each


class Mine(nn.ReLU):
    """Code that neither torch nor timm answers for."""


def other_class(model: nn.Module) -> None:
    model.act1 = Mine()


def other_method(model: nn.Module) -> None:
    model.forward_features = lambda images: type(model).forward_features(model, images)  # type: ignore[assignment]


def hook(model: nn.Module) -> None:
    model.register_forward_hook(lambda *_: None)


@pytest.mark.parametrize("change", [other_class, other_method, hook])
def test_features_of_foreign_code_are_not_kept(
    inputs: RunInputs, tmp_path: Path, change: Callable[[nn.Module], None]
) -> None:
    cache = Cache(tmp_path / "cache", 10**8, Log())
    body = frozen(inputs, cache)
    change(body.model)
    body.whole(inputs.sets["id_val"], "")
    assert not cache.entries("features")


def test_features_larger_than_memory_go_to_a_file(inputs: RunInputs, monkeypatch: pytest.MonkeyPatch) -> None:
    loader = inputs.sets["id_val"]
    plain = frozen(inputs, None).whole(loader, "")
    monkeypatch.setattr("ftcli.engine.features.feature_cache.IN_MEMORY", 10)
    body = frozen(inputs, None)
    matrix = body.features(loader, "")
    assert isinstance(matrix.source, FileIO) and not Path(matrix.source.name).exists()  # nobody else sees it
    assert os.fstat(matrix.source.fileno()).st_size == matrix.start + plain.nbytes
    assert body.whole(loader, "").equal(plain)

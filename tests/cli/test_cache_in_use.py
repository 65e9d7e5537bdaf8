"""A cache that others clear while commands work: nobody is hurt, and no figure changes."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from ftcli.cache import cache as cache_module
from ftcli.cache.cache import Cache
from ftcli.cache.entries import FOOTER
from ftcli.data.loader import Loader
from ftcli.engine.features.feature_matrix import FeatureMatrix
from ftcli.log import Log
from tests.helpers.program import Work, inside, work

COMMANDS: dict[str, list[Any]] = {
    "probe": ["probe"],
    "frozen part": ["surgical", "--blocks", "last", "--epochs", 2, "--lr", "1e-2"],
    "workers": ["finetune", "--epochs", 2, "--lr", "1e-2", "--workers", 2],
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Work:
    return work(tmp_path_factory.mktemp("in use"))


def figures(tiny: Work, words: list[Any], out: Path, cache: Path) -> tuple[dict[str, Any], list[str]]:
    """The results, and the codes of the warnings that speak of the cache."""
    report = inside(*words, *tiny.words, "--out", out, "--json", FTCLI_CACHE=str(cache)).report
    return report["results"], [one["code"] for one in report["warnings"] if one["code"].startswith("cache")]


def gone(where: Any, name: str, folder: Path, times: list[int]) -> Any:
    """`where.name`, before which another process removes every entry."""
    plain: Callable[..., Any] = getattr(where, name)

    def after_clear(*arguments: Any, **named: Any) -> Any:
        times.append(len(Cache(folder, 10**9, Log()).clear()))
        return plain(*arguments, **named)

    return mock.patch.object(where, name, after_clear)


@pytest.mark.parametrize(
    ("name", "moment"),
    [
        ("probe", "features are read"), ("probe", "an entry is written"), ("frozen part", "a pass begins"),
        ("workers", "a pass begins"),
    ],
)  # fmt: skip
def test_entries_are_removed_all_the_time(name: str, moment: str, tiny: Work, tmp_path: Path) -> None:
    """With an empty cache, and with one that is filled again in between."""
    calm = figures(tiny, COMMANDS[name], tmp_path / "calm", tmp_path / "cache")
    times: list[int] = []
    where, method = {
        "a pass begins": (Loader, "_made"), "features are read": (FeatureMatrix, "blocks"),
        "an entry is written": (cache_module, "flush_all"),
    }[moment]  # fmt: skip
    for begun in ("empty", "filled"):
        if begun == "empty":
            Cache(tmp_path / "cache", 10**9, Log()).clear()
        else:
            figures(tiny, COMMANDS[name], tmp_path / "filling", tmp_path / "cache")
        with gone(where, method, tmp_path / "cache", times):
            assert figures(tiny, COMMANDS[name], tmp_path / begun, tmp_path / "cache") == calm == (calm[0], [])
    assert any(times)


def changed(content: bytes) -> Iterator[bytes]:
    """Two ways in which a disk or a program may change the middle of an entry, its length as it was."""
    middle, end = len(content) // 2, len(content) - FOOTER
    yield content[:middle] + content[middle:end][::-1] + content[end:]
    yield content[:middle] + bytes([content[middle] ^ 128]) + content[middle + 1 :]


@pytest.mark.parametrize("kind", ["pixels", "features"])
def test_a_changed_entry_changes_no_figure_and_is_said(kind: str, tiny: Work, tmp_path: Path) -> None:
    words, cache = COMMANDS["frozen part"], tmp_path / "cache"
    calm, none = figures(tiny, words, tmp_path / "calm", cache)
    assert none == []
    entries = [entry.path for entry in Cache(cache, 10**9, Log()).entries(kind)]
    assert entries
    for number in range(2):
        before = [path.read_bytes() for path in entries]
        for path, content in zip(entries, before, strict=True):
            path.write_bytes(list(changed(content))[number])
        again, said = figures(tiny, words, tmp_path / f"changed{number}", cache)
        assert again == calm and set(said) == {"cache-damaged"}
        assert [path.read_bytes() for path in entries] == before
    assert figures(tiny, words, tmp_path / "healed", cache) == (calm, [])


def test_a_cache_of_pipes_and_giants_hinders_nobody(tiny: Work, tmp_path: Path) -> None:
    words, cache = COMMANDS["probe"], tmp_path / "cache"
    calm, _ = figures(tiny, words, tmp_path / "calm", cache)
    for number, entry in enumerate(Cache(cache, 10**9, Log()).entries()):
        if number % 2:
            os.truncate(entry.path, 2**43)
        else:
            entry.path.unlink()
            os.mkfifo(entry.path)
    again, said = figures(tiny, words, tmp_path / "again", cache)
    assert again == calm and set(said) == {"cache-damaged"}
    assert figures(tiny, words, tmp_path / "healed", cache) == (calm, [])

"""The same work gives the same bytes: again, with other workers, with the rates in another order."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.ended import Ended
from tests.helpers.program import VARYING, Work, inside, lasting, read, work

COMMANDS = {
    "probe": [],
    "finetune": ["--lr", "1e-3,3e-3,1e-2", "--epochs", 2, "--seeds", 2, "--augment", "standard"],
    "lpft": ["--lr", "1e-4,1e-3", "--epochs", 2, "--seed", "3,1", "--augment", "light"],
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Work:
    return work(tmp_path_factory.mktemp("work"))


@pytest.fixture(scope="module")
def first(tiny: Work, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One folder of each method, made once."""
    root = tmp_path_factory.mktemp("first")
    for command, words in COMMANDS.items():
        done = inside(command, *tiny.words, *words, "--workers", 0, "--out", root / command)
        assert done.returncode == 0, done.stderr
    return {command: root / command for command in COMMANDS}


def assert_same(one: Path, other: Path) -> None:
    assert lasting(read(one)) == lasting(read(other))
    for name in ("model.safetensors", "config.json", "predictions.parquet"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


@pytest.mark.parametrize("command", ["finetune", "lpft"])
def test_again_in_another_process(
    ftcli: Callable[..., Ended], tiny: Work, first: dict[str, Path], tmp_path: Path, command: str
) -> None:
    """Another process too: nothing may hang on hash seeds, on what was imported, or on what ran before."""
    done = ftcli(command, *tiny.words, *COMMANDS[command], "--workers", 0, "--out", tmp_path / "o", PYTHONHASHSEED="7")
    assert done.returncode == 0, done.stderr
    assert_same(first[command], tmp_path / "o")


def test_again_in_this_process(tiny: Work, first: dict[str, Path], tmp_path: Path) -> None:
    assert inside("probe", *tiny.words, "--out", tmp_path / "o").returncode == 0
    assert_same(first["probe"], tmp_path / "o")


@pytest.mark.parametrize("command", ["probe", "finetune"])
def test_with_two_workers(tiny: Work, first: dict[str, Path], tmp_path: Path, command: str) -> None:
    done = inside(command, *tiny.words, *COMMANDS[command], "--workers", 2, "--out", tmp_path / "o")
    assert done.returncode == 0, done.stderr
    assert_same(first[command], tmp_path / "o")


def test_with_the_rates_and_seeds_in_another_order(tiny: Work, first: dict[str, Path], tmp_path: Path) -> None:
    orders = {
        "finetune": [*COMMANDS["finetune"], "--lr", "1e-2,1e-3,3e-3,1e-3"],
        "lpft": [*COMMANDS["lpft"], "--lr", "1e-3,1e-4", "--seed", "1,3"],
    }
    for command, words in orders.items():
        done = inside(command, *tiny.words, *words, "--out", tmp_path / command)
        assert done.returncode == 0, done.stderr
        assert_same(first[command], tmp_path / command)


def test_another_seed_is_another_model(tiny: Work, first: dict[str, Path], tmp_path: Path) -> None:
    """What the tests above compare does depend on the request."""
    words = [*COMMANDS["finetune"], "--seeds", 1, "--lr", "1e-2"]
    for name, more in {"zero": [], "split": ["--split-seed", 1], "rate": ["--lr", "3e-3"]}.items():
        assert inside("finetune", *tiny.words, *words, *more, "--out", tmp_path / name).returncode == 0
    weights = {folder: (folder / "model.safetensors").read_bytes() for folder in tmp_path.iterdir()}
    assert len(set(weights.values())) == 3
    assert read(tmp_path / "zero")["data"]["train"] != read(tmp_path / "split")["data"]["train"]


def test_what_may_differ_is_there_to_be_left_out(first: dict[str, Path]) -> None:
    report = read(first["finetune"])
    assert set(VARYING) <= set(report) and "out" in report["config"] and "workers" in report["config"]
    assert all(epoch["seconds"] > 0 for run in report["runs"] for epoch in run["history"])
    assert "seconds" not in str(lasting(report))

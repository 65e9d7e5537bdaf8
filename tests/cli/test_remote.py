"""Commands on data behind a URL: the figures of the same data on this machine, whatever the server does meanwhile."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ftcli.data.sources.remote import row_groups
from ftcli.data.storage import remote, retries
from ftcli.engine.resume.checkpointer import Checkpointer
from ftcli.run_folder.names import STATE
from tests.helpers.program import SMALL, checkpoint, inside, lasting, read
from tests.helpers.served import Served, serving
from tests.helpers.worlds import coloured

CAP = "500KB"  # of the cache: less than the pixels of half of the images


def table(path: Path, images: Path) -> None:
    """An image folder as a table of encoded images and class names, in row groups of 16."""
    files = sorted(images.rglob("*.png"))
    content = [{"bytes": file.read_bytes(), "path": file.name} for file in files]
    columns = pa.table({"image": content, "label": [file.parent.name for file in files]})
    pq.write_table(columns, path, row_group_size=16)


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(remote, "STORAGE", remote.RemoteStorage())
    monkeypatch.setattr(row_groups, "GROUPS", row_groups.RowGroups(2**14, 2))
    monkeypatch.setattr(retries, "PAUSES", (0.1, 0.2, 0.4))
    monkeypatch.setenv("FTCLI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FTCLI_CACHE_SIZE", CAP)
    (tmp_path / "data").mkdir()
    table(tmp_path / "data/train.parquet", coloured(tmp_path / "train", each=40, noise=250))
    table(tmp_path / "data/far.parquet", coloured(tmp_path / "far", seed=3, noise=325))
    checkpoint(tmp_path / "checkpoint")
    with serving(tmp_path / "data") as server:
        yield server


def words(command: str, where: object, out: Path) -> list[Any]:
    named = ["--checkpoint", out.parent / "checkpoint", "--train", f"{where}/train.parquet"]
    return [command, *named, "--ood", f"far={where}/far.parquet", *SMALL, "--out", out]


def figures(folder: Path) -> dict[str, Any]:
    """A report without what says where its data lie."""
    report = lasting(read(folder))
    for name in ("train", "ood"):
        report["config"].pop(name)
    for data in [report["data"].pop("train"), *report["data"]["ood"].values(), report["data"]["id_val"]]:
        data.pop("spec")
    report["data"].pop("id_test").pop("spec")
    report.pop("request")
    return report


FINETUNE = ["--epochs", 2, "--lr", "1e-2", "--augment", "light"]


@pytest.mark.parametrize(("command", "options"), [("probe", []), ("finetune", FINETUNE)])
@pytest.mark.parametrize("workers", [0, 2])
def test_the_figures_of_data_on_this_machine(
    command: str, options: list[Any], workers: int, served: Served, tmp_path: Path
) -> None:
    more = [*options, "--workers", workers]
    assert inside(*words(command, served.folder, tmp_path / "here"), *more).returncode == 0
    done = inside(*words(command, served.url, tmp_path / "there"), *more)
    assert done.returncode == 0, done.stderr
    assert figures(tmp_path / "there") == figures(tmp_path / "here")
    for name in ("model.safetensors", "predictions.parquet"):
        assert (tmp_path / "there" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()
    kept = sum(file.stat().st_size for file in (tmp_path / "cache").rglob("*") if file.is_file())
    assert kept <= 520_000


class Away:
    """Makes the server go away after so many saved states of a command."""

    def __init__(self, served: Served, after: int, seconds: float | None) -> None:
        self.served, self.left, self.seconds = served, after, seconds

    def check(self, _: Checkpointer) -> None:
        self.left -= 1
        if self.left == 0 and self.seconds is None:
            self.served.stop()
        elif self.left == 0:
            self.served.stop_for(float(self.seconds or 0))


def run(away: Away, *typed: Any) -> Any:
    with (
        mock.patch.object(Checkpointer, "due", lambda _: True),
        mock.patch.object(Checkpointer, "check", lambda checkpointer: away.check(checkpointer)),
    ):
        return inside(*typed)


def test_a_server_that_goes_away_and_comes_back_or_not(served: Served, tmp_path: Path) -> None:
    options = [*FINETUNE, "--no-cache"]
    assert inside(*words("finetune", served.folder, tmp_path / "here"), *options).returncode == 0
    paused = run(Away(served, 3, 0.3), *words("finetune", served.url, tmp_path / "paused"), *options)
    assert paused.returncode == 0, paused.stderr
    assert paused.stderr.count("does not answer") <= 2 and figures(tmp_path / "paused") == figures(tmp_path / "here")

    gone = run(Away(served, 3, None), *words("finetune", served.url, tmp_path / "gone"), *options)
    assert gone.returncode == 1 and "went away" in gone.stderr and "Traceback" not in gone.stderr
    assert "what is saved goes on with: ftcli finetune" in gone.stderr
    assert not (tmp_path / "gone/report.json").exists() and (tmp_path / "gone" / STATE).exists()
    assert inside(*words("finetune", served.url, tmp_path / "gone"), *options, "--resume").returncode == 2  # still away
    served.start()
    resumed = inside(*words("finetune", served.url, tmp_path / "gone"), *options, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert figures(tmp_path / "gone") == figures(tmp_path / "here")
    assert (tmp_path / "gone/model.safetensors").read_bytes() == (tmp_path / "here/model.safetensors").read_bytes()


def test_no_secret_is_in_a_folder(served: Served, tmp_path: Path) -> None:
    typed = words("probe", served.url, tmp_path / "out")
    typed = [f"{word}%3Fsig%3Dhunter2" if str(word).endswith(".parquet") else word for word in typed]
    done = inside(*typed)
    assert done.returncode == 0, done.stderr
    assert "hunter2" not in done.stdout + done.stderr
    for file in [*(tmp_path / "out").rglob("*"), *(tmp_path / "cache").rglob("*")]:
        assert "hunter2" not in file.name and (file.is_dir() or b"hunter2" not in file.read_bytes()), file

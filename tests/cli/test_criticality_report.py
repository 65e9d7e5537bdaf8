"""`ftcli criticality`: what it writes and shows, what it refuses."""

import io
from pathlib import Path

import pytest
import torch
from rich.console import Console

from ftcli.explain.criticality.tables import panels, tables
from ftcli.figures.panels import HeatMap
from ftcli.model.loading.save import save_model
from tests.helpers.program import SMALL, checkpoint, inside, read
from tests.helpers.reports import report_with
from tests.helpers.worlds import coloured, loaded


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two networks with heads of their own on disk, one of another architecture, and a training set."""
    root = tmp_path_factory.mktemp("small")
    places = {"A": checkpoint(root / "A", classes=5), "B": root / "B", "other": checkpoint(root / "other", "test_vit")}
    network = loaded("test_resnet")
    with torch.no_grad():
        network.model.get_parameter("layer2.0.conv1.weight").add_(0.1)
    save_model(places["B"], network, network.model, None)
    return places | {"train": coloured(root / "train", each=20)}


def test_the_command(small: dict[str, Path], tmp_path: Path) -> None:
    grid = ["--alphas", "0,1", "--sigmas", "0.001,1", "--draws", 1, "--images", 9, *SMALL[:4], "--threads", 1]
    words = ["criticality", small["A"], small["B"], "--train", small["train"], *grid, "--out", tmp_path / "out"]
    ended = inside(*words, "--plot", tmp_path / "grid.svg", COLUMNS="100")
    assert ended.returncode == 0, ended.stderr
    found = read(tmp_path / "out")["criticality"]
    assert (found["images"], found["draws"], found["alphas"], found["sigmas"]) == (9, 1, [0.0, 1.0], [0.001, 1.0])
    moved = {name: one["distance"] for name, one in found["blocks"].items() if one["distance"]}
    size = loaded("test_resnet").model.get_parameter("layer2.0.conv1.weight").numel()
    assert moved == {"layer2": pytest.approx(0.1 * size**0.5, rel=1e-5)}
    for shown in (*found["blocks"], "Error from A to B, without noise", "Error with noise, at α = 1", "sum"):
        assert shown in ended.stdout
    assert (tmp_path / "grid.svg").read_text(encoding="utf-8").count("layer2") == 1
    again = inside(*words[:-1], tmp_path / "again", "--json").report
    assert again["criticality"] == found


def test_what_the_command_refuses(small: dict[str, Path], tmp_path: Path) -> None:
    pair, out = [small["A"], small["B"]], ["--out", tmp_path / "out", "--image-size", 64]
    for words, reason in (
        ([small["other"], small["B"], "--train", small["train"]], "do not correspond"),
        ([*pair, "--id-test", small["train"]], "--train"),
        ([*pair, "--train", small["train"], "--sigmas", 0], "--sigmas"),
        ([*pair, "--train", small["train"], "--epsilon", "nan"], "--epsilon"),
    ):
        ended = inside("criticality", *words, *out)
        assert ended.returncode == 2 and reason in ended.stderr, ended.stderr
    alone = inside("criticality", *pair, "--train", small["train"], *out, WORLD_SIZE="2", RANK="0")
    assert alone.returncode == 2 and "one process" in alone.stderr


def test_the_tables() -> None:
    one = {"mu": 4.0, "rewind": 0.125, "distance": 2.0, "plain": [0.2, 0.075], "grid": [[0.3, 0.4], [0.1, 0.5]]}
    none = one | {"mu": None, "alpha": None, "sigma": None}
    blocks = {"stem": one | {"alpha": 1.0, "sigma": 1.0}, "[red]last": none}
    found = {"epsilon": 0.05, "error": 0.075, "images": 1500, "draws": 1, "alphas": [0.0, 1.0], "sigmas": [0.1, 1.0]}
    report = report_with("criticality", criticality=found | {"blocks": blocks, "sum": None})
    console = Console(width=100, record=True, file=io.StringIO())
    for part in tables(report, 100):
        console.print(part)
    shown = console.export_text()
    folded = " ".join(shown.split())
    assert "1,500 training images, 1 draw of the noise" in folded and "at most 12.5 % (B: 7.5 %)" in folded
    rows = [line.split() for line in shown.splitlines()]
    assert ["stem", "4", "1", "1", "2", "+12.5"] in rows and ["[red]last", "-", "-", "-", "2", "+12.5"] in rows
    assert ["sum", "-"] in rows
    panel = panels(report)[0]
    assert isinstance(panel, HeatMap) and panel.values == [[30.0, 40.0], [10.0, 50.0]]
    assert (panel.title, panel.rows, panel.columns) == ("Error with stem perturbed", ["0", "1"], ["0.1", "1"])

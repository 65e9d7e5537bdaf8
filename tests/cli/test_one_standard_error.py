"""`--rule se`: the smallest C within one standard error of the best, beside the usual pick, in probe and lpft."""

from pathlib import Path
from typing import Any

import jsonschema
import pytest
from safetensors.torch import load_file

from ftcli.report.schema import report_schema
from tests.cli.test_requests import refused
from tests.helpers.plain_rules.heads import one_standard_error
from tests.helpers.program import SMALL, checkpoint, inside, read
from tests.helpers.worlds import coloured

MODEL = "model.safetensors"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("rule")
    coloured(root / "train", each=16, noise=200)
    coloured(root / "val", each=20, seed=1, noise=250)
    coloured(root / "far", each=6, seed=2, noise=250)
    checkpoint(root / "start", classes=3)
    for name, words in {
        "probe": ["probe"], "probe-se": ["probe", "--rule", "se"],
        "lpft-se": ["lpft", "--rule", "se", "--epochs", 1, "--lr", "1e-5"],
    }.items():  # fmt: skip
        done = inside(*words, *asked(root), "--path-points", 30, "--out", root / name)
        assert done.returncode == 0, done.stderr
    return root


def asked(place: Path) -> list[Any]:
    sets = ["--train", place / "train", "--id-val", place / "val", "--ood", f"far={place / 'far'}"]
    return ["--checkpoint", place / "start", *sets, *SMALL]


def test_the_smallest_C_within_one_standard_error(place: Path) -> None:
    report, usual = read(place / "probe-se"), read(place / "probe")
    jsonschema.validate(report, report_schema())
    scores = [(-run["C"], run["id_val"]["accuracy"]) for run in report["runs"]]
    assert report["selected"]["rule"] == "se" and "rule" not in usual["selected"]
    assert report["selected"]["C"] == pytest.approx(-one_standard_error(scores, 60), rel=1e-12)
    assert report["selected"]["C"] < usual["selected"]["C"]  # else the test sees no difference
    assert report["selected"]["id_val"]["accuracy"] == report["results"]["id_val"]["accuracy"]


def test_the_usual_pick_is_beside_it(place: Path) -> None:
    report, usual = read(place / "probe-se"), read(place / "probe")
    for key in ("C", "seed"):
        assert report["usual_pick"]["selected"][key] == usual["selected"][key]
    for name, figures in {"id_val": usual["results"]["id_val"], **usual["results"]["ood"]}.items():
        found = report["usual_pick"]["results"]
        assert {"id_val": found["id_val"], **found["ood"]}[name]["accuracy"] == figures["accuracy"]
    said = next(one["text"] for one in report["warnings"] if one["code"] == "one-standard-error")
    assert f"{report['selected']['C']:.3g}" in said and f"{usual['selected']['C']:.3g}" in said
    shown = inside("report", place / "probe-se").stdout
    assert "LP, usual C" in shown and "by the one-standard-error rule" in shown


def test_lpft_starts_from_that_head(place: Path) -> None:
    report, probe = read(place / "lpft-se"), read(place / "probe-se")
    assert report["stages"]["probe"]["selected"] == probe["selected"]
    assert report["usual_pick"] == probe["usual_pick"]
    tuned = load_file(place / "lpft-se" / MODEL)
    heads = {name: load_file(place / name / MODEL)["fc.weight"] for name in ("probe", "probe-se")}
    moved = {name: (tuned["fc.weight"] - head).norm().item() for name, head in heads.items()}
    assert moved["probe-se"] < 0.1 * moved["probe"]


def test_wrong_requests(place: Path, tmp_path: Path) -> None:
    assert "--solver sgd has none" in refused(
        "probe", *asked(place), "--rule", "se", "--solver", "sgd", out=tmp_path / "o"
    )
    assert "1se" in refused("probe", *asked(place), "--rule", "1se", out=tmp_path / "o")

"""`ftcli advise` as a user types it: the part `advice`, the model it saves, the command to run next, wrong requests."""

import shlex
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import timm
import torch

from ftcli.model.loading.save import save_model
from ftcli.report.schema import report_schema
from tests.helpers.ended import Ended
from tests.helpers.program import SMALL, inside, read
from tests.helpers.worlds import coloured, loaded

MODEL = ["--image-size", 32, "--threads", 1, "--batch-size", 16]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model probed on three classes, its ID-val, more of the same, one with other class shares, and inverted ones."""
    root = tmp_path_factory.mktemp("advise")
    network = loaded("test_resnet")
    save_model(root / "start", network, network.model, None)
    train = coloured(root / "train", each=30, seed=1, noise=220)
    done = inside("probe", "--checkpoint", root / "start", "--train", train, *SMALL, "--out", root / "model")
    assert done.returncode == 0, done.stderr
    coloured(root / "val", each=40, seed=2, noise=220)
    coloured(root / "same", each=40, seed=3, noise=220)
    prior = coloured(root / "prior", each=80, seed=4, noise=220)
    for label, kept in enumerate((80, 20, 2)):
        for path in sorted((prior / f"class{label}").iterdir())[kept:]:
            path.unlink()
    return root


def asked(place: Path, target: str, out: Path, *more: Any) -> Ended:
    words = ["--train", place / "train", "--id-val", place / "val", "--target", f"{place}/{target}", *MODEL]
    return inside("advise", place / "model", *words, "--out", out, *more)


def advice_on(place: Path, target: str, out: Path, *more: Any) -> dict[str, Any]:
    done = asked(place, target, out, *more)
    assert done.returncode == 0, done.stderr
    report = read(out)
    jsonschema.validate(report, report_schema())
    return report


def test_no_shift(place: Path, tmp_path: Path) -> None:
    report = advice_on(place, "same", tmp_path / "out")
    advice = report["advice"]
    assert (advice["shift"], advice["rule"], advice["blocks"]) == ("none", "R0", [])
    evidence = advice["evidence"]
    accuracy = report["results"]
    assert evidence["accuracy"]["id_val"] == pytest.approx(accuracy["id_val"]["accuracy"])
    assert evidence["accuracy"]["target"] == pytest.approx(accuracy["ood"]["target"]["accuracy"])
    assert evidence["cost"]["passes"] == {"id_val": 1, "target": 2} and evidence["cost"]["gradient_batches"] == 5
    assert evidence["n"] == {"id_val": 120, "target": 120}
    assert set(evidence["blocks"]) == {"stem", "layer1", "layer2", "layer3", "layer4", "fc"}
    assert not (tmp_path / "out/model.safetensors").exists()
    words = shlex.split(advice["command"])
    assert words[:3] == ["ftcli", "evaluate", str(place / "model")]
    assert words[words.index("--id-val") + 1] == str(place / "val")  # without it no accuracy could be estimated


def test_flipped_labels_and_the_command_that_follows(place: Path, tmp_path: Path) -> None:
    """The command is typed as it stands, and trains what was advised."""
    report = advice_on(place, "same?labels=flip", tmp_path / "out")
    advice = report["advice"]
    assert (advice["shift"], advice["blocks"]) == ("output", ["head"])
    words = shlex.split(advice["command"])
    assert words[:2] == ["ftcli", "probe"]
    done = inside(*words[1:], "--out", tmp_path / "next")
    assert done.returncode == 0, done.stderr
    after = read(tmp_path / "next")
    assert after["data"]["train"]["spec"] == f"{place}/same?labels=flip"
    source = after["results"]["ood"]["source"]["accuracy"]  # of the labels before the flip
    assert source < report["results"]["id_val"]["accuracy"]


def test_a_shifted_prior_is_corrected(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The saved model has log q/p added to its biases, opens in timm alone, and is what the next command measures."""
    from ftcli.explain.advise import measure
    from ftcli.explain.advise.rule import Decision

    monkeypatch.setattr(measure, "decide", lambda _: Decision("label", "sure", "R1", [], "as the test wants it"))
    out = tmp_path / "out"
    report = advice_on(place, "prior", out)
    labels = report["advice"]["evidence"]["label_shift"]
    assert labels["p"] < 1e-4
    counted, em = np.array(list(labels["counted"].values())), np.array(list(labels["em"].values()))
    assert np.abs(counted - em).sum() / 2 < 0.15
    before, after = (timm.create_model(f"local-dir:{folder}", pretrained=True) for folder in (place / "model", out))
    expected = np.log(np.maximum(em, 0.5 / 102) / np.array(list(labels["source"].values())))
    assert (after.fc.bias - before.fc.bias).detach().numpy() == pytest.approx(expected, abs=1e-5)
    assert torch.equal(after.fc.weight, before.fc.weight)
    words = shlex.split(report["advice"]["command"])
    assert words[:3] == ["ftcli", "evaluate", str(out)]
    done = inside(*words[1:], "--out", tmp_path / "next")
    assert done.returncode == 0, done.stderr
    measured = read(tmp_path / "next")["results"]["ood"]["target"]["accuracy"]
    assert measured == pytest.approx(report["results"]["ood"]["target"]["accuracy"])
    assert measured >= report["advice"]["evidence"]["accuracy"]["target"]


@pytest.mark.parametrize("given", [["--target", "same?labels=none"], ["--unlabelled", "same"]])
def test_a_target_without_labels(place: Path, tmp_path: Path, given: list[str]) -> None:
    words = ["--id-val", place / "val", given[0], f"{place}/{given[1]}", *MODEL, "--out", tmp_path / "out"]
    done = inside("advise", place / "model", *words)
    assert done.returncode == 0, done.stderr
    advice = read(tmp_path / "out")["advice"]
    assert advice["sure"] != "sure" and "without labels" in advice["reason"]
    evidence = advice["evidence"]
    assert not {"accuracy", "fresh_head", "batch_norm"} & set(evidence)
    assert "counted" not in evidence["label_shift"] and "by_class" not in evidence["blocks"]["stem"]
    assert "gradient" not in evidence["blocks"]["stem"] and list(evidence["cost"]["passes"].values()) == [1, 1]
    assert "unknown without labels" in done.stdout


def test_more_images_without_labels(place: Path, tmp_path: Path) -> None:
    """The label-free signals are of the larger set, the others of the target."""
    advice = advice_on(place, "same", tmp_path / "out", "--unlabelled", place / "prior")["advice"]
    assert advice["evidence"]["label_shift"]["p"] < 1e-4 and advice["evidence"]["accuracy"]["loss"] < 0.1
    assert advice["evidence"]["cost"]["passes"] == {"id_val": 1, "target": 2, "unlabelled": 1}


def test_classes_that_the_target_lacks(place: Path, tmp_path: Path) -> None:
    """Both sides are judged among those that it has."""
    advice = advice_on(place, "same?classes=" + str(two_classes(tmp_path)), tmp_path / "out")["advice"]
    assert set(advice["evidence"]["label_shift"]["source"]) == {"class0", "class1"}
    assert advice["evidence"]["label_shift"]["source"]["class0"] == 0.5


def test_a_target_by_the_name_of_an_ood_set(place: Path, tmp_path: Path) -> None:
    """As a preset gives several; the others play no part."""
    sets = ["--id-val", place / "val", "--ood", f"x={place / 'same'}", "--ood", f"y={place / 'prior'}", "--target", "x"]
    done = inside("advise", place / "model", *sets, *MODEL, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    report = read(tmp_path / "out")
    assert list(report["data"]["ood"]) == ["target"] and report["data"]["ood"]["target"]["spec"] == str(place / "same")
    assert f"target={place / 'same'}" in report["advice"]["command"]


def two_classes(folder: Path) -> Path:
    (folder / "map.json").write_text('{"class2": null}')
    return folder / "map.json"


def test_the_same_request_gives_the_same_numbers(place: Path, tmp_path: Path) -> None:
    first, second = (advice_on(place, "same", tmp_path / name)["advice"] for name in ("a", "b"))
    for advice in (first, second):
        advice["evidence"]["cost"].pop("seconds")
    assert first == second


def test_the_report_shows_the_same_tables(place: Path, tmp_path: Path) -> None:
    done = asked(place, "same", tmp_path / "out")
    shown = inside("report", tmp_path / "out")
    assert shown.returncode == 0 and shown.stdout.splitlines()[:20] == done.stdout.splitlines()[:20]
    for words in ("loss, in points", "BatchNorm of the target", "next:", "layer4"):
        assert words in shown.stdout


@pytest.mark.parametrize(("words", "problem"), [
    (["--train", "train"], "No target is given"),
    (["--target", "same"], "No ID-val is given"),
    (["--train", "train", "--ood", "x=same"], "add --target x"),
    (["--train", "train", "--id-val", "val?limit=6", "--target", "same"], "ID-val has 6 images"),
    (["--id-val", "val", "--target", "same?limit=9"], "the set target has 9 images"),
])  # fmt: skip
def test_wrong_requests(place: Path, tmp_path: Path, words: list[str], problem: str) -> None:
    full = [f"{place}/{word}" if word[0] not in "-x" else word.replace("=", f"={place}/") for word in words]
    done = inside("advise", place / "model", *full, *MODEL, "--out", tmp_path / "out")
    assert done.returncode == 2 and problem in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_the_source_as_the_target_is_warned_of(place: Path, tmp_path: Path) -> None:
    report = advice_on(place, "val", tmp_path / "out")
    assert any(warning["code"] == "overlap" for warning in report["warnings"])


def test_a_model_at_chance_has_nothing_to_lose(place: Path, tmp_path: Path) -> None:
    """Its head gives every image one class."""
    network = loaded("test_resnet")
    with torch.no_grad():
        network.model.get_classifier().weight.zero_()
    save_model(tmp_path / "blind", network, network.model, None)
    sets = ["--id-val", place / "val", "--target", place / "same"]
    done = inside("advise", tmp_path / "blind", *sets, *MODEL, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "has no accuracy to lose" in done.stderr
    assert "has no accuracy to lose" not in asked(place, "same", tmp_path / "other").stderr

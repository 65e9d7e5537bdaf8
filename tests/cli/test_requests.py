"""Wrong requests: exit 2, one clear message with the value seen and what to type instead, and nothing left behind."""

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.helpers.pictures import encoded, picture
from tests.helpers.program import SMALL, Work, checkpoint, inside, work


class Bomb:
    """Unpickled, it would leave a file behind."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.trace),)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Work:
    return work(tmp_path_factory.mktemp("work"))


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A parquet file with a class column and a place; the last label is missing."""
    path = tmp_path_factory.mktemp("table") / "set.parquet"
    images = [{"bytes": encoded(picture(i)), "path": None} for i in range(40)]
    columns = {
        "image": images, "label": ["cat", "dog"] * 20, "place": ["sea", "land"] * 20, "weight": [0.5] * 40,
        "gap": ["cat", "dog"] * 19 + ["cat", None],
    }  # fmt: skip
    pq.write_table(pa.table(columns), path)
    return path


def refused(*words: Any, out: Path) -> str:
    """What a wrong request is told; checks all that every refusal owes its reader."""
    done = inside(*words, "--out", out)
    assert done.returncode == 2, f"{done.returncode}: {done.stderr or done.stdout}"
    assert done.stdout == "" and "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert sum(line.startswith("error: ") for line in lines) == 1
    assert lines[-1].startswith("  try: ") and len(lines[-1]) > len("  try: "), f"no suggestion: {lines}"
    assert not out.exists()
    return done.stderr


Case = tuple[list[Any], str]  # what is typed, and a word of the answer
Make = Callable[[Path, Work, Path], list[Case]]


def data(root: Path, tiny: Work, table: Path) -> list[Case]:
    (root / "empty").mkdir(parents=True)
    for name in ("a", "b"):
        (root / "words" / name).mkdir(parents=True)
        for i in range(6):
            (root / "words" / name / f"x{i or ''}.jpg").write_text("no picture at all")
    short = root / "short.parquet"
    short.write_bytes(table.read_bytes()[:500])
    begin = ["probe", "--checkpoint", tiny.checkpoint, *SMALL, "--train"]
    return [
        ([*begin, tiny.train.parent / "trian"], "trian"),
        ([*begin, root / "empty"], "empty"),
        ([*begin, root / "words"], "x.jpg"),
        ([*begin, short], "short.parquet"),
        ([*begin, "digits:invertd"], '"inverted"'),
        ([*begin, f"{tiny.train}?limit=none"], "limit"),
        ([*begin, f"{tiny.train}?split=test"], "test"),
        ([*begin, "s3:bucket/train"], "s3"),
        ([*begin, tiny.train, "--ood", f"far={tiny.far}", "--ood", f"far={tiny.far}"], "far"),
    ]


def checkpoints(root: Path, tiny: Work, table: Path) -> list[Case]:
    root.mkdir()
    weights = tiny.checkpoint / "model.safetensors"
    (root / "bomb.pth").write_bytes(pickle.dumps({"state_dict": Bomb(root / "owned")}))
    (root / "short.safetensors").write_bytes(weights.read_bytes()[:5000])
    (root / "liar.safetensors").write_bytes((2**62).to_bytes(8, "little") + b"{}")
    state = load_file(weights)
    save_file({f"tower.{name}": tensor for name, tensor in state.items()}, root / "prefixed.safetensors")
    save_file({name: t for name, t in state.items() if "layer2" not in name}, root / "holes.safetensors")
    save_file({**state, "conv1.0.weight": state["conv1.0.weight"] * float("nan")}, root / "nan.safetensors")
    begin = ["probe", "--train", tiny.train, *SMALL, "--checkpoint"]
    named = ["--model", "test_resnet"]
    return [
        ([*begin, root / "nowhere.safetensors"], "nowhere"),
        ([*begin, root / "bomb.pth", *named], "bomb.pth"),
        ([*begin, root / "short.safetensors", *named], "short"),
        ([*begin, root / "liar.safetensors", *named], "liar"),
        ([*begin, weights, "--model", "test_vit"], "test_vit"),
        ([*begin, weights, "--model", "test_resnett"], '"test_resnet"'),
        ([*begin, root / "prefixed.safetensors", *named], "--strip-prefix tower."),
        ([*begin, root / "holes.safetensors", *named], "layer2"),
        ([*begin, root / "nan.safetensors", *named], "NaN"),
        ([*begin, root], "model.safetensors"),
    ]


def classes(root: Path, tiny: Work, table: Path) -> list[Case]:
    root.mkdir()
    maps = {"unknown": {"wolf": "dog"}, "short": [0], "broken": 7, "nothing": {"cat": None, "dog": None}}
    for name, content in maps.items():
        (root / f"{name}.json").write_text(json.dumps(content))
    begin = ["probe", "--checkpoint", tiny.checkpoint, *SMALL, "--train", table, "--ood"]
    return [
        ([*begin, f"far={tiny.far}"], "no class"),
        ([*begin, f"far={table}?classes={root}/unknown.json"], "wolf"),
        ([*begin, f"far={table}?classes={root}/short.json"], "2 classes"),
        ([*begin, f"far={table}?classes={root}/broken.json"], "broken.json"),
        ([*begin, f"far={table}?classes={root}/nothing.json"], "nothing.json"),
        ([*begin, f"far={table}?classes={root}/absent.json"], "absent.json"),
        ([*begin, "far=digits:plain?limit=20"], "10"),
    ]


def options(root: Path, tiny: Work, table: Path) -> list[Case]:
    begin = ["finetune", "--checkpoint", tiny.checkpoint, "--train", tiny.train]
    return [
        ([*begin, "--lr", "fast"], "'fast'"),
        ([*begin, "--lr", "1e-3,-1"], "-1"),
        ([*begin, "--epochs", "-1"], "-1"),
        ([*begin, "--epochs", "many"], "many"),
        ([*begin, "--bn", "trian"], '"train"'),
        ([*begin, "--epoch", "3"], "--epochs"),
        ([*begin, "--learning-rat", "1"], "--learning-rat"),
        ([*begin, "--momentum", "2"], "2"),
        ([*begin, "--seeds", "2", "--seed", "1"], "--seed"),
        ([*begin, "--device", "gpu"], "cpu"),
        ([*begin, "--ood", tiny.far], "NAME=SPEC"),
        ([*begin, "--import", root / "nowhere.py"], "nowhere.py"),
        ([*begin, "--image-size", 32, "--bn", "train", "--batch-size", 1], "--bn eval"),
        ([*begin, "surplus"], "surplus"),
        (["fintune", *begin[1:]], "finetune"),
        (["finetune", "--checkpoint", tiny.checkpoint], "--train"),
        (["finetune", "--train", tiny.train], "--checkpoint"),
        (["probe", "--train", tiny.train, "--checkpoint", tiny.checkpoint, "--init", "random"], "--init"),
        (["evaluate", tiny.checkpoint], "--id-test"),
    ]


def loop(root: Path, tiny: Work, table: Path) -> list[Case]:
    begin = ["finetune", "--checkpoint", tiny.checkpoint, "--train", tiny.train, "--epochs", 4]
    return [
        ([*begin, "--schedule", "cosin"], '"cosine"'),
        ([*begin, "--schedule", "step"], "step:30,60,90"),
        ([*begin, "--schedule", "step:1,x"], "step:30,60,90"),
        ([*begin, "--schedule", "step:2,1"], "do not rise"),
        ([*begin, "--schedule", "step:1,1"], "do not rise"),
        ([*begin, "--schedule", "step:0,2"], "the first epoch is 1"),
        ([*begin, "--schedule", "step:1,4"], "never comes"),
        ([*begin, "--schedule", "step:1", "--warmup", 1.5], "--warmup 1.5 is not over"),
        *(([*begin, "--mixup", value], "above 0") for value in ("0", "-1", "nan", "inf", "1001", "some")),
        ([*begin, "--crop-scale", 0.08], "--augment standard"),
        ([*begin, "--augment", "standard", "--crop-scale", "nan"], "--crop-scale"),
        ([*begin, "--augment", "standard", "--crop-scale", 0], "--crop-scale"),
        ([*begin, "--augment", "flipp"], '"flip"'),
        ([*begin, "--crop-pct", "nan"], "--crop-pct"),
        ([*begin, "--crop-pct", "1.5"], "--crop-pct"),
        ([*begin, "--crop-mode", "centre"], '"center"'),
        ([*begin, "--interpolation", "cubic"], '"bicubic"'),
        (["probe", *begin[1:], "--mixup", 0.7], "--mixup"),
        (["adapt", "--checkpoint", tiny.checkpoint, "--ood", f"far={tiny.far}", "--crop-scale", 0.08], "--augment"),
    ]


def columns(root: Path, tiny: Work, table: Path) -> list[Case]:
    begin = ["probe", "--checkpoint", tiny.checkpoint, *SMALL, "--train"]
    return [
        ([*begin, f"{table}?label=lable"], '"label"'),
        ([*begin, f"{table}?image=picture"], "picture"),
        ([*begin, f"{table}?label=image"], "image"),
        ([*begin, f"{table}?label=weight"], "weight"),
        ([*begin, f"{table}?label=gap"], "39"),
        ([*begin, f"{table}?group=plaice"], '"place"'),
        ([*begin, f"{table}?where=plaice:sea"], '"place"'),
        ([*begin, f"{table}?where=place:moon"], "where"),
        ([*begin, f"{table}?lable=label"], '"label"'),
    ]


def presets(root: Path, tiny: Work, table: Path) -> list[Case]:
    root.mkdir()
    files = {"key": "epochz = 3", "value": 'epochs = "three"', "broken": "epochs =", "preset": 'preset = "digitz"'}
    for name, text in files.items():
        (root / f"{name}.toml").write_text(text + "\n")
    (root / "other.json").write_text('{"a": 1}')
    return [
        (["lpft", "--preset", "digitz"], '"digits"'),
        (["lpft", "--preset", ""], "digits"),
        (["lpft", "--preset", "digits", "--train", "digits:plane"], '"plain"'),
        (["lpft", "--config", root / "key.toml"], '"epochs"'),
        (["lpft", "--config", root / "value.toml", "--train", tiny.train], "--epochs"),
        (["lpft", "--config", root / "broken.toml"], "broken.toml"),
        (["lpft", "--config", root / "preset.toml"], '"digits"'),
        (["lpft", "--config", root / "absent.toml"], "absent.toml"),
        (["lpft", "--config", root / "other.json"], "other.json"),
    ]


@pytest.mark.parametrize("make", [data, checkpoints, classes, options, loop, columns, presets])
def test_wrong_requests_are_refused(make: Make, tiny: Work, table: Path, tmp_path: Path) -> None:
    cases = make(tmp_path / "material", tiny, table)
    assert len(cases) >= 6
    problems = []
    for words, expected in cases:
        try:
            answer = refused(*words, out=tmp_path / "out")
            assert expected in answer, f"{expected!r} is not in {answer!r}"
        except AssertionError as failure:
            problems.append(f"{' '.join(map(str, words))}\n    {str(failure).splitlines()[0]}")
    assert not problems, "\n".join(problems)
    assert not (tmp_path / "material" / "owned").exists(), "a pickle ran"


def test_refusals_of_the_commands_around(tiny: Work, tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text('{"schema": "ftcli/report/1"}')
    for words in (
        ["report", tmp_path / "nowhere"], ["report", tmp_path / "old.json"], ["compare", tmp_path],
        ["data", f"{tiny.train}?lable=x"], ["data", tiny.train, "--save", tmp_path / "grid.gif"],
        ["blocks", "resnet81"], ["presets", "digit"], ["predict", tiny.checkpoint, tiny.train, "--out", "labels.txt"],
        ["predict", tiny.checkpoint, tmp_path / "nowhere"], ["compare"],
    ):  # fmt: skip
        done = inside(*words)
        assert done.returncode == 2 and done.stdout == "", words
        assert "error: " in done.stderr and "  try: " in done.stderr and "Traceback" not in done.stderr, words
    assert [path.name for path in tmp_path.iterdir()] == ["old.json"]


def test_a_head_of_other_classes_is_left_out_and_said(tiny: Work, tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "wide", classes=37)
    done = inside("probe", "--checkpoint", folder, *tiny.words[2:], "--out", tmp_path / "o")
    assert done.returncode == 0 and "37 classes is left out" in done.stderr
    assert load_file(tmp_path / "o" / "model.safetensors")["fc.weight"].shape[0] == 3


def test_a_checkpoint_without_head_trains_and_does_not_judge(tiny: Work, tmp_path: Path) -> None:
    state = {name: t for name, t in load_file(tiny.checkpoint / "model.safetensors").items() if "fc." not in name}
    torch.save({"state_dict": {f"module.{name}": tensor for name, tensor in state.items()}}, tmp_path / "body.pth")
    words = [tmp_path / "body.pth", "--model", "test_resnet"]
    done = inside("probe", "--checkpoint", *words, *tiny.words[2:], "--out", tmp_path / "o")
    assert done.returncode == 0 and "stripped module." in done.stderr
    assert "head" in refused("evaluate", *words, "--id-test", tiny.train, out=tmp_path / "e")

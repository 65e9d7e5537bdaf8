"""README.md of a run folder: what the hub reads of it, its code as printed, and that it betrays and injects nothing."""

import contextlib
import io
import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard, metadata_load
from markdown_it import MarkdownIt
from PIL import Image

from ftcli.model.checkpoints.checkpoint import Checkpoint
from ftcli.model_card.card import model_card
from ftcli.model_card.metadata import base_model_of, hub_set
from ftcli.records import decoded
from ftcli.report.parts import whole_type
from ftcli.report.types import Report
from tests.helpers.program import Work, inside, read, work

BAD_SET = "<b>|`\"'&#x3c;---"
CODE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Work:
    return work(tmp_path_factory.mktemp("secret-folder"))


@pytest.fixture(scope="module")
def run(tiny: Work, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two seeds, with an OOD set of a hostile name."""
    out = tmp_path_factory.mktemp("secret-out") / "run"
    words = ["--ood", f"{BAD_SET}={tiny.far}", "--epochs", 1, "--lr", "1e-3,1e-2", "--seeds", 2]
    done = inside("finetune", *tiny.words, *words, "--out", out)
    assert done.returncode == 0, done.stderr
    return out


def report_of(content: dict[str, Any]) -> Report:
    return decoded(json.loads(json.dumps(content)), whole_type())


def card_of(run: Path) -> str:
    return (run / "README.md").read_text(encoding="utf-8")


def test_the_hub_reads_the_figures_of_the_saved_model(run: Path) -> None:
    data, report = ModelCard.load(run / "README.md").data, read(run)
    assert data["library_name"] == "timm" and data["pipeline_tag"] == "image-classification"
    assert {"ftcli", "timm", "transformers", "finetune"} <= set(data["tags"])
    saved = next(one for one in report["seeds"] if one["selected"]["seed"] == report["selected"]["seed"])["results"]
    assert saved != report["results"]  # which are means over the seeds
    figures = {"id_val": saved["id_val"], "id_test": saved["id_test"], **saved["ood"]}
    found = {(result.dataset_split, result.metric_type): result.metric_value for result in data.eval_results if result}
    assert {split for split, _ in found} == set(figures)
    for name, of_set in figures.items():
        for metric in ("accuracy", "balanced_accuracy", "worst_class_recall", "loss", "ece"):
            assert found[name, metric] == pytest.approx(of_set[metric], abs=1e-6)
    assert metadata_load(run / "README.md")["model-index"][0]["results"]


def test_the_tables_have_the_figures_of_the_model_and_the_means(run: Path) -> None:
    card, report = card_of(run), read(run)
    saved = next(one for one in report["seeds"] if one["selected"]["seed"] == report["selected"]["seed"])["results"]
    low, high = saved["id_test"]["accuracy_ci95"]
    wanted = f"| ID-test | {saved['id_test']['n']} | {100 * saved['id_test']['accuracy']:.1f} | "
    assert wanted + rf"\[{100 * low:.1f}, {100 * high:.1f}\] |" in card
    assert f"| OOD mean |  | {100 * saved['ood_mean']['accuracy']:.1f} |" in card
    assert "Mean over 2 seeds" in card and f"| ID-test | {100 * report['results']['id_test']['accuracy']:.1f} |" in card
    for of_set in (report["data"]["train"], *report["data"]["ood"].values()):
        assert of_set["fingerprint"] in card


def test_the_code_runs_as_printed(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both programs give the class and probability that `ftcli predict` gives."""
    for path in run.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    Image.new("RGB", (40, 40), (200, 30, 60)).save(tmp_path / "image.jpg")
    monkeypatch.chdir(tmp_path)
    (answer,) = json.loads(inside("predict", ".", "image.jpg", "--image-size", 32, "--json").stdout)
    with_timm, with_transformers = CODE.findall(card_of(run))
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(with_timm, "card", "exec"), {})
    label, _, probability = printed.getvalue().strip().rpartition(" ")
    assert label == answer["name"] and float(probability) == pytest.approx(answer["probability"], abs=1e-5)
    pytest.importorskip("transformers")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(with_transformers, "card", "exec"), {})
    best = eval(printed.getvalue())[0]
    assert best["label"] == label and best["score"] == pytest.approx(float(probability), abs=1e-5)


def test_no_folder_is_named(run: Path, tiny: Work) -> None:
    card = card_of(run)
    assert "secret" not in card
    assert not re.search(r"(?<![\w<.:/])/(?:tmp|root|home)\b", card)
    assert f"| train | {tiny.train.name} " in card and 'checkpoint = "checkpoint"' in card
    command = re.search(r"^ftcli finetune .*$", card, re.MULTILINE)
    assert command and "--train train " in command[0] and "--out run" in command[0]


def test_names_from_data_stay_text(run: Path) -> None:
    card = card_of(run)
    body = card.partition("\n---\n")[2]
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(body)
    every = [inner for token in tokens for inner in [token, *(token.children or [])]]
    assert not [token.content for token in every if token.type.startswith("html")]
    assert len([token for token in tokens if token.type == "table_open"]) == 3
    texts = "".join(token.content for token in every if token.type in ("text", "text_special"))
    assert BAD_SET.replace("&#x3c;", "") in texts.replace("&#x3c;", "") and "\x1b" not in card
    rows = [line for line in body.splitlines() if line.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in rows} == {8, 4, 6}


def test_hostile_classes_and_warnings(run: Path) -> None:
    content = read(run)
    bad = ["a\n---\nlicense: evil", "</script><img src=x onerror=alert(1)>", "``` \u202e `x", "- ftcli"]
    content["data"]["classes"] = bad
    content["warnings"] = [{"code": "x", "text": "set '/home/alice/x y' \n# Title <b>"}]
    content["model"]["name"], content["argv"] = "net\n---\nx: [", ["probe", "```\n# Title", "--train", "/home/alice/x"]
    card = model_card(report_of(content))
    assert ModelCard(card).data["license"] is None if "license" in ModelCard(card).data else True
    body = card.partition("\n---\n")[2]
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(body)
    every = [inner for token in tokens for inner in [token, *(token.children or [])]]
    assert not [token for token in every if token.type.startswith("html")] and "alice" not in card
    titles = [tokens[i + 1].content for i, token in enumerate(tokens) if token.type == "heading_open"]
    assert titles[1:] == ["Use", "Accuracy", "Training", "Data", "Limits"]
    assert "Warning of the run: set 'x y'" in card


def test_equal_reports_give_equal_bytes(run: Path) -> None:
    content = read(run)
    assert model_card(report_of(content)) == card_of(run)
    later = content | {"created": "2031-01-01T00:00:00+00:00", "timing": {"total_s": 1.0}}
    assert model_card(report_of(later)) == card_of(run)


def test_nothing_is_asked_of_the_network(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    assert model_card(report_of(read(run)), "owner/name")


def test_what_the_model_started_from() -> None:
    def opened(where: str, described_by: str | None = None) -> Checkpoint:
        checkpoint = object.__new__(Checkpoint)
        for name, value in {"where": where, "described_by": described_by}.items():
            object.__setattr__(checkpoint, name, value)
        return checkpoint

    assert base_model_of(opened("hf-hub:owner/name@v1")) == "owner/name"
    assert base_model_of(opened("resnet18.a1_in1k", "timm")) == "timm/resnet18.a1_in1k"
    assert base_model_of(opened("resnet18", "timm")) == "timm/resnet18.a1_in1k"
    assert base_model_of(opened("my/model", "my/model/config.json")) is None and base_model_of(None) is None


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("hf:owner/name?split=train", "owner/name"), ("hf:owner/name/config (10 % cut, split seed 0)", "owner/name"),
        ("hf:cifar10", "cifar10"), ("photos", None), ("torchvision:STL10", None),
    ],
)  # fmt: skip
def test_data_sets_of_the_hub(spec: str, name: str | None, run: Path) -> None:
    assert hub_set(spec) == name
    content = read(run)
    content["data"]["train"]["spec"] = spec
    data = ModelCard(model_card(report_of(content), "owner/base")).data
    assert data.get("datasets") == ([name] if name else None) and data["base_model"] == "owner/base"


def test_an_architecture_of_a_users_file(run: Path) -> None:
    content = read(run)
    content["config"]["import"] = "/home/alice/my_net.py"
    card = model_card(report_of(content))
    assert "import my_net  # registers" in card and "transformers" not in card and "alice" not in card


def test_a_set_without_labels_has_no_figures(run: Path) -> None:
    content = read(run)
    del content["seeds"]
    content["results"]["unlabelled"] = {"new": {"n": 7}}
    assert "| new | 7 | - | - | - | - | - |" in model_card(report_of(content))


def test_a_replaced_run_has_its_own_card(run: Path, tiny: Work) -> None:
    before = card_of(run)
    assert inside("probe", *tiny.words, "--out", run, "--overwrite").returncode == 0
    after = card_of(run)
    assert after != before and "# test\\_resnet, LP" in after.replace("test_resnet", "test\\_resnet")
    assert inside("evaluate", run, "--id-test", tiny.train, "--out", run, "--overwrite").returncode == 0
    assert not (run / "README.md").exists() and not (run / "model.safetensors").exists()


def test_a_readme_of_somebody_else_is_left_alone(tiny: Work, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# My project\n")
    for words in (["probe", *tiny.words], ["probe", *tiny.words, "--overwrite"]):
        done = inside(*words, "--out", tmp_path)
        assert done.returncode == 2 and "README.md that ftcli did not write" in done.stderr
    assert (tmp_path / "README.md").read_text() == "# My project\n" and len([*tmp_path.iterdir()]) == 1

"""Models, settings and reports that mean harm: nothing runs, is written or swells, and a line says why."""

import io
import json
import os
import pickle
import shutil
import tarfile
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from ftcli.cli.options import read_options
from ftcli.config.files.toml import LONG_KEY, parse_toml
from ftcli.files import read_json
from ftcli.report.read import read_report
from ftcli.safe_text import UNPRINTABLE, escaped, printable
from tests.helpers.damage import NAMES
from tests.helpers.mutations import KINDS, OUT, SMALL, base, hostile, reported
from tests.helpers.sandbox import Outcome, watched

SEEDS = 10  # of each kind; tests.benchmarks.fuzz goes through hundreds
PAINT = ["[red]x[red]", "\x1b[2J\x1b]0;owned\x07", "\u202egnp.x\x9b31m\nnext"]  # one for each class of the checkpoint


@pytest.mark.parametrize("kind", KINDS)
def test_mutated_files(tmp_path: Path, kind: str) -> None:
    for seed in range(SEEDS):
        folder = tmp_path / str(seed)
        folder.mkdir()
        outcome = watched(hostile(kind, seed, folder), [folder / OUT])
        assert outcome.faults([0, 2]) == [], f"python -m tests.benchmarks.fuzz --kind {kind} --case {seed}"


def refused(words: list[Any], tmp_path: Path, *signs: str) -> Outcome:
    """The command ends with exit 2 and one message that names what is wrong; nothing is left behind."""
    outcome = watched(words, [tmp_path / OUT])
    assert outcome.faults([2]) == [], outcome.stderr
    assert outcome.stderr.startswith("error: ") and outcome.stderr.count("\n") <= 2, outcome.stderr
    for sign in signs:
        assert sign in outcome.stderr
    assert not (tmp_path / OUT).exists() and not (tmp_path / "ran").exists()
    return outcome


# ---- weights


class Evil:
    """What a pickle runs when it is opened."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.mark}",)


class Writer(Evil):
    """The same without a shell."""

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.mark), "w")


def torch_zip(path: Path, evil: Evil) -> None:
    torch.save({"state_dict": {"conv1.weight": evil}}, path)


def torch_legacy(path: Path, evil: Evil) -> None:
    torch.save({"conv1.weight": evil}, path, _use_new_zipfile_serialization=False)


def bare(path: Path, evil: Evil) -> None:
    path.write_bytes(pickle.dumps({"conv1.weight": evil}, protocol=0))


def torch_tar(path: Path, evil: Evil) -> None:
    with tarfile.open(path, "w") as file:
        for name in ("storages", "tensors", "pickle"):
            content, entry = pickle.dumps(evil), tarfile.TarInfo(name)
            entry.size = len(content)
            file.addfile(entry, io.BytesIO(content))


@pytest.mark.parametrize("evil", [Evil, Writer])
@pytest.mark.parametrize(
    ("make", "name"),
    [(torch_zip, "a.pt"), (torch_zip, "a.pth"), (torch_legacy, "a.ckpt"), (bare, "a.bin"), (torch_tar, "a.tar")],
)
def test_a_pickle_is_never_run(
    tmp_path: Path, make: Callable[[Path, Evil], None], name: str, evil: Callable[[Path], Evil]
) -> None:
    make(tmp_path / name, evil(tmp_path / "ran"))
    refused(["blocks", tmp_path / name, "--model", "test_resnet"], tmp_path, name)


def test_the_pickle_beside_a_config_is_not_run_either(tmp_path: Path) -> None:
    shutil.copy(base() / "checkpoint/config.json", tmp_path)
    torch_zip(tmp_path / "pytorch_model.bin", Evil(tmp_path / "ran"))
    words = ["evaluate", tmp_path, "--id-test", base() / "far", *SMALL, "--out", tmp_path / OUT]
    refused(words, tmp_path, "posix.system")


def nested(times: int, name: str) -> dict[str, Any]:
    """A dict that holds another twice, and so on: few bytes, 2 ** times ways through."""
    tree: dict[str, Any] = {"w": torch.zeros(1)}
    for _ in range(times):
        tree = {"a": tree, name: tree}
    return tree


def itself() -> dict[str, Any]:
    tree: dict[str, Any] = {"w": torch.zeros(1)}
    tree["model"] = tree
    return tree


@pytest.mark.parametrize(
    "tensors",
    [
        {"w": torch.zeros(1).expand(10**5, 10**5)},
        {"w": torch.zeros(10**5, 10**5, device="meta")},
        {"w": torch.eye(3).to_sparse()},
        nested(60, "b"),
        itself(),
    ],
    ids=["expanded", "meta", "sparse", "laughs", "itself"],
)
def test_tensors_that_are_larger_than_their_file(tmp_path: Path, tensors: dict[str, Any]) -> None:
    torch.save(tensors, tmp_path / "net.pt")
    refused(["blocks", tmp_path / "net.pt", "--model", "test_resnet"], tmp_path, "net.pt")


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "net.pt", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data.pkl", bytes(3 * 10**8))
    outcome = refused(["blocks", tmp_path / "net.pt", "--model", "test_resnet"], tmp_path, "unpack to 300,000,000")
    assert outcome.peak < 8 * 10**8


ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
HEADERS: dict[str, Any] = {
    "no JSON": b"not JSON at all",
    "deep": b'{"a":' * 100_000,
    "deep metadata": b'{"__metadata__":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "spaces": b"{}" + b" " * 200_000_000,
    "many": b"{" + b",".join(b'"%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}' % i for i in range(10**6)) + b"}",
    "overlapping": {"a": ENTRY, "b": {**ENTRY, "data_offsets": [4, 12]}},
    "beyond the end": {"a": {**ENTRY, "data_offsets": [0, 10**12], "shape": [25 * 10**10]}},
    "backwards": {"a": {**ENTRY, "data_offsets": [8, 0]}},
    "negative": {"a": {**ENTRY, "shape": [-1, -2]}},
    "overflowing": {"a": {**ENTRY, "shape": [2**32, 2**32]}},
    "unknown dtype": {"a": {**ENTRY, "dtype": "\x1b[2J"}},
    "no tensors": {},
}


@pytest.mark.parametrize("name", HEADERS)
def test_safetensors_headers_that_lie(tmp_path: Path, name: str) -> None:
    header = HEADERS[name] if isinstance(HEADERS[name], bytes) else json.dumps(HEADERS[name]).encode()
    path = tmp_path / "net.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(12))
    refused(["blocks", path, "--model", "test_resnet"], tmp_path, "net.safetensors")


@pytest.mark.parametrize("length", [0, 2**32, 2**63, 2**64 - 1])
def test_safetensors_lengths_that_lie(tmp_path: Path, length: int) -> None:
    path = tmp_path / "net.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + b'{"a":1}')
    refused(["blocks", path, "--model", "test_resnet"], tmp_path, "net.safetensors")


@pytest.mark.parametrize("name", ["net.safetensors", "net.pt"])
def test_only_regular_files_are_opened(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    refused(["blocks", tmp_path / name], tmp_path, "regular")
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to("/dev/zero")
    refused(["blocks", tmp_path / name], tmp_path, "regular")


# ---- config.json


def described(tmp_path: Path, **said: Any) -> Path:
    """The honest checkpoint with this in its config.json; of a mapping, beside what is there."""
    folder = Path(shutil.copytree(base() / "checkpoint", tmp_path / "model"))
    config = json.loads((folder / "config.json").read_text())
    config.pop("num_classes")  # counts more than what pretrained_cfg says
    for key, value in said.items():
        config[key] = {**config.get(key, {}), **value} if isinstance(value, dict) else value
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def evaluated(model: Path, tmp_path: Path) -> list[Any]:
    return ["evaluate", model, "--id-test", base() / "far", "--batch-size", 8, "--threads", 1, "--out", tmp_path / OUT]


@pytest.mark.parametrize(
    "args",
    [
        {"embed_dim": 10**9}, {"layers": [10**6] * 4}, {"channels": [60_000] * 4}, {"stem_width": 60_000},
        {"layers": [60_000, 1, 1, 1]}, {"num_classes": 10**12}, {"no_such": 1}, {"layers": "many"}, {"channels": {}},
        {"checkpoint_path": "/etc/passwd"}, {"model_name": "hf-hub:a/b"}, {"pretrained": True}, {"cache_dir": "/tmp"},
        {"pretrained_cfg_overlay": {"url": "http://127.0.0.1:9/x"}}, {"features_only": True}, {"block": "os.system"},
        {"x": "y" * 10**6}, {"output_stride": 0}, {"in_chans": 4}, {"layers": [[[[1]]]]},
    ],
    ids=lambda args: next(iter(args)),
)  # fmt: skip
def test_model_args_of_somebody_else(tmp_path: Path, args: dict[str, Any]) -> None:
    outcome = refused(evaluated(described(tmp_path, model_args=args), tmp_path), tmp_path)
    assert "/etc/passwd" not in outcome.read and outcome.peak < 10**9


def test_an_honest_model_with_args_still_loads(tmp_path: Path) -> None:
    outcome = watched(evaluated(described(tmp_path, model_args={"act_layer": "relu"}), tmp_path), [tmp_path / OUT])
    assert outcome.faults([0]) == []


@pytest.mark.parametrize(
    "cfg",
    [
        {"input_size": [3, 10**6, 10**6]}, {"input_size": 7}, {"input_size": []}, {"crop_pct": 1e-9}, {"mean": [0.5]},
        {"std": [0, 0, 0]}, {"mean": [1e308] * 3}, {"interpolation": "/etc/passwd"}, {"crop_mode": ["x"]},
        {"num_classes": 10**12}, {"num_classes": "x"}, {"classifier": 5}, {"unknown": 1},
    ],
    ids=str,
)  # fmt: skip
def test_a_pretrained_cfg_that_cannot_be(tmp_path: Path, cfg: dict[str, Any]) -> None:
    refused(evaluated(described(tmp_path, pretrained_cfg=cfg), tmp_path), tmp_path)


def test_sources_of_other_weights_are_neither_fetched_nor_opened(tmp_path: Path) -> None:
    sources = {"url": "http://127.0.0.1:9/x", "file": "/etc/passwd", "hf_hub_id": "a/b", "hf_hub_filename": "../../x"}
    model = described(tmp_path, pretrained_cfg={**sources, "source": "url", "custom_load": True})
    outcome = watched(evaluated(model, tmp_path), [tmp_path / OUT])
    assert outcome.faults([0]) == [] and "/etc/passwd" not in outcome.read
    assert "127.0.0.1" not in (tmp_path / OUT / "report.json").read_text()


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "hf-hub:a/b", "timm.models", ["test_resnet"], 7, "x" * 10**6])
def test_an_architecture_that_is_none(tmp_path: Path, name: Any) -> None:
    refused(evaluated(described(tmp_path, architecture=name), tmp_path), tmp_path)


def test_a_config_that_is_too_deep(tmp_path: Path) -> None:
    folder = described(tmp_path)
    (folder / "config.json").write_text('{"architecture": "test_resnet", "x": ' + "[" * 10**5 + "]" * 10**5 + "}")
    refused(evaluated(folder, tmp_path), tmp_path, "config.json", "deep")


# ---- names


def unpainted(outcome: Outcome) -> str:
    """What a person saw, with nothing in it that could paint."""
    assert outcome.faults([0]) == [], outcome.stderr
    shown = outcome.stdout + outcome.stderr
    assert not [sign for sign in shown.replace("\n", "") if printable(sign) != sign]
    return shown


def test_names_that_paint(tmp_path: Path) -> None:
    model, data, out = described(tmp_path, label_names=PAINT), tmp_path / "data", tmp_path / OUT
    for number, name in enumerate(PAINT):
        shutil.copytree(base() / f"far/class{number}", data / name)
    words = ["evaluate", model, "--id-test", data, *SMALL, "--confusion", "--per-class", "--out", out]
    shown = unpainted(watched(words, [out]))
    assert "[red]x[red]" in shown
    assert json.loads((out / "report.json").read_text())["data"]["classes"] == PAINT
    for look in (["report", out], ["report", out, "--json"], ["compare", out, reported("probe")]):
        unpainted(watched(look))
    assert json.loads(watched(["report", out, "--json"]).stdout)["data"]["classes"] == PAINT
    unpainted(watched(["predict", model, base() / "far", *SMALL]))


def test_json_is_escaped_and_means_the_same() -> None:
    names = [*NAMES, "\U000e0041\u2028\x7f", "Ψ é 数"]
    text = escaped(json.dumps(names, ensure_ascii=False, indent=1))
    assert json.loads(text) == names and "Ψ é 数" in text
    assert not [sign for sign in text.replace("\n", "") if printable(sign) != sign]
    assert "Cc" in UNPRINTABLE


# ---- settings


def settings(tmp_path: Path, text: str) -> list[Any]:
    """A dry run of `lpft` with this in its configuration file."""
    file = tmp_path / "of.toml"
    file.write_text(text)
    train = ["--checkpoint", base() / "checkpoint", "--train", base() / "train"]
    return ["lpft", *train, *SMALL, "--dry-run", "--config", file]


@pytest.mark.parametrize("name", ["import", "out", "overwrite"])
def test_a_file_neither_runs_code_nor_says_where_to_write(tmp_path: Path, name: str) -> None:
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    value = {"import": f'"{tmp_path}/evil.py"', "out": f'"{tmp_path}/elsewhere"', "overwrite": "true"}[name]
    refused(settings(tmp_path, f"{name} = {value}"), tmp_path, f"--{name}", "yourself")
    typed = {"import": tmp_path / "evil.py", "out": tmp_path / OUT, "overwrite": None}[name]
    words = [*settings(tmp_path, f"{name} = {value}"), f"--{name}", *([typed] if typed else [])]
    outcome = watched(words, [tmp_path])
    assert outcome.code == 0, outcome.stderr
    assert (tmp_path / "ran").exists() == (name == "import")


def test_a_report_as_settings_runs_no_code(tmp_path: Path) -> None:
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    content = json.loads((reported("probe") / "report.json").read_text())
    content["config"]["import"] = str(tmp_path / "evil.py")
    (tmp_path / "report.json").write_text(json.dumps(content))
    words = ["probe", "--config", tmp_path / "report.json", "--out", tmp_path / OUT]
    refused(words, tmp_path, "--import")


@pytest.mark.parametrize(
    "text",
    [
        "epochs = " + "9" * 5000, "lr = " + "[" * 5000 + "]" * 5000, "epochs = 1979-05-27", "lr = {}", "ood = 7",
        "x" * 10**6 + " = 1", "no_such = 1", "[lr]\na = 1", "seeds = 1000000000", "threads = 2147483648",
        "workers = 1000000", "image_size = 100000", "batch_size = 9223372036854775807", 'device = "\\u001b[2J"',
        '"\\u001b[2J" = 1', "lr = nan", "\0",
        "a." * 20_000 + "b = 1", "[" + "x ." * 15_000 + "y]", "lr = {" + "'a'." * 5_000 + "b = 1}", "#" * 2**18,
    ],
    ids=lambda text: ascii(text[:12]),
)  # fmt: skip
def test_settings_that_cannot_be(tmp_path: Path, text: str) -> None:
    words = [word for word in settings(tmp_path, text) if word not in SMALL or word == "--dry-run"]
    refused(words, tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "a." * 100 + "b = 1", "\n[" + "x . " * 150 + "y]", "\nlr = {" + "'a'.\t" * 120 + "b = 1}",
        ".".join([*["a"] * 99, '"\u2028"'] * 50) + " = 1", '"a.b\\"c".' * 101 + "d = 1", "1." * 200 + "2 = 3",
    ],
    ids=range(6),
)  # fmt: skip
def test_long_keys_never_reach_the_parser(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its time and memory go with the square of a key's parts."""
    monkeypatch.setattr("tomllib.loads", lambda _: pytest.fail("it was parsed"))
    with pytest.raises(ValueError, match=f"line {text.count(chr(10)) + 1} has a key of more than 100 parts"):
        parse_toml(text)


@pytest.mark.parametrize(
    "text",
    ["# " + ".%" * 200 + "\nlr = [0.1]", "lr = [" + "0.1, " * 300 + "0.1]", 'train = "' + "a/../" * 200 + '"'],
    ids=range(3),
)
def test_dots_outside_keys_do_no_harm(text: str) -> None:
    assert parse_toml(text) == tomllib.loads(text)


@pytest.mark.parametrize("text", ['"' * 2**17, "a" * 2**17, '"\\"' * 40_000, "a " * 2**16, ("a." * 99 + "=") * 600])
def test_the_search_for_long_keys_is_linear(text: str) -> None:
    """Each of these takes a backtracking search minutes."""
    assert LONG_KEY.search(text) is None


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_byte_order_mark_before_settings_is_no_part_of_them(tmp_path: Path, mark: bytes) -> None:
    (tmp_path / "a.toml").write_bytes(mark + b"epochs = 3\r\nlr = [1e-3]\r\n")
    assert read_options(tmp_path / "a.toml", "lpft") == {"epochs": 3, "lr": [1e-3]}
    report = json.dumps({"command": "lpft", "config": {"epochs": 3}}).encode()
    (tmp_path / "a.json").write_bytes(mark + report)
    assert read_options(tmp_path / "a.json", "lpft") == {"epochs": 3}
    assert read_json(tmp_path / "a.json")["command"] == "lpft"  # class maps, config.json
    copied = tmp_path / "copied"
    shutil.copytree(reported("probe"), copied)
    (copied / "report.json").write_bytes(mark + (copied / "report.json").read_bytes())
    assert read_report(copied)["command"] == "probe"


def test_settings_that_are_no_file(tmp_path: Path) -> None:
    words = settings(tmp_path, "")
    (tmp_path / "of.toml").unlink()
    os.mkfifo(tmp_path / "of.toml")
    refused(words, tmp_path, "regular")
    refused([*words[:-1], "/dev/zero"], tmp_path, "regular")


# ---- reports


def spoiled(tmp_path: Path, command: str, change: Callable[[dict[str, Any]], Any]) -> Path:
    """The folder of a report that was changed by hand."""
    folder = tmp_path / "report"
    shutil.copytree(reported(command), folder, ignore=shutil.ignore_patterns("*.safetensors"))
    content = json.loads((folder / "report.json").read_text())
    text = change(content)
    (folder / "report.json").write_text(text if isinstance(text, str) else json.dumps(content))
    return folder


CHANGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "NaN": lambda report: report["results"]["id_test"].update(accuracy=float("nan")),
    "infinite": lambda report: json.dumps(report).replace('"loss": ', '"loss": 1e999, "was": '),
    "type": lambda report: report.update(results=[]),
    "text": lambda report: report["results"]["id_test"].update(accuracy="\x1b[2J"),
    "beyond": lambda report: report["results"]["id_test"].update(accuracy=10**30),
    "deep": lambda report: '{"config": ' + "[" * 10**5 + "]" * 10**5 + "}",
    "many lists": lambda report: json.dumps({"config": [[]] * 10**6}),
    "long number": lambda report: '{"config": ' + "9" * 5000 + "}",
}


@pytest.mark.parametrize("name", CHANGES)
def test_reports_that_cannot_be(tmp_path: Path, name: str) -> None:
    folder = spoiled(tmp_path, "evaluate", CHANGES[name])
    refused(["report", folder], tmp_path, "report.json")
    refused(["compare", folder, reported("probe")], tmp_path, "report.json")


def test_names_in_a_report_do_not_paint(tmp_path: Path) -> None:
    def paint(report: dict[str, Any]) -> None:
        for name in (*PAINT, "\ud800"):
            report["results"]["ood"][name] = report["results"]["id_test"]
        report["warnings"] = [{"code": "x", "text": PAINT[1]}]
        report["data"]["classes"] = [*PAINT]

    folder = spoiled(tmp_path, "evaluate", paint)
    (folder / "predictions.parquet").unlink()  # of other classes than the report has now
    other = reported("probe")
    for words in (
        ["report", folder], ["report", folder, "--json"], ["compare", folder, other, "--format", "csv"],
        ["compare", folder, other], ["compare", folder, other, "--json"], ["compare", folder, "--format", "markdown"],
    ):  # fmt: skip
        unpainted(watched(words))


@pytest.mark.parametrize(
    ("column", "values"),
    [("seed", ["x"] * 24), ("example", [None] * 24), ("set", [7] * 24), ("label", [[1]] * 24), ("seed", [1e300] * 24)],
)
def test_predictions_of_somebody_else(tmp_path: Path, column: str, values: list[Any]) -> None:
    folder = spoiled(tmp_path, "probe", lambda report: None)
    rows = {"set": ["id_test"] * 24, "seed": [0] * 24, "example": [str(i) for i in range(24)], "label": [0] * 24}
    table = pa.table({**rows, "predicted": [0] * 24, column: values})
    pq.write_table(table, folder / "predictions.parquet")
    outcome = watched(["compare", folder, reported("evaluate")])
    assert outcome.faults([0, 2]) == [], outcome.stderr


def test_predictions_that_unpack_to_gigabytes(tmp_path: Path) -> None:
    folder = spoiled(tmp_path, "probe", lambda report: None)
    n = 10**5
    names = pa.DictionaryArray.from_arrays(pa.array([0] * n, pa.int32()), pa.array(["x" * 10**6]))
    zeros = [0] * n
    table = pa.table({"set": ["id_test"] * n, "seed": zeros, "example": names, "label": zeros, "predicted": zeros})
    pq.write_table(table, folder / "predictions.parquet", compression="zstd")
    assert (folder / "predictions.parquet").stat().st_size < 10**6
    refused(["compare", folder, reported("evaluate")], tmp_path, "predictions.parquet", "100,000,000,000 bytes")

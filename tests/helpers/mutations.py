"""Hostile files by kind and seed: each kind writes them below a folder, and gives the words of a command they meet.

What a command writes goes to OUT below that folder, and nothing else may change there.
"""

import json
import random
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from tests.helpers.damage import NAMES, NUMBERS, as_text, changed, damaged, odd
from tests.helpers.mutations_data import image, parquet
from tests.helpers.program import checkpoint
from tests.helpers.sandbox import watched
from tests.helpers.worlds import coloured

KEPT = tempfile.TemporaryDirectory(prefix="ftcli-mutations-")  # as long as the process lives
OUT = "out"
CLASSES = 3
SMALL = ["--image-size", 32, "--batch-size", 8, "--threads", 1]
LIMIT = 60  # seconds; for the honest runs that make the reports
HEADER = 8  # bytes of a safetensors file that say how long its header is
MANY = 10**6  # tensors that a header declares
ARCHITECTURES = [
    "test_vit", "resnet50", "test_resnet.nope", "../x", "/etc/passwd", "timm.models", "hf-hub:a/b", "test_resnet/x",
    "local-dir:/etc", ["test_resnet"], {"test_resnet": 1}, 10**30, None, "", "TEST_RESNET",
    "vit_giant_patch14_clip_224",
]  # fmt: skip
MODEL_ARGS = {
    "embed_dim": 10**9, "depth": 10**6, "layers": [10**6] * 4, "channels": [10**9] * 4, "num_classes": 10**12,
    "img_size": 10**6, "stem_width": 10**8, "in_chans": 4, "base_width": 10**7, "pretrained": True, "scriptable": True,
    "checkpoint_path": "/etc/passwd", "cache_dir": "/tmp", "features_only": True, "block": "os.system", "norm_layer": 7,
    "act_layer": "../x", "pretrained_strict": False, "pretrained_cfg_overlay": {"url": "http://127.0.0.1:9/x"},
    "model_name": "resnet50", "global_pool": "", "output_stride": 0, "drop_path_rate": 1e308, "cardinality": 0,
    "stem_type": {"a": []}, "no_such_argument": None, "width": 10**9, "num_heads": 0, "patch_size": 0, "dtype": "x",
}  # fmt: skip
PRETRAINED_CFG = {
    "url": "http://127.0.0.1:9/x", "file": "/etc/passwd", "hf_hub_id": "nobody/nothing", "state_dict": {"a": 1},
    "input_size": [3, 10**6, 10**6], "custom_load": "hf", "architecture": "resnet50", "tag": "../x",
    "num_classes": 10**12,
    "classifier": ["fc", "fc"], "first_conv": 3, "mean": [0, 0], "std": [0.0, 0.0, 0.0], "crop_pct": 1e-9,
    "interpolation": "/etc/passwd", "crop_mode": "x", "fixed_input_size": True, "pool_size": [0, 0],
    "label_offset": 1e9,
    "hf_hub_filename": "../../x", "source": "file", "license": "x" * 10**6, "min_input_size": [3, 10**9, 10**9],
}  # fmt: skip
DTYPES = ["F8_E4M3", "F4", "BOOL", "I64", "U16", "C64", "F64", "f32", "", "object", 32, None, "\x1b[2J", "BF16"]

Mutation = Callable[[random.Random, Path], list[Any]]


@cache
def base() -> Path:
    """Honest files that the hostile ones are made from, once per process: a checkpoint and two sets of images."""
    root = Path(KEPT.name)
    checkpoint(root / "checkpoint", classes=CLASSES)
    coloured(root / "train", CLASSES, each=8)
    coloured(root / "far", CLASSES, each=2, seed=3)
    return root


@cache
def reported(command: str) -> Path:
    """The folder of an honest run of a command."""
    model, train, far, out = *(str(base() / name) for name in ("checkpoint", "train", "far")), base() / command
    training = ["--checkpoint", model, "--train", train, "--ood", f"far={far}", "--augment", "none"]
    words: dict[str, list[Any]] = {
        "probe": [*training, "--seeds", 2],
        "lpft": [*training, "--lr", "1e-3,1e-2", "--epochs", 2, "--ood-every-epoch"],
        "surgical": [*training, "--lr", "1e-3", "--epochs", 1, "--blocks", "first,last", "--auto", "rgn"],
        "adapt": ["--checkpoint", model, "--ood", f"far={far}"],
        "evaluate": [model, "--id-test", train, "--ood", f"far={far}", "--per-class", "--confusion"],
        "distortion": [model, model, "--id-test", train, "--matrix"],
        "agreement": [model, model, "--id-test", train],
        "interpolate": [model, model, "--id-test", train, "--points", 3, "--soup", model],
        "criticality": [model, model, "--train", train, "--alphas", "0,1", "--sigmas", "0.1", "--draws", 1],
        "theory": ["--worlds", 2, "--sweep", "epsilon", "--points", 2, "--until", 30],
    }
    small = [] if command == "theory" else SMALL
    outcome = watched([command, *words[command], *small, "--out", out], [out], LIMIT)
    assert outcome.faults([0]) == [], (command, outcome.code, outcome.stderr)
    return out


REPORTS = (
    "probe", "lpft", "surgical", "adapt", "evaluate", "distortion", "agreement", "interpolate", "criticality", "theory",
)  # fmt: skip


def model_words(draw: random.Random, folder: Path, model: Path) -> list[Any]:
    """A command that opens a checkpoint."""
    train, out = base() / "train", folder / OUT
    return draw.choice([
        ["blocks", model],
        ["predict", model, train, *SMALL],
        ["evaluate", model, "--id-test", train, *SMALL, "--confusion", "--out", out],
        ["evaluate", model, "--id-test", train, "--batch-size", 8, "--threads", 1, "--json", "--out", out],
        ["probe", "--checkpoint", model, "--train", train, *SMALL, "--out", out],
        ["agreement", model, base() / "checkpoint", "--id-test", train, *SMALL, "--out", out],
    ])  # fmt: skip


def copied(folder: Path) -> Path:
    """A checkpoint of one's own to spoil."""
    return Path(shutil.copytree(base() / "checkpoint", folder / "model"))


def safetensors(draw: random.Random, folder: Path) -> list[Any]:
    """A weights file that is damaged or lies in its header."""
    path = copied(folder) / "model.safetensors"
    content = path.read_bytes()
    length = int.from_bytes(content[:HEADER], "little")
    header, data = json.loads(content[HEADER : HEADER + length]), content[HEADER + length :]
    if draw.random() < 0.3:
        path.write_bytes(damaged(draw, content[: HEADER + length]) + data)
    elif draw.random() < 0.2:
        path.write_bytes(content[: HEADER + length] + damaged(draw, data))
    else:
        text = draw.choice(LIES)(draw, header, len(data))
        told = len(text) if draw.random() < 0.85 else draw.choice([0, 1, 2**32, 2**63, 2**64 - 1, len(content), 7])
        path.write_bytes(told.to_bytes(HEADER, "little") + text + (data if draw.random() < 0.9 else data[:10]))
    return model_words(draw, folder, draw.choice([path, path.parent]))


def lying_entry(draw: random.Random, header: dict[str, Any], size: int) -> bytes:
    """One tensor, or several, whose dtype, shape or place in the file is not true."""
    for name in draw.sample(sorted(set(header) - {"__metadata__"}), draw.randint(1, 3)):
        entry = header[name]
        begin, end = entry["data_offsets"]
        how = draw.choice(["offsets", "shape", "dtype", "both"])
        if how in ("offsets", "both"):
            entry["data_offsets"] = draw.choice([
                [end, begin], [-8, end], [0, 4], [begin, size + 8], [size, size], [2**63, 2**64], [begin], [begin,
                end, 0],
                [begin - 4, end], [begin + 4, end + 4], [float(begin), end], ["0", "4"], None, [0, 0],
            ])  # fmt: skip
        if how in ("shape", "both"):
            entry["shape"] = draw.choice([
                [], [0], [0, 10**18], [-1, 2], [2**32, 2**32], [10**12], [1] * 1000, [1] * 100_000, [None], ["3"],
                [2.0],
                3, None, [*entry["shape"], 1], entry["shape"][::-1], [[3]], [2**64], [True],
            ])  # fmt: skip
        if how == "dtype":
            entry["dtype"] = draw.choice(DTYPES)
    return as_text(draw, header)


def renamed(draw: random.Random, header: dict[str, Any], size: int) -> bytes:
    """Tensors under names that nobody gives, or with odd metadata."""
    for name in draw.sample(sorted(header), 2):
        header[draw.choice(NAMES)] = header.pop(name)
    header["__metadata__"] = odd(draw)
    return as_text(draw, header)


def doubled(draw: random.Random, header: dict[str, Any], size: int) -> bytes:
    """Every key twice."""
    text = json.dumps(header)
    return (text[:-1] + ", " + text[1:]).encode()


def crowded(draw: random.Random, header: dict[str, Any], size: int) -> bytes:
    """Many tensors that take no bytes at all."""
    entry = '"t{}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}'
    return ("{" + ",".join(entry.format(i) for i in range(draw.choice([1000, MANY]))) + "}").encode()


def padded(draw: random.Random, header: dict[str, Any], size: int) -> bytes:
    """A header that is mostly spaces."""
    return as_text(draw, header) + b" " * draw.choice([1, 10**6, 2 * 10**8])


def no_header(draw: random.Random, header: dict[str, Any], size: int) -> bytes:
    """Not the JSON that a header is."""
    return draw.choice([
        b"", b"{}", b"[]", b"null", b"\xff\xfe{", b"{" * 100_000, b"[" * 100_000, b'{"a":' * 100_000, b"\0" * 100,
        b"NaN",
        b'{"__metadata__": {}}', b'{"a": NaN}', b'{"a": 1e999}', b"\x80\x04cos\nsystem\n",
    ])  # fmt: skip


def anything(draw: random.Random, header: dict[str, Any], size: int) -> bytes:
    return as_text(draw, changed(draw, header))


LIES = [lying_entry, lying_entry, lying_entry, renamed, doubled, crowded, padded, no_header, anything, anything]


def config_json(draw: random.Random, folder: Path) -> list[Any]:
    """A checkpoint whose config.json says what it should not."""
    path = copied(folder) / "config.json"
    config = json.loads(path.read_text())
    config["label_names"] = [f"class{i}" for i in range(CLASSES)]
    how = draw.choice(["bytes", "tree", "model_args", "model_args", "pretrained_cfg", "architecture", "labels"])
    if how == "model_args":
        config["model_args"] = dict(draw.sample(sorted(MODEL_ARGS.items()), draw.randint(1, 3)))
        if draw.random() < 0.3:
            config["model_args"][draw.choice(sorted(config["model_args"]))] = odd(draw)
    elif how == "pretrained_cfg":
        config["pretrained_cfg"] |= dict(draw.sample(sorted(PRETRAINED_CFG.items()), draw.randint(1, 4)))
        if draw.random() < 0.3:
            config["pretrained_cfg"][draw.choice(sorted(config["pretrained_cfg"]))] = odd(draw)
    elif how == "architecture":
        config["architecture"] = draw.choice(ARCHITECTURES)
    elif how == "labels":
        config["label_names"] = draw.choice([
            draw.choices(NAMES, k=CLASSES), dict(enumerate(draw.choices(NAMES, k=CLASSES))), [1, 2, 3], ["a"] * CLASSES,
            ["a"] * 10**6, {"x": 1}, odd(draw), [odd(draw)] * CLASSES,
        ])  # fmt: skip
    text = as_text(draw, changed(draw, config) if how == "tree" else config)
    path.write_bytes(damaged(draw, text) if how == "bytes" else text)
    return model_words(draw, folder, path.parent)


TOML_VALUES = [
    "9" * 5000, "-1", "0", "1e400", "nan", "-inf", "1979-05-27T07:32:00Z", "07:32:00", "true", '""', "[]", "{}",
    "[[[]]]",
    '"\\u001b[2J"', '"[red]x[/red]"', '"../../x"', '"/etc/passwd"', '"a\\nb"', "[1, 'a', 1.5]", "{a = 1}",
    "0x7fffffffffffffff",
    "[" * 5000 + "]" * 5000, '"' + "x" * 10**6 + '"', '"http://127.0.0.1:9/x"', "'''\n'''", "1_0", '"\\uD800"',
    "1e-320",
]  # fmt: skip
TOML_KEYS = [
    "import", "import_", "out", "plot", "overwrite", "resume", "preset", "config", "debug", "json", "device", "ood",
    "lr",
    "seed", "image_size", "image-size", "batch_size", "workers", "threads", "checkpoint", "train", "no_such_option",
    "__class__", "model", "save_every", "precision", "strip_prefix", "augment", '"a\\u001b[2Jb"', "a.b.c", '""',
    "compile",
]  # fmt: skip

PLAUSIBLE = {  # of the right type, and far too much
    "workers": [1, 10**5, 10**9], "threads": [10**5, 2**31 - 1, 2**31], "image_size": [1, 7, 10**5, 2**40],
    "batch_size": [1, 2**31, 2**63 - 1], "ood": [["a=b"] * 3, ["x=/etc"], ["x=hf:a/b"], ["x=/dev/zero"], [""] * 10**4],
    "seeds": [1, 3, 10**9, 2**63], "seed": [0, 2**32, 2**63 - 1, 2**63, 2**64, [0.5], list(range(10**4))],
    "steps": [10**9],
    "epochs": [10**9, 2**63, 10**30], "lr": [[1e-3] * 10**4, [1e308], [1e-320]], "augmentations": [10**6],
    "merge": [2**31],
    "blocks": ['"first..x"', '"0..10000000000"', '"' + "first," * 10**4 + '"'], "save_every": [0, 1e308, "inf"],
    "device": ['"cuda:99"', '"meta"', '"cpu:7"', '"xpu"', '"cpu\\n"'], "model": ['"../x"', '"hf-hub:a/b"',
    '"test_vit"'],
}  # fmt: skip


def toml(draw: random.Random, folder: Path) -> list[Any]:
    """A configuration file from somebody else. Only `--dry-run` of what trains: to ask for much work is no attack."""
    command = draw.choice(["probe", "lpft", "finetune", "evaluate", "adapt"])
    trains = command not in ("evaluate", "adapt")
    honest = {"image_size": "32", "batch_size": "8", "device": '"cpu"', "augment": '"none"', "threads": "1"}
    lines = {key: value for key, value in honest.items() if trains or key != "augment"}
    lines |= {"checkpoint": f'"{base() / "checkpoint"}"'} if command != "evaluate" else {}
    lines |= {"train": f'"{base() / "train"}"'} if trains else {"id_test": f'"{base() / "far"}"'}
    if draw.random() < 0.3:
        key = draw.choice(sorted(PLAUSIBLE))
        lines[key] = str(draw.choice(PLAUSIBLE[key]))
    for key in draw.sample([*TOML_KEYS, *lines], draw.randint(0, 2)):
        value = draw.choice([*TOML_VALUES, *(str(number) for number in NUMBERS)])
        lines[key] = f'"{folder / "evil.py"}"' if key in ("import", "import_") and draw.random() < 0.5 else value
    text = "\n".join(f"{key} = {value}" for key, value in lines.items())
    text += draw.choice(
        ["", "", "", "\n[table]\nx = 1", "\n[[ood]]\nx = 1", "\nlr = 1\nlr = 2", "\n\0", "\n" + "a." * 3000]
    )
    (folder / "evil.py").write_text(f"open({str(folder / 'ran')!r}, 'w').write('x')")
    content = text.encode()
    (folder / "of.toml").write_bytes(damaged(draw, content) if draw.random() < 0.25 else content)
    model = [base() / "checkpoint"] if command == "evaluate" else []
    dry = ["--dry-run"] if trains else []
    return [command, *model, "--config", folder / "of.toml", *dry, "--out", folder / OUT]


def report(draw: random.Random, folder: Path) -> list[Any]:
    """A report of somebody else, looked at, compared, used as options, or lying in OUT."""
    command = draw.choice(REPORTS)
    honest, mine = reported(command), folder / "report"
    shutil.copytree(honest, mine, ignore=shutil.ignore_patterns("*.safetensors"))
    path = mine / "report.json"
    content = json.loads(path.read_text())
    predictions = mine / "predictions.parquet"
    how = draw.choice(["bytes", "tree", "tree", "tree", "painted", "painted", "predictions"])
    if how == "predictions" and predictions.exists():
        predictions.write_bytes(damaged(draw, predictions.read_bytes()))
    else:
        text = as_text(draw, painted(content) if how == "painted" else changed(draw, content))
        path.write_bytes(damaged(draw, path.read_bytes()) if how == "bytes" else text)
    other = reported("evaluate") if command != "evaluate" else reported("probe")
    words = [
        ["report", path], ["report", mine, "--json"], ["compare", mine, other], ["compare", mine, other, "--json"],
        ["compare", other, mine, "--format", draw.choice(["csv", "markdown"])], ["compare", mine],
    ]  # fmt: skip
    if command in ("probe", "lpft", "surgical"):
        shown = ["--checkpoint", base() / "checkpoint", "--train", base() / "train", *SMALL]
        words += [
            [command, "--config", path, "--dry-run", "--out", folder / OUT],
            [command, *shown, *(["--blocks", "last"] if command == "surgical" else []), "--resume", "--out",
            folder / OUT],
        ]  # fmt: skip
    asked = draw.choice(words)
    if "--resume" in asked:
        mine.rename(folder / OUT)
    return asked


def painted(tree: Any, name: str = "") -> Any:
    """A report that keeps the schema, each name in it one that paints: words,
    and the keys of what is keyed by names."""
    if isinstance(tree, dict):
        named = name in NAMED
        return {f"{key}{PAINT}" if named else key: painted(value, key) for key, value in tree.items()}
    if isinstance(tree, list):
        return [painted(value, "" if isinstance(value, dict) else name) for value in tree]
    return f"{tree}{PAINT}" if isinstance(tree, str) and name not in MEANT else tree


PAINT = "[red]\x1b[2J\x9b31m\u202e\ud800\n"
NAMED = (  # keys below these are names of sets, blocks, choices and tensors
    "ood",
    "choices",
    "oracle",
    "ratio",
    "subspace",
    "similarity",
    "parameters",
    "adaptation",
    "sets",
    "tensors",
    "blocks",
)
MEANT = ("schema", "command", "head", "mode", "tensors", "method")  # words that the program looks for


KINDS: dict[str, Mutation] = {
    "safetensors": safetensors,
    "config.json": config_json,
    "toml": toml,
    "report": report,
    "parquet": parquet,
    "image": image,
}


def hostile(kind: str, seed: int, folder: Path) -> list[Any]:
    """The words of one case; the same kind and seed give the same files."""
    return KINDS[kind](random.Random(f"{kind}/{seed}"), folder)

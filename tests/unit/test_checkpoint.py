"""Checkpoints of every form are opened, unwrapped and judged; nothing in them is ever run."""

import argparse
import hashlib
import json
import os
import pickle
import time
from pathlib import Path

import huggingface_hub
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from ftcli.errors import RequestError
from ftcli.log import Log
from ftcli.model.checkpoints.checkpoint import Checkpoint, open_checkpoint
from tests.helpers.notes import Notes

TENSORS = {"conv1.weight": torch.arange(12.0).view(3, 4), "bn1.bias": torch.ones(3), "fc.weight": torch.zeros(2, 3)}


def opened(where: object, strip_prefix: str | None = None, log: Log | None = None) -> Checkpoint:
    return open_checkpoint(str(where), strip_prefix=strip_prefix, log=log or Log())


def refusal(where: object, strip_prefix: str | None = None) -> str:
    """Problem and fix of the refusal, which must come fast."""
    started = time.perf_counter()
    with pytest.raises(RequestError) as caught:
        opened(where, strip_prefix)
    assert time.perf_counter() - started < 2
    return f"{caught.value.problem} | {caught.value.fix}"


def same(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> bool:
    return found.keys() == wanted.keys() and all(torch.equal(found[k], wanted[k]) for k in wanted)


def prefixed(prefix: str) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in TENSORS.items()}


def test_a_safetensors_file(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save_file(TENSORS, path)
    checkpoint = opened(path)
    assert checkpoint.shapes == {name: tuple(t.shape) for name, t in TENSORS.items()}
    assert same(checkpoint.tensors(), TENSORS)
    assert checkpoint.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert checkpoint.architecture is None and checkpoint.stripped == ()


def damage(content: bytes, how: str) -> bytes:
    """A safetensors file spoiled in one way."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    if how == "cut off":
        return content[:-5]
    if how == "cut in the header":
        return content[:20]
    if how == "longer than it says":
        return content + b"more"
    if how == "huge header":
        return (2**40).to_bytes(8, "little") + content[8:]
    if how == "wrong shape":
        header["bn1.bias"]["shape"] = [4]
    if how == "unknown dtype":
        header["bn1.bias"]["dtype"] = "F7"
    if how == "overlap":
        header["bn1.bias"]["data_offsets"] = header["conv1.weight"]["data_offsets"]
    if how == "text":
        return b"not weights at all, but a page of text" * 10
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


@pytest.mark.parametrize(
    "how",
    [
        "cut off",
        "cut in the header",
        "longer than it says",
        "huge header",
        "wrong shape",
        "unknown dtype",
        "overlap",
        "text",
    ],
)
def test_a_damaged_safetensors_file_is_refused_by_its_header(tmp_path: Path, how: str) -> None:
    path = tmp_path / "net.safetensors"
    save_file(TENSORS, path)
    path.write_bytes(damage(path.read_bytes(), how))
    assert str(path) in refusal(path)


def test_files_without_weights(tmp_path: Path) -> None:
    save_file({}, tmp_path / "empty.safetensors")
    assert "no tensors" in refusal(tmp_path / "empty.safetensors")
    torch.save({"epoch": 3}, tmp_path / "empty.pth")
    assert "no tensors" in refusal(tmp_path / "empty.pth")
    (tmp_path / "lfs.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    assert "git lfs pull" in refusal(tmp_path / "lfs.safetensors")
    (tmp_path / "net.onnx").write_bytes(b"x")
    assert ".safetensors" in refusal(tmp_path / "net.onnx")


def test_a_folder_in_timms_form(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "model.safetensors")
    config = {
        "architecture": "resnet18",
        "label_names": ["cat", "dog"],
        "model_args": {"pad_type": "same", "img_size": [64, 64]},
        "pretrained_cfg": {"mean": [0.5, 0.5, 0.5], "input_size": [3, 64, 64], "tag": "mine"},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    for where in (tmp_path, tmp_path / "model.safetensors"):
        checkpoint = opened(where)
        assert checkpoint.architecture == "resnet18"
        assert checkpoint.label_names == ("cat", "dog")
        assert checkpoint.model_args == {"pad_type": "same", "img_size": (64, 64)}
        assert checkpoint.pretrained_cfg["mean"] == (0.5, 0.5, 0.5)
        assert same(checkpoint.tensors(), TENSORS)


def test_other_folders(tmp_path: Path) -> None:
    assert "model.safetensors" in refusal(tmp_path)
    torch.save(TENSORS, tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit", "architectures": ["ViTModel"]}))
    checkpoint = opened(tmp_path)
    assert checkpoint.architecture is None and same(checkpoint.tensors(), TENSORS)
    (tmp_path / "config.json").write_text('{"architecture": ')
    assert "config.json" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("prefix", "stripped"),
    [
        ("module.", ("module.",)),
        ("_orig_mod.", ("_orig_mod.",)),
        ("model.", ("model.",)),
        ("backbone.", ("backbone.",)),
        ("module._orig_mod.", ("module.", "_orig_mod.")),
        ("_orig_mod.module.model.backbone.", ("_orig_mod.", "module.", "model.", "backbone.")),
    ],
)
def test_known_wrappers_come_off_and_are_reported(tmp_path: Path, prefix: str, stripped: tuple[str, ...]) -> None:
    save_file(prefixed(prefix), tmp_path / "net.safetensors")
    log = Notes()
    checkpoint = opened(tmp_path / "net.safetensors", log=log)
    assert checkpoint.stripped == stripped and same(checkpoint.tensors(), TENSORS)
    assert any(stripped[0] in note for note in log.notes)


def test_a_known_word_around_some_names_only_stays(tmp_path: Path) -> None:
    names = {"backbone.conv1.weight": torch.ones(2), "fc.weight": torch.ones(3)}
    save_file(names, tmp_path / "net.safetensors")
    assert same(opened(tmp_path / "net.safetensors").tensors(), names)
    asked = opened(tmp_path / "net.safetensors", "backbone.")
    assert same(asked.tensors(), {"conv1.weight": torch.ones(2)})


def test_moco_keeps_the_query_encoder_alone(tmp_path: Path) -> None:
    others = {"module.encoder_k." + k: t + 1 for k, t in TENSORS.items()} | {"module.queue": torch.ones(9)}
    save_file(prefixed("module.encoder_q.") | others, tmp_path / "moco.safetensors")
    log = Notes()
    checkpoint = opened(tmp_path / "moco.safetensors", log=log)
    assert checkpoint.stripped == ("module.", "encoder_q.") and same(checkpoint.tensors(), TENSORS)
    assert any("4 tensors" in note for note in log.notes)


@pytest.mark.parametrize("asked", ["net.student.", "net.student", "module.net.student."])
def test_an_asked_prefix(tmp_path: Path, asked: str) -> None:
    everything = prefixed("module.net.student.") | {"module.net.teacher.w": torch.ones(1)}
    save_file(everything, tmp_path / "net.safetensors")
    assert same(opened(tmp_path / "net.safetensors", asked).tensors(), TENSORS)
    assert "'studnet.'" in refusal(tmp_path / "net.safetensors", "studnet.")


def test_nested_torch_files(tmp_path: Path) -> None:
    path, older, log = tmp_path / "net.pth", {k: t - 1 for k, t in TENSORS.items()}, Notes()
    torch.save({"state_dict": older, "state_dict_ema": TENSORS, "args": argparse.Namespace(lr=1.0), "epoch": 3}, path)
    assert same(opened(path, log=log).tensors(), TENSORS)
    assert any("state_dict_ema" in note for note in log.notes)
    torch.save({"model": {"state_dict": prefixed("module.")}}, path)
    assert same(opened(path).tensors(), TENSORS)
    torch.save({"teacher": older, "student": TENSORS}, path)
    assert same(opened(path, "student.").tensors(), TENSORS)
    torch.save(TENSORS, path, _use_new_zipfile_serialization=False)
    assert same(opened(path).tensors(), TENSORS)


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, (str(self.witness),))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_would_run_code_is_refused_unrun(tmp_path: Path, zipped: bool) -> None:
    path, witness = tmp_path / "trap.pth", tmp_path / "witness"
    torch.save({"state_dict": TENSORS, "x": Trap(witness)}, path, _use_new_zipfile_serialization=zipped)
    message = refusal(path)
    assert "mkdir" in message and "safetensors" in message and not witness.exists()
    for protocol in (0, 2, 4, 5):
        path.write_bytes(pickle.dumps({"state_dict": Trap(witness)}, protocol))
        assert "mkdir" in refusal(path) and not witness.exists()


def test_damaged_torch_files(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    torch.save(TENSORS, path)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:3], b"", b"plain text, not weights"):
        path.write_bytes(content)
        assert str(path) in refusal(path)


def test_what_is_not_there(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "network.safetensors")
    assert '"network.safetensors"' in refusal(tmp_path / "netwrok.safetensors")
    assert '"resnet18"' in refusal("resnt18")
    assert '"tv_in1k"' in refusal("resnet18.tv_in1")
    assert "no pretrained weights" in refusal("tv_resnet50")
    assert "presets" in refusal("preset:../errors.py")


@pytest.mark.parametrize("where", ["resnet18.a1_in1k", "hf-hub:timm/resnet18.a1_in1k"])
def test_no_network_is_said_at_once(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    def no_network(*args: object, **kwargs: object) -> None:
        raise ConnectionError("Name or service not known")

    def backs_off(*args: object, **kwargs: object) -> None:
        pytest.fail("started a download that retries")

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *a, **k: None)
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", no_network)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", backs_off)
    message = refusal(where)
    assert "timm/resnet18.a1_in1k" in message and "not known" in message


def test_a_hub_folder_in_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "resnet18", "pretrained_cfg": {}}))
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda repo, name, revision: str(tmp_path / name))
    checkpoint = opened("hf-hub:somebody/resnet18")
    assert checkpoint.architecture == "resnet18" and same(checkpoint.tensors(), TENSORS)
    tag = opened("resnet18.tv_in1k")
    assert tag.architecture == "resnet18" and tag.pretrained_cfg["tag"] == "tv_in1k"

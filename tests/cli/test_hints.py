"""Advice on checkpoints that do not load, followed word for word: it leads to success, or to a new, true statement."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor

from ftcli.errors import RequestError
from ftcli.log import Log
from ftcli.model.checkpoints.checkpoint import open_checkpoint
from ftcli.model.loading.load import Loaded, load_model
from tests.helpers.program import inside
from tests.helpers.tiny import SIDE, tiny

State = dict[str, Tensor]


def load(where: Path, name: str | None, strip: str | None = None, drop: list[str] | None = None) -> Loaded:
    log = Log()
    checkpoint = open_checkpoint(str(where), strip_prefix=strip, log=log, **({"drop_prefix": drop} if drop else {}))
    return load_model(name=name, checkpoint=checkpoint, num_classes=5, image_size=SIDE, log=log)


def refusal(where: Path, name: str | None, **options: Any) -> RequestError:
    with pytest.raises(RequestError) as caught:
        load(where, name, **options)
    return caught.value


def follow(where: Path, name: str, fix: str) -> Loaded:
    """Load again with the first option that the advice names."""
    option, value = re.search(r"--(strip-prefix|drop-prefix|model) ([^\s;,:]+(?:,[^\s;:]+)*)", fix).groups()  # type: ignore[union-attr]
    if option == "model":
        return load(where, value)
    return load(where, name, strip=value) if option == "strip-prefix" else load(where, name, drop=[value])


def body(name: str) -> State:
    """A network without its head."""
    model = tiny(name)
    head = model.pretrained_cfg["classifier"]
    return {key: tensor for key, tensor in model.state_dict().items() if not key.startswith(f"{head}.")}


def under(prefix: str, state: State, shift: float = 0.0) -> State:
    return {
        prefix + key: tensor + shift if tensor.is_floating_point() else tensor.clone() for key, tensor in state.items()
    }


def same_body(found: Loaded, state: State) -> bool:
    mine = found.model.state_dict()
    return all(torch.equal(mine[key], tensor) for key, tensor in state.items())


DECODER = {
    "decoder_embed.weight": torch.zeros(32, 64), "decoder_pos_embed": torch.zeros(1, 17, 32),
    "decoder_norm.bias": torch.zeros(32), **{f"decoder_blocks.{i}.norm1.weight": torch.zeros(32) for i in range(8)},
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "beside"),
    [
        ("test_vit", DECODER),
        ("test_convnext", DECODER | {"mask_token": torch.zeros(1, 1, 8)}),
        ("test_resnet", {"criterion.weight": torch.ones(5)}),
        (
            "test_efficientnet",
            {"loss_fn.centers": torch.ones(5, 4), "loss_fn.margin": torch.ones(1), "epoch": torch.ones(1)},
        ),
        ("test_resnet", {"projector.0.weight": torch.ones(4, 4), "predictor.weight": torch.ones(4, 4)}),
    ],
)
def test_tensors_beside_the_model_are_left_out_on_purpose(tmp_path: Path, name: str, beside: State) -> None:
    state, where = body(name), tmp_path / "net.pth"
    torch.save({"model": {**state, **beside}}, where)
    error = refusal(where, name)
    assert "--drop-prefix" in error.fix and next(iter(beside)) in error.problem
    assert same_body(follow(where, name, error.fix), state)


def test_what_is_left_out_is_reported(tmp_path: Path) -> None:
    where, log = tmp_path / "net.pth", Log()
    torch.save({**body("test_resnet"), "criterion.weight": torch.ones(5), "queue": torch.ones(2)}, where)
    checkpoint = open_checkpoint(str(where), strip_prefix=None, drop_prefix=["criterion.,queue"], log=log)
    assert not {"criterion.weight", "queue"} & checkpoint.shapes.keys()
    assert [warning["code"] for warning in log.warnings] == ["tensors-left-out"] and "2 tensors" in log.warnings[0][
        "text"
    ]
    with pytest.raises(RequestError, match="criterium"):
        open_checkpoint(str(where), strip_prefix=None, drop_prefix=["criterium."], log=log)


@pytest.mark.parametrize("prefixes", [("student.net.", "teacher.net."), ("online.", "target."), ("q.enc.", "k.enc.")])
def test_two_networks_in_one_file_are_both_named(tmp_path: Path, prefixes: tuple[str, str]) -> None:
    state, where = body("test_vit"), tmp_path / "net.pth"
    torch.save({"model": under(prefixes[0], state) | under(prefixes[1], state, 1.0)}, where)
    fix = refusal(where, "test_vit").fix
    assert all(f"--strip-prefix {prefix}" in fix for prefix in prefixes)
    first = re.findall(r"--strip-prefix (\S+)", fix)[0]
    assert same_body(follow(where, "test_vit", fix), under("", state, 1.0 if first == prefixes[1] else 0.0))


def test_a_copy_of_the_weights_beside_them(tmp_path: Path) -> None:
    state, where = body("test_resnet"), tmp_path / "net.safetensors"
    save_file({**state, **under("averaged.", state, 1.0)}, where)
    fix = refusal(where, "test_resnet").fix
    assert same_body(load(where, "test_resnet", strip="averaged."), under("", state, 1.0))
    assert "--strip-prefix averaged." in fix and same_body(follow(where, "test_resnet", fix), state)


@pytest.mark.parametrize("part", ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"])
def test_wrappers_inside_names_come_off(tmp_path: Path, part: str) -> None:
    state, where = body("test_vit"), tmp_path / "net.pth"
    inner = {re.sub(r"^blocks\.(\d+)\.", rf"blocks.\1.{part}.", key): tensor for key, tensor in state.items()}
    assert inner.keys() != state.keys()
    torch.save(under("module.", inner), where)
    assert same_body(load(where, "test_vit"), state)


@pytest.mark.parametrize(("asked", "saved"), [("test_vit", "test_vit2"), ("test_convnext2", "test_convnext")])
def test_another_architecture_of_the_family_is_named(tmp_path: Path, asked: str, saved: str) -> None:
    import timm

    where = tmp_path / "net.pth"
    torch.save(timm.create_model(saved, num_classes=5).state_dict(), where)
    fix = refusal(where, asked).fix
    assert f"--model {saved}" in fix
    assert follow(where, asked, fix).name.startswith(saved)


def test_torchvisions_name_and_torchvisions_tensors(tmp_path: Path) -> None:
    where = tmp_path / "net.pth"
    torch.save(torchvision.models.mobilenet_v2(num_classes=5).state_dict(), where)
    fix = refusal(where, "mobilenet_v2").fix
    assert "not converted: rename" in fix and "--model mobilenetv2_100" in fix
    error = refusal(where, "mobilenetv2_100")
    assert "torchvision" in error.fix and "another architecture" not in error.problem
    torch.save(torchvision.models.resnet18(num_classes=5).state_dict(), where)
    assert load(where, "resnet18").head_loaded


def sharded(folder: Path, state: State, ending: str) -> Path:
    """The state in three files, and an index, as other programs write it."""
    folder.mkdir()
    names, index = list(state), {}
    for part in range(3):
        file = f"{'model' if ending == 'safetensors' else 'pytorch_model'}-0000{part + 1}-of-00003.{ending}"
        content = {name: state[name].clone() for name in names[part::3]}
        save_file(content, folder / file) if ending == "safetensors" else torch.save(content, folder / file)
        index |= dict.fromkeys(content, file)
    stem = "model" if ending == "safetensors" else "pytorch_model"
    (folder / f"{stem}.{ending}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    (folder / "config.json").write_text(json.dumps({"architecture": "test_resnet", "num_classes": 5}))
    return folder


@pytest.mark.parametrize("ending", ["safetensors", "bin"])
def test_weights_in_parts(tmp_path: Path, ending: str) -> None:
    state = tiny("test_resnet").state_dict()
    folder = sharded(tmp_path / "net", state, ending)
    found = load(folder, None)
    assert found.head_loaded and same_body(found, state)
    digest = found.checkpoint.sha256  # type: ignore[union-attr]
    other = sharded(tmp_path / "other", {**state, "fc.bias": state["fc.bias"] + 1}, ending)
    assert load(other, None).checkpoint.sha256 != digest  # type: ignore[union-attr]
    part = next(folder.glob("*00002-of*"))
    fix = refusal(part, "test_resnet").fix
    assert same_body(load(Path(fix.partition("folder: ")[2]), None), state)


def test_parts_that_do_not_go_together(tmp_path: Path) -> None:
    folder = sharded(tmp_path / "net", tiny("test_resnet").state_dict(), "safetensors")
    index = folder / "model.safetensors.index.json"
    whole = json.loads(index.read_text())
    first, outside = next(iter(whole["weight_map"])), tmp_path / "away.safetensors"
    shutil.copy(next(folder.glob("*00001-of*")), outside)
    for name in ("../away.safetensors", str(outside), "..", "", "no\0name", 7, "missing.safetensors"):
        index.write_text(json.dumps({"weight_map": whole["weight_map"] | {first: name}}))
        assert "index.json" in refusal(folder, None).problem
    index.write_text(json.dumps({"weight_map": {k: v for k, v in whole["weight_map"].items() if k != first}}))
    assert first in refusal(folder, None).problem
    index.unlink()
    assert "index" in refusal(folder, None).fix


@pytest.mark.parametrize("name", ["net.th", "net", "net.checkpoint", "net.pkl"])
def test_the_content_says_what_a_file_is(tmp_path: Path, name: str) -> None:
    state = tiny("test_resnet").state_dict()
    for write in (torch.save, save_file, lambda s, p: torch.save(s, p, _use_new_zipfile_serialization=False)):
        write(state, tmp_path / name)
        assert same_body(load(tmp_path / name, "test_resnet"), state)
        (tmp_path / name).unlink()


def test_a_folder_in_the_form_of_transformers(tmp_path: Path) -> None:
    names = ("vit.embeddings.cls_token", "vit.encoder.layer.0.output.dense.weight", "classifier.weight")
    save_file({name: torch.ones(2, 2) for name in names}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "deit", "architectures": ["DeiTModel"]}))
    error = refusal(tmp_path, None)
    assert "deit" in error.problem and "--model" in error.fix
    assert "transformers" in refusal(tmp_path, "test_vit").fix
    save_file(under("timm_model.", tiny("test_vit").state_dict()), tmp_path / "model.safetensors")
    config = {
        "model_type": "timm_wrapper",
        "architecture": "test_vit",
        "model_args": {"img_size": SIDE},
        "num_classes": 5,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert load(tmp_path, None).head_loaded


@pytest.mark.parametrize("beside", [{"criterion.weight": torch.ones(5)}, {"stem.weight": torch.full((2,), torch.nan)}])
def test_blocks_shows_no_table_of_what_no_command_loads(tmp_path: Path, beside: State) -> None:
    state, where = tiny("test_resnet").state_dict(), tmp_path / "net.pth"
    if "stem.weight" in beside:
        state["layer1.0.conv1.weight"][0] = torch.nan
        beside = {}
    torch.save({**state, **beside}, where)
    shown = inside("blocks", where, "--model", "test_resnet")
    assert shown.returncode == 2 and shown.stdout == ""
    if beside:
        words = re.search(r"(--drop-prefix) (\S+)", shown.stderr).groups()  # type: ignore[union-attr]
        assert inside("blocks", where, "--model", "test_resnet", *words).returncode == 0

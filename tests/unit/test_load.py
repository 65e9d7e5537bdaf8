"""The checked load: all of the body from the file, or a refusal that says what is wrong; never a random tensor."""

import json
import sys
import time
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ftcli.config.looking import Blocks
from ftcli.errors import RequestError
from ftcli.log import Log
from ftcli.model.checkpoints.checkpoint import open_checkpoint
from ftcli.model.loading.from_options import load_structure
from ftcli.model.loading.import_user_file import import_file
from ftcli.model.loading.load import Loaded, load_model
from tests.helpers.program import inside
from tests.helpers.tiny import SIDE, SIX, images, tiny
from tests.helpers.worlds import coloured

FIXED = ("test_vit", "swin_tiny_patch4_window7_224")  # families built for one input size


def write(folder: Path, state: dict[str, Tensor], name: str | None = None) -> str:
    """A checkpoint with these tensors; in timm's form, naming one of the six, where `name` is given."""
    folder.mkdir(exist_ok=True)
    save_file({key: tensor.clone().contiguous() for key, tensor in state.items()}, folder / "model.safetensors")
    if name:
        cfg = timm.models.get_pretrained_cfg(name).to_dict()
        cfg |= {"input_size": (3, SIDE, SIDE), "num_classes": 37}
        args = {**SIX[name], **({"img_size": SIDE} if name in FIXED else {})}
        config = {"architecture": name, "pretrained_cfg": cfg, "model_args": args}
        (folder / "config.json").write_text(json.dumps(config))
    return str(folder)


def load(
    where: str | None, name: str | None = None, num_classes: int | None = 10, image_size: int | None = None,
    strip_prefix: str | None = None, log: Log | None = None,
) -> Loaded:  # fmt: skip
    log = log or Log()
    checkpoint = open_checkpoint(where, strip_prefix=strip_prefix, log=log) if where else None
    return load_model(name=name, checkpoint=checkpoint, num_classes=num_classes, image_size=image_size, log=log)


def refusal(where: str | None, *args: object, **kwargs: object) -> str:
    started = time.perf_counter()
    with pytest.raises(RequestError) as caught:
        load(where, *args, **kwargs)  # type: ignore[arg-type]
    assert time.perf_counter() - started < 10
    return f"{caught.value.problem} | {caught.value.fix}"


@pytest.mark.parametrize("name", SIX)
def test_the_body_is_the_files_and_a_fitting_head_too(tmp_path: Path, name: str) -> None:
    source = tiny(name, num_classes=37)
    where = write(tmp_path, source.state_dict(), name)
    before = torch.get_rng_state()
    for asked in (None, 37):
        loaded = load(where, num_classes=asked)
        assert loaded.head_loaded
        found = loaded.model.state_dict()
        assert all(torch.equal(found[key], tensor) for key, tensor in source.state_dict().items())
        with torch.inference_mode():
            assert torch.equal(loaded.model.eval()(images()), source(images()))
    loaded = load(where, num_classes=10)
    assert not loaded.head_loaded and loaded.model.num_classes == 10
    found = loaded.model.state_dict()
    head = source.pretrained_cfg["classifier"]
    for key, tensor in source.state_dict().items():
        if key.startswith(f"{head}."):
            assert not found[key].any() and len(found[key]) == 10
        else:
            assert torch.equal(found[key], tensor)
    assert torch.equal(torch.get_rng_state(), before)
    assert loaded.data_config["input_size"] == (3, SIDE, SIDE)
    rebuilt = timm.create_model(**loaded.create_args)
    rebuilt.load_state_dict(found)


def test_torch_files_and_wrappers_load_alike(tmp_path: Path) -> None:
    state = tiny("test_resnet", 37).state_dict()
    torch.save({"state_dict": {f"module.{k}": t for k, t in state.items()}}, tmp_path / "net.pth")
    loaded = load(str(tmp_path / "net.pth"), "test_resnet", None)
    assert loaded.head_loaded and all(torch.equal(t, state[k]) for k, t in loaded.model.state_dict().items())


def test_half_precision_files_become_float32(tmp_path: Path) -> None:
    state = {k: t.half() if t.is_floating_point() else t for k, t in tiny("test_vit", 37).state_dict().items()}
    found = load(write(tmp_path, state, "test_vit"), num_classes=37).model.state_dict()
    assert all(torch.equal(found[k], t.float()) and found[k].dtype == torch.float32 for k, t in state.items())


def test_no_head(tmp_path: Path) -> None:
    state = {k: t for k, t in tiny("test_resnet", 37).state_dict().items() if not k.startswith("fc.")}
    where = write(tmp_path, state)
    assert "has no head" in refusal(where, "test_resnet", None)
    assert not load(where, "test_resnet", 10).head_loaded


def test_a_head_of_another_make_is_left_out(tmp_path: Path) -> None:
    body = {k: t for k, t in tiny("test_resnet", 37).state_dict().items() if not k.startswith("fc.")}
    mlp = {"fc.0.weight": torch.ones(8, 8), "fc.0.bias": torch.ones(8), "fc.2.weight": torch.ones(4, 8)}
    assert not load(write(tmp_path / "mlp", body | mlp), "test_resnet", 4).head_loaded
    narrow = {"fc.weight": torch.ones(4, 3), "fc.bias": torch.ones(4)}
    assert not load(write(tmp_path / "narrow", body | narrow), "test_resnet", 4).head_loaded
    no_bias = {"fc.weight": torch.ones(4, 256)}
    assert "has no head" in refusal(write(tmp_path / "bias", body | no_bias), "test_resnet", None)


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    where = write(tmp_path / "a", tiny("test_resnet", 37).state_dict())
    message = refusal(where, "test_efficientnet")
    assert "missing (conv_stem.weight" in message and "left over (" in message and "conv1" in message
    assert "another architecture" in message and "--model" in message
    one_less = tiny("test_resnet", 37).state_dict()
    one_less.pop("layer3.0.bn1.running_var")
    message = refusal(write(tmp_path / "b", one_less), "test_resnet")
    assert "1 missing (layer3.0.bn1.running_var)" in message and "another architecture" not in message
    wider = tiny("test_resnet", 37).state_dict() | {"layer1.0.conv1.weight": torch.ones(2, 3, 3, 3)}
    assert "1 of another shape (layer1.0.conv1.weight [2, 3, 3, 3] for [" in refusal(
        write(tmp_path / "c", wider), "test_resnet"
    )
    extra = tiny("test_resnet", 37).state_dict() | {"layer9.weight": torch.ones(2)}
    assert "1 left over (layer9.weight)" in refusal(write(tmp_path / "d", extra), "test_resnet")


def test_an_old_file_without_batch_counters(tmp_path: Path) -> None:
    state = {k: t for k, t in tiny("test_resnet", 37).state_dict().items() if "num_batches" not in k}
    assert load(write(tmp_path, state), "test_resnet", 37).head_loaded


def test_an_unknown_prefix_is_named_and_the_named_option_works(tmp_path: Path) -> None:
    state = tiny("test_resnet", 37).state_dict()
    where = write(tmp_path, {f"student.net.{k}": t for k, t in state.items()} | {"teacher.w": torch.ones(1)})
    assert "--strip-prefix student.net." in refusal(where, "test_resnet")
    loaded = load(where, "test_resnet", 37, strip_prefix="student.net.")
    assert loaded.head_loaded and all(torch.equal(t, state[k]) for k, t in loaded.model.state_dict().items())


@pytest.mark.parametrize(
    ("bad", "said"), [(torch.nan, "NaN"), (torch.inf, "infinity"), ("int8", "int8"), ("complex64", "complex64")]
)
@pytest.mark.parametrize("name", ["layer2.0.bn1.running_mean", "fc.bias"])
def test_values_that_no_weight_has(tmp_path: Path, bad: float | str, said: str, name: str) -> None:
    state = tiny("test_resnet", 37).state_dict()
    if isinstance(bad, str):
        state[name] = state[name].to(getattr(torch, bad))
    else:
        state[name][0] = bad
    message = refusal(write(tmp_path, state), "test_resnet", 37)
    assert name in message and said in message


def test_a_vit_at_another_size_is_resampled_as_timm_does(tmp_path: Path) -> None:
    where = write(tmp_path, tiny("test_vit", 37).state_dict(), "test_vit")
    loaded = load(where, num_classes=37, image_size=96)
    ours, theirs = loaded.model, timm.create_model(f"local-dir:{where}", pretrained=True, img_size=96, num_classes=37)
    assert loaded.data_config["input_size"] == (3, 96, 96)
    assert all(torch.equal(t, theirs.state_dict()[k]) for k, t in ours.state_dict().items())
    assert loaded.create_args["img_size"] == (96, 96)
    with torch.inference_mode():
        assert ours.eval()(images(2, 96)).shape == (2, 37)


def test_a_network_of_any_size_changes_its_images_only(tmp_path: Path) -> None:
    loaded = load(write(tmp_path, tiny("test_resnet", 37).state_dict(), "test_resnet"), image_size=96)
    assert loaded.data_config["input_size"] == (3, 96, 96) and "img_size" not in loaded.create_args


def test_names_that_do_not_go_together(tmp_path: Path) -> None:
    where = write(tmp_path / "a", tiny("test_resnet", 37).state_dict(), "test_resnet")
    message = refusal(where, "test_vit")
    assert "test_vit" in message and "test_resnet" in message
    assert load(where, "test_resnet", 37).head_loaded
    config = json.loads((tmp_path / "a" / "config.json").read_text()) | {"architecture": "our_resnet"}
    (tmp_path / "a" / "config.json").write_text(json.dumps(config))
    message = refusal(where)
    assert "our_resnet" in message and "--import" in message
    bare = write(tmp_path / "b", tiny("test_resnet", 37).state_dict())
    assert "--model" in refusal(bare, None)
    assert '"resnet18"' in refusal(bare, "resnt18")
    assert '"a1_in1k"' in refusal(bare, "resnet18.a1_in1")


def test_a_named_tag_sets_how_images_are_prepared(tmp_path: Path) -> None:
    where = write(tmp_path, timm.create_model("resnet18", num_classes=2).state_dict())
    assert load(where, "resnet18.a1_in1k", 2).data_config["crop_pct"] == 0.95
    loaded = load(where, "resnet18.tv_in1k", 2)
    assert loaded.data_config["crop_pct"] == 0.875 and loaded.name == "resnet18.tv_in1k"


def test_architectures_that_do_not_suit() -> None:
    assert "aux_head" in refusal(None, "volo_d1_224")


def test_images_of_another_number_of_channels(tmp_path: Path) -> None:
    where = write(tmp_path, timm.create_model("test_resnet", in_chans=1, num_classes=37).state_dict(), "test_resnet")
    config = json.loads((tmp_path / "config.json").read_text())
    config["model_args"] = {"in_chans": 1}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert "1 channels" in refusal(where)


def test_random_weights_follow_the_callers_seed() -> None:
    torch.manual_seed(3)
    first = load(None, "test_resnet", 4)
    torch.manual_seed(3)
    second = load(None, "test_resnet", 4)
    assert first.checkpoint is None and not first.head_loaded
    pairs = zip(first.model.parameters(), second.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


PLUGIN = """
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import nn

class Small(nn.Module):
    def __init__(self, num_classes=10, in_chans=3):
        super().__init__()
        self.num_classes = num_classes
        self.num_features = self.head_hidden_size = 4
        self.conv = nn.Conv2d(in_chans, 4, 3)
        self.top = nn.Linear(4, num_classes)
    def forward_features(self, x):
        return self.conv(x)
    def forward_head(self, x, pre_logits=False):
        x = x.mean((2, 3))
        return x if pre_logits else self.top(x)
    def forward(self, x):
        return self.forward_head(self.forward_features(x))
    def get_classifier(self):
        return self.top

default_cfgs = generate_default_cfgs({
    "plugin_small.none": dict(input_size=(3, 32, 32), num_classes=10, classifier="top"),
})

@register_model
def plugin_small(pretrained=False, **kwargs):
    return build_model_with_cfg(Small, "plugin_small", pretrained, **kwargs)
"""


def test_an_imported_file_registers_its_architecture(tmp_path: Path) -> None:
    (tmp_path / "ftcli_test_plugin.py").write_text(PLUGIN)
    import_file(str(tmp_path / "ftcli_test_plugin.py"))
    assert "ftcli_test_plugin" in sys.modules
    loaded = load(None, "plugin_small", 3)
    assert loaded.data_config["input_size"] == (3, 32, 32) and isinstance(loaded.model.top, nn.Linear)
    where = write(tmp_path / "saved", loaded.model.state_dict())
    assert load(where, "plugin_small", None).head_loaded


@pytest.mark.parametrize("again", ["own_nets.py", "./own_nets.py", "sub/../own_nets.py", "linked.py"])
def test_a_file_is_imported_once_however_its_path_is_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: str
) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "own_nets.py").write_text(
        "import builtins\nbuiltins.own_nets_runs = getattr(builtins, 'own_nets_runs', 0) + 1\n"
    )
    (tmp_path / "linked.py").symlink_to(tmp_path / "own_nets.py")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("builtins.own_nets_runs", 0, raising=False)
    try:
        for path in ("own_nets.py", again, str(tmp_path / "own_nets.py")):
            import_file(path)
        assert sys.modules["builtins"].own_nets_runs == 1  # type: ignore[attr-defined]
    finally:
        sys.modules.pop("own_nets", None)


@pytest.mark.parametrize("command", ["distortion", "interpolate"])
def test_two_models_of_a_file_that_a_relative_path_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    plugin = PLUGIN.replace("plugin_small", f"{command}_small")
    (tmp_path / f"nets_of_{command}.py").write_text(plugin)
    monkeypatch.chdir(tmp_path)
    import_file(f"nets_of_{command}.py")
    for name in ("a", "b"):
        write(tmp_path / name, load(None, f"{command}_small", 3).model.state_dict())
    data = coloured(tmp_path / "data", each=3)
    words = ["--model", f"{command}_small", "--ood", f"far={data}", "--import", f"nets_of_{command}.py", "--threads", 1]
    done = inside(command, "a", "b", *words, "--image-size", 32, "--out", "out", "--json")
    assert done.report["command"] == command


def test_imports_that_fail(tmp_path: Path) -> None:
    (tmp_path / "ftcli_test_broken.py").write_text("raise ValueError('first line\\nsecond')")
    for path, said in (
        ("ftcli_test_broken.py", "ValueError: first line second"),
        ("ftcli_test_brokn.py", '"ftcli_test'),
    ):
        with pytest.raises(RequestError) as caught:
            import_file(str(tmp_path / path))
        assert said in f"{caught.value.problem} {caught.value.fix}"
    assert "ftcli_test_broken" not in sys.modules


def test_a_bare_model_needs_no_download(tmp_path: Path) -> None:
    name, model = load_structure(Blocks(checkpoint="resnet18.tv_in1k"))
    assert name == "resnet18.tv_in1k" and model.fc.weight.shape == (1000, 512) and model.fc.weight.is_meta
    where = write(tmp_path, tiny("test_vit", 37).state_dict(), "test_vit")
    name, model = load_structure(Blocks(checkpoint=where))
    assert name == "test_vit.r160_in1k" and model.head.weight.shape == (37, 64)
    with pytest.raises(RequestError, match="resnt18"):
        load_structure(Blocks(checkpoint="resnt18"))


@pytest.mark.real
def test_the_real_checkpoints(data_dir: Path) -> None:
    import_file(str(data_dir / "plugins" / "cifar_resnet.py"))
    small = load(str(data_dir / "checkpoints" / "resnet20-cifar10"), num_classes=None)
    assert small.head_loaded and small.label_names is not None and small.label_names[0] == "airplane"
    large = load(str(data_dir / "checkpoints" / "mobilenetv2-imagenet"), num_classes=7, image_size=112)
    assert not large.head_loaded and large.data_config["mean"] == (0.5, 0.5, 0.5)
    assert large.create_args["pad_type"] == "same"

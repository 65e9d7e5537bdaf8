"""Test-time adaptation: as far as a plain loop says, on nothing but what was chosen, and without a label."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ftcli.config.adapting import Adapt
from ftcli.data.images import ImageSet
from ftcli.data.task import Task, build_task
from ftcli.data.transforms import augmentation, evaluation
from ftcli.engine.device import machine_of
from ftcli.engine.training_run import snapshot
from ftcli.engine.tta.adapter import RULES, Adapter
from ftcli.engine.tta.batches import stream_of
from ftcli.errors import RequestError, RunError
from ftcli.log import Log
from ftcli.measures.stream_accuracy import accuracy_curve
from ftcli.methods.adapt import chosen_tensors
from ftcli.model.loading.save import save_model
from ftcli.report.schema import report_from
from ftcli.seeds import derive_seed
from tests.helpers.notes import Notes
from tests.helpers.plain_loop import float64, precise
from tests.helpers.program import SMALL, inside, read
from tests.helpers.tiny import SIDE, SIX
from tests.helpers.worlds import DATA_CONFIG, coloured, loaded, moved

CLASSES = ("class0", "class1", "class2")
BATCH_NORMS = ("test_resnet", "test_efficientnet", "mobilenetv3_small_050")
CONFIG_32 = {**DATA_CONFIG, "input_size": (3, 32, 32)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eighteen images of three classes."""
    return coloured(tmp_path_factory.mktemp("adapt") / "set", each=6)


def request(**options: Any) -> Adapt:
    return Adapt(**{"checkpoint": "some", "ood": ["far=some"], "batch_size": 9, "threads": 1, **options})


def task_of(folder: Path) -> Task:
    return build_task(
        train=None, id_val=None, id_test=None, ood=[("far", str(folder))], split_seed=0, damaged="stop", log=Log(),
        classes=CLASSES,
    )  # fmt: skip


def along(model: nn.Module, data: ImageSet, config: Adapt, names: list[str], cfg: dict = CONFIG_32) -> tuple[Any, ...]:
    """The logits along the stream of a set, the order, the adapter and the stream."""
    machine = machine_of(config)
    stream = stream_of(data, cfg, machine, config, Log(), None)
    adapter = Adapter(
        machine.place(model), names, RULES[config.method], machine, lr=config.lr, steps=config.steps,
        episodic=config.episodic,
    )  # fmt: skip
    predictions = adapter.run(stream, "test", None, Log())
    return predictions.along(), predictions.order(), adapter, stream


def images_of(data: ImageSet) -> Tensor:
    """[N, 3, 32, 32] float64, as evaluation sees them, in the set's order."""
    transform = evaluation(CONFIG_32)
    return torch.stack([plain_tensor(transform.prepare(data.image(i))) for i in range(len(data))])


def plain_tensor(pixels: np.ndarray) -> Tensor:
    return (torch.from_numpy(pixels).double().permute(2, 0, 1) / 255 - 0.5) / 0.5


def order_of(n: int, seed: int) -> Tensor:
    return torch.randperm(n, generator=torch.Generator().manual_seed(derive_seed("order", seed, 0)))


def without_statistics(model: nn.Module) -> nn.Module:
    """A copy whose BatchNorms have never had running statistics, so that they can only use a batch's."""
    copy = deepcopy(model).eval()
    for module in copy.modules():
        if isinstance(module, _BatchNorm):
            module.running_mean = module.running_var = module.num_batches_tracked = None
            module.track_running_stats = False
    return copy


def plain_entropy(p: Tensor) -> Tensor:
    return -(p * p.log()).sum(-1)


def plain_tent(model: nn.Module, names: list[str], images: Tensor, config: Adapt) -> Tensor:
    """The paper's algorithm in a few lines: logits [N, K] in the set's order."""
    start, answers = without_statistics(model), torch.empty(len(images), 3, dtype=torch.float64)
    for number, batch in enumerate(order_of(len(images), config.seed).split(config.batch_size)):
        if number == 0 or config.mode == "episodic":
            network = deepcopy(start)
            adam = torch.optim.Adam([dict(network.named_parameters())[name] for name in names], lr=config.lr)
        for _ in range(config.steps):
            logits = network(images[batch])
            adam.zero_grad()
            plain_entropy(logits.softmax(1)).mean().backward()
            adam.step()
        answers[batch] = (network(images[batch]) if config.mode == "episodic" else logits).detach()
    return answers


def plain_memo(model: nn.Module, names: list[str], data: ImageSet, config: Adapt) -> Tensor:
    """One image after another: a step on the mean prediction over its views, then the answer to the image itself."""
    transform, V = augmentation(CONFIG_32, config.augment), config.augmentations
    generator = np.random.Generator(np.random.PCG64(derive_seed("augmentation", config.seed, 0)))
    numbers = generator.random((len(data), V, transform.numbers))
    network, images = deepcopy(model).eval(), images_of(data)
    answers = torch.empty(len(data), 3, dtype=torch.float64)
    for i in order_of(len(data), config.seed).tolist():
        if config.mode == "episodic":
            network = deepcopy(model).eval()
        pixels = transform.prepare(data.image(i))
        views = torch.stack([plain_tensor(transform.draw(pixels, u)) for u in numbers[i]])
        tuned = [dict(network.named_parameters())[name] for name in names]
        for _ in range(config.steps):
            gradients = torch.autograd.grad(plain_entropy(network(views).softmax(1).mean(0)), tuned)
            with torch.no_grad():
                for tensor, gradient in zip(tuned, gradients, strict=True):
                    tensor.sub_(config.lr * gradient)
        with torch.no_grad():
            answers[i] = network(images[i : i + 1])[0]
    return answers


@pytest.mark.parametrize("options", [{}, {"steps": 3}, {"blocks": ("first",)}, {"tensors": "all", "seed": 4}], ids=str)
@pytest.mark.parametrize("mode", ["online", "episodic"])
@float64
def test_tent_equals_a_plain_loop(folder: Path, mode: str, options: dict[str, Any]) -> None:
    config, model = request(mode=mode, lr=1e-2, **options), precise("test_resnet").model
    data = task_of(folder).ood["far"]
    names = chosen_tensors(model, config, Log())[config.blocks[0]]
    expected = plain_tent(model, names, images_of(data), config)
    found, order, *_ = along(model, data, config, names)
    assert torch.equal(order, order_of(len(data), config.seed))
    assert (found - expected).abs().max() < 1e-6 * expected.abs().max()
    untuned = plain_tent(model, names, images_of(data), replace(config, lr=1e-12))
    assert (found - untuned).abs().max() > 1e-4 * expected.abs().max()


@pytest.mark.parametrize("options", [{}, {"steps": 2}, {"blocks": ("last",), "augment": "standard"}], ids=str)
@pytest.mark.parametrize("mode", ["online", "episodic"])
@float64
def test_memo_equals_a_plain_loop(tmp_path: Path, mode: str, options: dict[str, Any]) -> None:
    config = request(method="memo", mode=mode, lr=1e-2, augmentations=4, seed=1, **options)
    model, data = precise("test_resnet").model, task_of(coloured(tmp_path / "set", each=1)).ood["far"]
    names = chosen_tensors(model, config, Log())[config.blocks[0]]
    expected = plain_memo(model, names, data, config)
    found, *_ = along(model, data, config, names)
    assert (found - expected).abs().max() < 1e-6 * expected.abs().max()
    for change in ({"lr": 1e-12}, {"seed": 2}):
        other = plain_memo(model, names, data, replace(config, **change))
        assert (found - other).abs().max() > 1e-5 * expected.abs().max(), change


def cases() -> Iterator[tuple[str, str, str, str]]:
    for name in SIX:
        for method in ("tent", "memo") if name in BATCH_NORMS else ("memo",):
            tensors = "norm" if method == "tent" else "all"
            yield from ((name, method, choice, tensors) for choice in ("first", "all"))
    yield from (("test_resnet", "tent", choice, "norm") for choice in ("last", "none"))
    yield "test_resnet", "memo", "head", "all"
    yield "test_resnet", "memo", "middle", "norm"


@pytest.mark.parametrize(("name", "method", "choice", "tensors"), list(cases()), ids=str)
def test_nothing_else_moves_and_nothing_stays_moved(
    folder: Path, name: str, method: str, choice: str, tensors: str
) -> None:
    network = loaded(name).model
    config = request(method=method, blocks=(choice,), tensors=tensors, mode="online", lr=0.1, augmentations=2)
    names = chosen_tensors(network, config, Log())[choice]
    before, data = snapshot(network), task_of(folder).ood["far"]
    few = data.select(np.arange(10))
    cfg = {**DATA_CONFIG, "input_size": (3, SIDE, SIDE)}
    *_, adapter, _ = along(network, few, config, names, cfg)
    changed = moved(before, network)
    if method == "memo" and name not in BATCH_NORMS:  # keys' biases and the like have no gradient
        assert changed <= set(names) and len(changed) >= 0.8 * len(names)
    else:
        assert changed == set(names)
    adapter.restore()
    assert moved(before, network) == set()


@pytest.mark.parametrize("method", ["tent", "memo"])
def test_episodic_leaves_every_byte(folder: Path, method: str) -> None:
    network, data = loaded("test_resnet").model, task_of(folder).ood["far"]
    before = {name: tensor.numpy().tobytes() for name, tensor in snapshot(network).items()}
    names = [name for name, _ in network.named_parameters()]
    config = request(method=method, mode="episodic", tensors="all", lr=0.5, augmentations=2)
    still, *_ = along(network, data, replace(config, lr=1e-12), names)
    found, *_ = along(network, data, config, names)
    assert (found - still).abs().max() > 1e-2
    assert {name: tensor.numpy().tobytes() for name, tensor in snapshot(network).items()} == before
    assert all(not module.training for module in network.modules())


def test_a_last_image_goes_with_the_batch_before_it(folder: Path) -> None:
    data = task_of(folder).ood["far"]
    odd = data.select(np.arange(17))
    found, _, _, stream = along(loaded("test_resnet").model, odd, request(batch_size=8), [])
    assert [len(piece.rows) for piece in stream.batches()] == [8, 9] and stream.steps == 2
    alone, network = order_of(17, 0)[8:], without_statistics(loaded("test_resnet").model)
    expected = network(images_of(odd).float()[alone]).detach()
    assert (found[alone] - expected).abs().max() < 1e-4 * expected.abs().max()
    with pytest.raises(RequestError, match="one image"):
        one = data.select(np.arange(1))
        stream_of(one, CONFIG_32, machine_of(request()), request(), Log(), None)


def test_views_are_drawn_by_example_and_seed(folder: Path) -> None:
    config = request(method="memo", augment="standard", augmentations=3)

    def views(data: ImageSet, seed: int = 0, workers: int = 0) -> dict[int, Tensor]:
        machine = replace(machine_of(config), workers=workers)
        stream = stream_of(data, CONFIG_32, machine, replace(config, seed=seed), Log(), None)
        return {int(piece.rows): piece.views for piece in stream.batches()}

    data = task_of(folder).ood["far"]
    part = data.select(np.arange(7))
    every, few = views(data), views(part)
    assert all(seen.shape == (3, 3, 32, 32) for seen in every.values())
    assert all(torch.equal(few[i], every[i]) for i in range(7))
    assert all(torch.equal(seen, every[i]) for i, seen in views(data, workers=2).items())
    assert not any(torch.equal(seen, every[i]) for i, seen in views(data, seed=1).items())
    assert not any(torch.equal(one, other) for one, other, _ in every.values())


def test_views_of_a_shuffled_set_are_shuffled_one_by_one(folder: Path) -> None:
    config = request(method="memo", augmentations=2)

    def views(spec: str) -> list[Tensor]:
        data = task_of(Path(spec)).ood["far"]
        return [piece.views for piece in stream_of(data, CONFIG_32, machine_of(config), config, Log(), None).batches()]

    def blocks(view: Tensor) -> list[list[float]]:
        """The blocks of 16 x 16 pixels, sorted."""
        return sorted(view.unfold(1, 16, 16).unfold(2, 16, 16).permute(1, 2, 0, 3, 4).reshape(4, -1).tolist())

    for plain, shuffled in zip(views(str(folder)), views(f"{folder}?shuffle=16:1"), strict=True):
        assert plain.shape == shuffled.shape and not torch.equal(plain, shuffled)
        assert [blocks(view) for view in plain] == [blocks(view) for view in shuffled]


@pytest.mark.parametrize("method", ["tent", "memo"])
def test_labels_are_not_seen(folder: Path, method: str) -> None:
    data, config = task_of(folder).ood["far"], request(method=method, lr=0.1, augmentations=2)
    other = replace(data, labels=(data.labels + 1) % 3)
    network = loaded("test_resnet").model
    names = chosen_tensors(network, config, Log())["all"]
    (one, *_, adapter, _), two = along(network, data, config, names), None
    adapter.restore()
    two, *_ = along(network, other, config, names)
    assert torch.equal(one, two)


def test_weights_that_run_away_are_an_error(folder: Path) -> None:
    network = loaded("test_resnet").model
    names = [name for name, _ in network.named_parameters()]
    with pytest.raises(RunError, match="not finite") as ended:
        along(network, task_of(folder).ood["far"], request(lr=1e30, tensors="all", batch_size=3), names)
    assert "--lr" in ended.value.fix


def test_the_curve_is_the_accuracy_so_far() -> None:
    correct = np.random.default_rng(0).random(47) < 0.6
    found = accuracy_curve(correct)
    assert [n for n, _ in found] == [int(np.ceil(47 * k / 20)) for k in range(1, 21)]
    assert all(accuracy == pytest.approx(sum(correct[:n]) / n) for n, accuracy in found)
    assert accuracy_curve(correct[:3]) == [[n, correct[:n].mean()] for n in (1, 2, 3)]


def test_each_leaves_out_what_has_nothing_to_tune() -> None:
    network, log = loaded("test_resnet").model, Notes()
    found = chosen_tensors(network, request(blocks=("each",)), log)
    assert list(found) == ["first", "layer2", "layer3", "layer4"]
    assert log.notes == ["head is left out: no normalisation layer with parameters is there"]
    assert "head" in chosen_tensors(network, request(blocks=("each",), tensors="all"), log)


@pytest.mark.parametrize(
    ("name", "options", "problem", "fix"),
    [
        ("test_vit", {}, "no BatchNorm", "--method memo"),
        ("test_convnext", {"blocks": ("none",)}, "no BatchNorm", "--method memo"),
        ("test_resnet", {"blocks": ("first", "head")}, "--blocks head", "--tensors all"),
        ("mobilenetv3_small_050", {"blocks": ("last",)}, "--blocks last", "--tensors all"),
        ("test_resnet", {"blocks": ("layer9",)}, "layer9", "layer"),
        ("test_resnet", {"merge": 99}, "--merge 99", "--merge 5"),
    ],
    ids=str,
)
def test_refused_by_the_network(name: str, options: dict[str, Any], problem: str, fix: str) -> None:
    with pytest.raises(RequestError) as refused:
        chosen_tensors(loaded(name).model, request(**options), Log())
    assert problem in refused.value.problem and fix in refused.value.fix


@pytest.mark.parametrize(
    ("options", "problem", "fix"),
    [
        ({"checkpoint": None}, "No checkpoint", "--checkpoint WHERE"),
        ({"ood": None}, "No set", "--ood NAME=SPEC"),
        ({"lr": 0.0}, "--lr 0", "above 0"),
        ({"lr": float("nan")}, "--lr nan", "finite"),
        ({"batch_size": 1}, "--batch-size 1", "--method memo"),
        ({"method": "memo", "augment": "none"}, "--augment none", "light"),
        ({"precision": "fp16"}, "fp16", "bf16"),
    ],
    ids=str,
)
def test_refused(options: dict[str, Any], problem: str, fix: str) -> None:
    with pytest.raises(RequestError) as refused:
        request(**options)
    assert problem in refused.value.problem and fix in refused.value.fix


def test_several_processes_are_refused() -> None:
    with mock.patch.dict("os.environ", WORLD_SIZE="2"), pytest.raises(RequestError, match="2 processes"):
        chosen_tensors(loaded("test_resnet").model, request(), Log())


@pytest.fixture(scope="module")
def words(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The command on a checkpoint that knows the classes; the second set has two of them only."""
    root = tmp_path_factory.mktemp("program")
    network = loaded("test_resnet")
    save_model(root / "model", network, network.model, CLASSES)
    part = coloured(root / "part", classes=2, each=5, seed=7)
    return ["--checkpoint", root / "model", "--id-test", folder, "--ood", f"part={part}", *SMALL]


def test_the_report(words: list[Any], folder: Path, tmp_path: Path) -> None:
    ended = inside("adapt", *words, "--blocks", "first,none", "--lr", 0.05, "--batch-size", 6, "--out", tmp_path / "a")
    assert ended.returncode == 0, ended.stderr
    assert "TENT, online" in ended.stdout and "first" in ended.stdout and "nothing was picked" in ended.stdout
    report = read(tmp_path / "a")
    assert report_from(report) == report and report["selected"] is None and report["runs"] == []
    assert list(report["choices"]) == ["first", "none"]
    first, none = report["choices"].values()
    assert report["results"] == first["results"] and first["blocks"] == ["stem", "layer1"]
    assert (first["mode"], first["tensors"], none["trainable"]) == ("online", "norm", 0)
    for name in ("id_test", "part"):
        figures, adaptation = (first["results"] | first["results"]["ood"])[name], first["adaptation"][name]
        assert adaptation["stream"] == figures["accuracy"] == adaptation["curve"][-1][1]
        assert adaptation["before"] == (report["before"] | report["before"]["ood"])[name]["accuracy"]
        assert none["adaptation"][name]["after"] == none["adaptation"][name]["stream"]
    assert "accuracy_all_classes" in first["results"]["ood"]["part"]  # answers keep to the classes that a set covers
    rows = pq.read_table(tmp_path / "a" / "predictions.parquet").to_pylist()
    right = [row["label"] == row["predicted"] for row in rows if row["set"] == "part"]
    assert np.mean(right) == first["adaptation"]["part"]["stream"]
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        "logits.safetensors",
        "predictions.parquet",
        "report.json",
    ]
    sets = [word for word in words[1:] if word not in ("--augment", "none")]
    judged = inside("evaluate", *sets, "--batch-size", 6, "--out", tmp_path / "b", "--json").report
    assert judged["results"] == report["before"]
    again = inside("report", tmp_path / "a", COLUMNS="100")
    assert again.returncode == 0 and "so far" in again.stdout


def test_the_report_of_memo(words: list[Any], tmp_path: Path) -> None:
    options = ["--method", "memo", "--augment", "light", "--augmentations", 3, "--blocks", "none,all", "--json"]
    report = inside("adapt", *words, *options, "--out", tmp_path / "a").report
    assert report_from(report) == report
    none, every = report["choices"].values()
    assert (every["mode"], every["tensors"]) == ("episodic", "all")
    assert every["trainable"] == report["model"]["parameters"]
    for name, entry in none["adaptation"].items():  # nothing tuned, and no statistics of a batch: as it is
        assert entry["before"] == entry["stream"] == entry["after"], name
    assert none["results"]["id_test"]["loss"] == pytest.approx(report["before"]["id_test"]["loss"], rel=1e-5)
    assert all(entry["after"] == entry["stream"] for entry in every["adaptation"].values())


def test_refused_before_anything_is_written(words: list[Any], tmp_path: Path) -> None:
    ended = inside("adapt", *words, "--blocks", "head", "--out", tmp_path / "a")
    assert ended.returncode == 2 and "--tensors all" in ended.stderr and not (tmp_path / "a").exists()


@pytest.mark.real
def test_on_real_images(data_dir: Path, tmp_path: Path) -> None:
    words = [
        "--checkpoint", data_dir / "checkpoints" / "resnet20-cifar10",
        "--import", data_dir / "plugins" / "cifar_resnet.py",
        "--threads", 1, "--json",
    ]  # fmt: skip
    some, few = (["--id-test", f"{data_dir}/cifar10/test.parquet?limit={n}:0"] for n in (200, 40))
    tent = inside("adapt", *words, *some, "--batch-size", 100, "--out", tmp_path / "tent").report
    memo = inside("adapt", *words, *few, "--method", "memo", "--augmentations", 4, "--out", tmp_path / "memo").report
    assert tent["before"]["id_test"]["accuracy"] > 0.75
    for report, n in ((tent, 200), (memo, 40)):
        assert report_from(report) == report
        entry = report["choices"]["all"]["adaptation"]["id_test"]
        assert abs(entry["stream"] - entry["before"]) < 0.1 and entry["curve"][-1] == [n, entry["stream"]]

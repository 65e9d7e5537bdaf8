"""The loop against a loop written plainly, and its promises: order, divergence, what moves and what does not."""

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from ftcli.cli.main import configuration_of
from ftcli.commands import method_of
from ftcli.config.declare import Numbers
from ftcli.engine.device import machine_of
from ftcli.engine.plan import always
from ftcli.engine.select import Candidate, best
from ftcli.engine.train import fit
from ftcli.engine.training.divergence import Diverged, LossWatch
from ftcli.engine.training.optim import rate_factor
from ftcli.engine.training_run import snapshot
from ftcli.errors import RunError
from ftcli.log import Log
from ftcli.methods.initial_head import copy_with_fresh_head
from ftcli.model.head import classifier_tensors
from tests.helpers.tiny import SIX
from tests.helpers.worlds import coloured, loaded, moved, world


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return coloured(tmp_path_factory.mktemp("train"))


def everything(model: nn.Module) -> list[str]:
    return [name for name, _ in model.named_parameters()]


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("bn", ["train", "eval"])
def test_equals_a_plain_loop(folder: Path, optimizer: str, bn: str) -> None:
    inputs, config = world(folder, "finetune", optimizer=optimizer, bn=bn, epochs=2, weight_decay=1e-2, pick="last")
    model = copy_with_fresh_head(loaded("test_resnet").model, inputs, seed=3)
    plain = copy_with_fresh_head(loaded("test_resnet").model, inputs, seed=3)
    run = fit(model, always(everything(model)), 1e-2, config, inputs, 3, Log())

    rules = {
        "sgd": lambda p: torch.optim.SGD(p, 1e-2, momentum=0.9, weight_decay=1e-2),
        "adam": lambda p: torch.optim.Adam(p, 1e-2, weight_decay=1e-2),
        "adamw": lambda p: torch.optim.AdamW(p, 1e-2, weight_decay=1e-2),
    }
    update, step = rules[optimizer](plain.parameters()), 0
    assert inputs.train is not None
    total = 2 * inputs.train.steps(skip_single=bn == "train")
    for epoch in (1, 2):
        plain.train(bn == "train")
        for images, labels, *_ in inputs.train.shuffled(3, epoch, skip_single=bn == "train"):
            for group in update.param_groups:
                group["lr"] = 1e-2 * 0.5 * (1 + math.cos(math.pi * step / total))
            update.zero_grad()
            nn.functional.cross_entropy(plain(images), labels).backward()
            update.step()
            step += 1
    assert step == total
    assert run.candidate is not None and run.candidate.epoch == 2
    for name, tensor in plain.state_dict().items():
        torch.testing.assert_close(run.candidate.state[name], tensor, rtol=1e-6, atol=1e-7, msg=name)


def test_rate_over_time() -> None:
    factor = rate_factor("cosine", 1.0, 4, steps_per_epoch=10)
    rises = [factor(step) for step in range(10)]
    assert rises == sorted(rises) and 0 < rises[0] < 0.2
    assert factor(10) == 1.0
    assert factor(25) == pytest.approx(0.5)
    assert factor(40) == pytest.approx(0.0)
    assert {rate_factor("constant", 0.0, 4, 10)(step) for step in range(40)} == {1.0}


@pytest.mark.parametrize("milestones", [[30, 60, 90], [1], [99]])
def test_steps_are_those_of_torch(milestones: list[int]) -> None:
    """MultiStepLR, stepped once an epoch: the rate of every step is that of its epoch."""
    factor = rate_factor(f"step:{','.join(map(str, milestones))}", 0.0, 100, steps_per_epoch=3)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones, gamma=0.1)
    for epoch in range(100):
        assert [factor(3 * epoch + step) for step in range(3)] == pytest.approx([theirs.get_last_lr()[0]] * 3)
        optimizer.step()
        theirs.step()


def test_steps_come_after_the_warm_up() -> None:
    constant, steps = (rate_factor(schedule, 2.0, 5, 10) for schedule in ("constant", "step:2,4"))
    assert [steps(step) for step in range(20)] == [constant(step) for step in range(20)]
    assert [steps(step) for step in (20, 39, 40, 49)] == pytest.approx([0.1, 0.1, 0.01, 0.01])


@pytest.mark.parametrize("name", SIX)
@pytest.mark.parametrize(
    ("command", "options"),
    [("probe", {}), ("probe", {"solver": "sgd"}), ("finetune", {}), ("finetune", {"bn": "eval"}), ("lpft", {})],
)
def test_moves_exactly_what_it_should(folder: Path, name: str, command: str, options: dict) -> None:
    inputs, config = world(folder, command, epochs=1, lr=Numbers((1e-2,)), **options)
    network = loaded(name)
    before = snapshot(network.model)
    head = set(classifier_tensors(network.model))
    parameters = set(everything(network.model))
    buffers = set(before) - parameters
    trained = method_of(command)(network, inputs, config, Log())
    network.model.load_state_dict(trained.best.state)
    changed = moved(before, network.model)
    if command == "probe":
        assert changed == head
    elif config.bn == "eval":
        assert changed == parameters
    else:  # a bias just before batch normalisation has no effect there, hence no gradient but rounding
        assert changed <= parameters | buffers
        assert all(tensor.endswith(".bias") for tensor in (parameters | buffers) - changed)


def test_the_pick_follows_the_rule() -> None:
    def candidate(accuracy: float, loss: float, lr: float = 1.0, epoch: int = 1, seed: int = 0) -> Candidate:
        return Candidate(seed, accuracy, loss, epoch=epoch, lr=lr)

    assert best([candidate(0.8, 1.0), candidate(0.9, 9.0)]).accuracy == 0.9
    assert best([candidate(0.9, 2.0), candidate(0.9, 1.0)]).loss == 1.0
    assert best([candidate(0.9, 1.0, lr=2.0), candidate(0.9, 1.0, lr=1.0)]).lr == 1.0
    assert best([candidate(0.9, 1.0, epoch=2), candidate(0.9, 1.0, epoch=1)]).epoch == 1
    assert best([candidate(0.9, 1.0, seed=1), candidate(0.9, 1.0, seed=0)]).seed == 0
    assert best([candidate(0.9, 1.0, lr=1.0, epoch=9), candidate(0.9, 1.0, lr=2.0, epoch=1)]).lr == 1.0
    small, large = Candidate(0, 0.9, 1.0, C=0.1), Candidate(0, 0.9, 1.0, C=1.0)
    assert best([large, small]) is small
    with pytest.raises(RunError, match="diverged"):
        best([])


def test_the_history_holds_the_pick(folder: Path) -> None:
    inputs, config = world(folder, "finetune", epochs=4, epoch_zero=True, lr=Numbers((3e-3,)))
    trained = method_of("finetune")(loaded("test_resnet"), inputs, config, Log())
    history = trained.runs[0]["history"]
    assert [epoch["epoch"] for epoch in history] == [0, 1, 2, 3, 4]
    top = min(history, key=lambda epoch: (-epoch["id_val"]["accuracy"], epoch["id_val"]["loss"], epoch["epoch"]))
    assert trained.best.epoch == top["epoch"]
    assert history[0]["loss"] is None and history[-1]["loss"] < history[1]["loss"]


def test_divergence_is_recorded_and_never_picked(folder: Path) -> None:
    inputs, config = world(folder, "finetune", epochs=2, lr=Numbers((1e-3, 1e30)))
    trained = method_of("finetune")(loaded("test_resnet"), inputs, config, Log())
    assert [run["diverged"] for run in trained.runs] == [False, True]
    assert trained.best.lr == 1e-3
    assert trained.runs[1]["id_val"] is None and "epoch 1" in trained.runs[1]["reason"]
    inputs, config = world(folder, "finetune", epochs=2, lr=Numbers((1e30,)))
    with pytest.raises(RunError, match="diverged"):
        method_of("finetune")(loaded("test_resnet"), inputs, config, Log())


@pytest.mark.parametrize(("first", "ceiling"), [(1e-9, 1e4), (0.5, 1e4), (2.0, 2e4)])
def test_a_start_that_fits_the_first_batch_has_a_loss_near_0(first: float, ceiling: float) -> None:
    """So the ceiling has a floor: an ordinary loss after it is no divergence."""
    watch = LossWatch(machine_of(configuration_of(["finetune", "--train", "x", "--device", "cpu"])))
    watch.add([torch.tensor(first, dtype=torch.float64)])
    watch.read()
    watch.check(0.99 * ceiling)
    with pytest.raises(Diverged):
        watch.check(1.01 * ceiling)


def test_a_run_does_not_depend_on_what_ran_before(folder: Path) -> None:
    alone = world(folder, "finetune", epochs=2, lr=Numbers((1e-2,)), augment="standard")
    after = world(folder, "finetune", epochs=2, lr=Numbers((1e-3, 1e-2)), augment="standard", seed=Numbers((0, 1)))
    one = method_of("finetune")(loaded("test_efficientnet"), *alone, Log()).runs
    many = method_of("finetune")(loaded("test_efficientnet"), *after, Log()).runs
    same = [run for run in many if run["seed"] == 0 and run["lr"] == 1e-2]
    drop = lambda run: [{**epoch, "seconds": 0} for epoch in run["history"]]  # noqa: E731
    assert drop(one[0]) == drop(same[0])


def test_edges_of_the_grid_are_warned_about(folder: Path) -> None:
    log = Log()
    inputs, config = world(folder, "finetune", epochs=1, lr=Numbers((1e-9, 1e-8)))
    trained = method_of("finetune")(loaded("test_resnet"), inputs, config, log)
    assert trained.best.edge_of_grid and log.warnings[0]["code"] == "edge-of-grid"

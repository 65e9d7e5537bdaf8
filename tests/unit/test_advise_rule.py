"""The decision rule of `ftcli advise`, one piece of hand-made evidence for each rule and each way out of it."""

from dataclasses import replace

import pytest

from ftcli.explain.advise.rule import Signals, decide
from ftcli.explain.advise.types import Regained

BLOCKS = ["stem", "layer1", "layer2", "layer3", "layer4", "layer5"]


def gain(value: float, width: float = 0.02) -> Regained:
    """An intervention that regains so much."""
    return Regained(0.5, value, [value - width, value + width])


def onset(at: int) -> dict[str, list[float]]:
    """An AUC of 0.95 from a block on, and 0.5 before it."""
    return {"auc": [0.95 if i >= at else 0.5 for i in range(6)], "p": [0.003 if i >= at else 0.8 for i in range(6)]}


SEEN = Signals(
    n=300, loss=0.2, loss_p=1e-6, detectable=0.04, labels_p=0.5, explained=False, by_class_p=0.003, blocks=BLOCKS,
    **onset(0), head=gain(0.05), batch_norm=gain(0.15), norms={"layer2": 2.0, "fc": 3.0, "stem": 1.0},
)  # fmt: skip
NOTHING = onset(9)


def test_no_loss_means_no_shift() -> None:
    """R0 comes first: features that differ do not matter where nothing is lost."""
    found = decide(replace(SEEN, loss=0.01, loss_p=0.3))
    assert (found.shift, found.sure, found.rule, found.blocks) == ("none", "sure", "R0", [])
    assert "4.0 points would have been found" in found.reason
    assert decide(replace(SEEN, loss_p=0.011)).shift == "none"
    assert decide(replace(SEEN, loss_p=0.01)).shift != "none"


def test_a_test_without_power_is_not_sure() -> None:
    assert decide(replace(SEEN, loss=0.01, loss_p=0.3, detectable=0.06)).sure == "leaning"
    assert decide(replace(SEEN, loss=0.03, loss_p=0.02)).sure == "leaning"


def test_label_shift_needs_all_three() -> None:
    """R1: the shares differ, explain the accuracy, and nothing differs within classes."""
    label = replace(SEEN, labels_p=1e-5, explained=True, by_class_p=0.4)
    assert (decide(label).shift, decide(label).sure, decide(label).rule, decide(label).blocks) == (
        "label", "sure", "R1", [],
    )  # fmt: skip
    for other in ({"labels_p": 0.02}, {"explained": False}, {"by_class_p": 0.004}):
        assert decide(replace(label, **other)).shift == "input", other
    assert decide(replace(label, by_class_p=0.05)).sure == "leaning"
    assert decide(replace(label, by_class_p=None)).sure == "leaning"


def test_unchanged_features_mean_changed_labels() -> None:
    """R2: no intervention is asked."""
    found = decide(replace(SEEN, **NOTHING, head=None, batch_norm=None))
    assert (found.shift, found.sure, found.rule, found.blocks) == ("output", "sure", "R2", ["head"])
    near = replace(SEEN, auc=[0.55] * 6, p=[0.05, *[0.6] * 5])
    assert (decide(near).rule, decide(near).sure) == ("R2", "leaning")


@pytest.mark.parametrize(("head", "batch_norm", "applies"), [
    (0.05, 0.02, True), (0.19, 0.10, True), (0.05, 0.15, True), (0.10, 0.09, False), (0.19, 0.05, False),
])  # fmt: skip
@pytest.mark.parametrize("at", [0, 1, 2])
def test_input_shift(head: float, batch_norm: float, applies: bool, at: int) -> None:
    """R3: from one of the first two blocks on, and BatchNorm regains half the loss or a fresh head less than half."""
    found = decide(replace(SEEN, **onset(at), head=gain(head), batch_norm=gain(batch_norm)))
    assert (found.rule == "R3") == (applies and at < 2)
    if found.rule == "R3":
        assert (found.shift, found.blocks) == ("input", ["first"])


def test_input_shift_without_batch_norm() -> None:
    assert decide(replace(SEEN, batch_norm=None)).rule == "R3"
    assert decide(replace(SEEN, batch_norm=None, head=gain(0.12))).rule != "R3"


def test_how_sure_an_input_shift_is() -> None:
    """The interval of one of the interventions is on its side of the threshold."""
    assert decide(SEEN).sure == "sure"
    assert decide(replace(SEEN, head=gain(0.09), batch_norm=gain(0.101))).sure == "leaning"
    assert decide(replace(SEEN, head=gain(0.07), batch_norm=gain(0.101))).sure == "sure"


def test_a_small_area_is_no_onset() -> None:
    """Significant at a block, but below 0.6: not yet."""
    found = decide(replace(SEEN, auc=[0.59, 0.59, 0.9, 0.9, 0.9, 0.9], p=[0.003] * 6))
    assert found.rule == "R5"


def test_a_head_that_suffices() -> None:
    """R4, wherever the features begin to differ."""
    for at in (0, 3):
        found = decide(replace(SEEN, **onset(at), head=gain(0.17, 0.03), batch_norm=gain(0.0)))
        assert (found.shift, found.rule, found.blocks, found.sure) == ("output", "R4", ["head"], "leaning")
    assert decide(replace(SEEN, **onset(3), head=gain(0.19), batch_norm=gain(0.0))).sure == "sure"


def test_feature_shift() -> None:
    """R5: the block with the steepest rise of the AUC."""
    found = decide(replace(SEEN, **onset(3), head=gain(0.12), batch_norm=gain(0.0)))
    assert (found.shift, found.rule, found.blocks, found.sure) == ("feature", "R5", ["layer3"], "sure")
    early = replace(SEEN, auc=[0.62, 0.63, 0.64, 0.8, 0.8, 0.8], p=[0.003] * 6, head=gain(0.12), batch_norm=gain(0.0))
    assert (decide(early).rule, decide(early).blocks, decide(early).sure) == ("R5", ["layer3"], "leaning")


def test_a_slow_rise_gives_the_middle() -> None:
    slow = replace(SEEN, auc=[0.56, 0.59, 0.62, 0.66, 0.7, 0.74], p=[0.003] * 6, head=gain(0.12))
    assert (decide(slow).rule, decide(slow).blocks) == ("R5", ["middle"])


def test_everything_else_is_mixed() -> None:
    """R6: blocks by the norm of their gradients."""
    found = decide(replace(SEEN, auc=[0.9] * 6, p=[0.003] * 6, head=gain(0.12), batch_norm=gain(0.0)))
    assert (found.shift, found.sure, found.rule, found.blocks) == ("mixed", "tied", "R6", ["fc", "layer2", "stem"])


def test_few_images_are_never_sure() -> None:
    assert decide(SEEN).sure == "sure"
    found = decide(replace(SEEN, n=99))
    assert found.sure == "leaning" and "99 images" in found.reason


UNLABELLED = replace(
    SEEN, loss=None, loss_p=None, detectable=None, explained=None, head=None, batch_norm=None, norms=None
)


@pytest.mark.parametrize(("more", "shift", "blocks"), [
    ({"labels_p": 1e-4, "by_class_p": 0.5}, "label", []),
    ({"labels_p": 1e-4, "by_class_p": None}, "input", ["first"]),
    ({"labels_p": 1e-4, "by_class_p": 0.003}, "input", ["first"]),
    (NOTHING, "none", []),
    (onset(3), "feature", ["layer3"]),
    ({"auc": [0.58] * 6, "p": [0.003] * 6}, "mixed", [*BLOCKS, "head"]),
])  # fmt: skip
def test_without_labels_nothing_is_sure(more: dict[str, object], shift: str, blocks: list[str]) -> None:
    found = decide(replace(UNLABELLED, **more))
    assert (found.shift, found.blocks) == (shift, blocks)
    assert found.sure == ("tied" if shift == "mixed" else "leaning") and "without labels" in found.reason


def test_reasons_say_no_more_than_was_measured() -> None:
    """A gain below 0 regains nothing; a test that could not be made is not called passed."""
    assert "a fresh head regains nothing" in decide(replace(SEEN, head=gain(-0.15), batch_norm=None)).reason
    label = replace(SEEN, labels_p=1e-4, explained=True, by_class_p=None)
    assert decide(label).shift == "label" and "within classes could not be tested" in decide(label).reason
    blind = replace(label, loss=None, loss_p=None, detectable=None, **NOTHING)
    assert decide(blind).shift == "none" and "shares of the predicted classes differ" in decide(blind).reason

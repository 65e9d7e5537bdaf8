"""The rule on the two-layer worlds of Lee et al. 2022, whose answer is exact: signals measured, then decided.

A network v·(Bx) - c with B [3, 12], and inputs whose mean is not 0. Proposition 1: inputs x' = Ax, which only another B
can take back. Proposition 2: outputs y' = -y, which only another v can. (Of inputs with mean 0 no linear classifier
tells Ax from x.)
"""

import numpy as np
import pytest
import torch

from ftcli.explain.advise.drop import drop_between
from ftcli.explain.advise.interventions import fresh_head_correct, regained
from ftcli.explain.advise.rule import ALPHA, Decision, Signals, decide
from ftcli.explain.advise.two_samples import compare_blocks

N, D, H = 300, 12, 3


def advice(seed: int, A: np.ndarray, sign: int) -> Decision:
    """Of the target of inputs Ax and labels sign·y."""
    rng = np.random.default_rng(seed)
    B, v = np.eye(D)[:H] + 0.1 * rng.normal(size=(H, D)), np.array([1.0, 0.7, 0.4])
    x, z, c = *(rng.normal(size=(2, N, D)) + 1), float(B.sum(axis=1) @ v)
    truth = z @ B.T @ v > c
    truth = truth if sign > 0 else ~truth
    source, target = x @ B.T, z @ A.T @ B.T
    correct = (target @ v > c) == truth
    drop = drop_between(1.0, N, float(correct.mean()), N, ALPHA)
    head = fresh_head_correct(torch.from_numpy(target).float(), truth.astype(np.int64), 2, seed)
    found = compare_blocks({"first": source}, {"first": target}, seed=seed)
    assert found is not None and head is not None
    return decide(
        Signals(
            n=N,
            loss=drop.difference,
            loss_p=drop.p,
            detectable=drop.detectable,
            labels_p=1.0,
            explained=False,
            by_class_p=ALPHA,
            blocks=["first"],
            auc=list(found.auc.values()),
            p=list(found.p.values()),
            head=regained(head, correct, seed),
        )
    )


@pytest.mark.parametrize("seed", range(3))
def test_changed_inputs_ask_for_the_first_layer(seed: int) -> None:
    """Proposition 1: A moves the coordinates that matter to where B does not look, and scales all."""
    A = np.roll(np.eye(D), H, axis=0) * np.linspace(1, 4, D)[:, None]
    found = advice(seed, A, 1)
    assert (found.shift, found.rule, found.blocks) == ("input", "R3", ["first"])


@pytest.mark.parametrize("seed", range(3))
def test_changed_outputs_ask_for_the_last(seed: int) -> None:
    """Proposition 2."""
    found = advice(seed, np.eye(D), -1)
    assert (found.shift, found.rule, found.blocks) == ("output", "R2", ["head"])


def test_nothing_changed() -> None:
    assert advice(0, np.eye(D), 1).rule == "R0"

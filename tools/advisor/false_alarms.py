"""How often the advisor sees a shift where there is none: random halves of images of the source.

    python -m tools.advisor.false_alarms FOLDER [--draws 100]

FOLDER is that of tools/advisor/run.py. The images are those of digits:plain on which the model was not trained; each
draw takes 300 as ID-val and 300 others as the target. Their features are computed once. Prints the share of draws in
which each test is significant, and in which the rule names a shift.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import typer

from ftcli.config.measuring import Evaluate
from ftcli.context import open_context
from ftcli.explain.advise.block_features import SetFeatures, set_features
from ftcli.explain.advise.evidence import (
    Predictions,
    accuracy_loss,
    label_shift_of,
    signals_of,
    two_sample_tests,
)
from ftcli.explain.advise.measure import Side, fresh_head
from ftcli.explain.advise.rule import ALPHA, decide
from ftcli.model.loading.from_options import load_with_head

SIZE = 300
UNSEEN = "plain.parquet?where=part:in:val|target|extra|test"


def features_of(folder: Path) -> tuple[SetFeatures, np.ndarray, list[str]]:
    """The features of all images, their labels and the classes."""
    where = str(folder / "models/plain")
    config = Evaluate(checkpoint=where, id_test=str(folder / UNSEEN), threads=1, quiet=True, out=folder / "unused")
    with open_context(config) as context:
        loaded = load_with_head(config, where, context.log)
        task = context.task(loaded)
        inputs = context.inputs(task, loaded.data_config)
        model = context.machine.place(loaded.model)
        assert task.id_test is not None
        features = set_features(model, inputs.sets["id_test"], context.machine, context.log, "images")
        return features, task.id_test.labels, list(task.classes)


def side(features: SetFeatures, labels: np.ndarray, rows: np.ndarray) -> Side:
    """Some of the images."""
    kept = SetFeatures(
        {name: values[rows] for name, values in features.blocks.items()}, features.penultimate[rows],
        features.logits[rows],
    )  # fmt: skip
    return Side(kept, Predictions(kept.logits, labels[rows]))


def alarms(folder: Path, draws: int) -> Iterator[dict[str, bool]]:
    """What is significant in each draw."""
    features, labels, classes = features_of(folder)
    for seed in range(draws):
        order = np.random.default_rng(seed).permutation(len(labels))
        source, target = (side(features, labels, order[i * SIZE : (i + 1) * SIZE]) for i in (0, 1))
        ours, theirs = (source.features, source.predictions), (target.features, target.predictions)
        tests = two_sample_tests(ours, theirs, theirs, seed)
        shares = label_shift_of(source.predictions, target.predictions, target.predictions, classes, seed)
        loss = accuracy_loss(source.predictions, target.predictions, None)
        head = fresh_head(target, seed) if loss.p <= ALPHA else None
        decision = decide(signals_of(SIZE, loss, shares, tests, head, None, {}))
        significant = {f"two samples, {kind}": min(test.p.values()) <= ALPHA for kind, test in tests.named().items()}
        yield {
            "a shift is named": decision.shift != "none", "loss of accuracy": loss.p <= ALPHA,
            "class shares": shares.p <= ALPHA, **significant,
        }  # fmt: skip


def main(folder: Path, draws: int = 100) -> None:
    """Print the shares."""
    seen: list[dict[str, bool]] = []
    for draw in alarms(folder, draws):
        seen.append(draw)
        print(len(seen), [name for name, found in draw.items() if found], flush=True)
    for name in seen[0]:
        print(f"{name}: {sum(draw.get(name, False) for draw in seen)} of {len(seen)}")


if __name__ == "__main__":
    typer.run(main)

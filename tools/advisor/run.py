"""Runs the worlds: the models of the source, the truth (`ftcli surgical` on every target), and the advice.

    python -m tools.advisor.run make FOLDER              the tables of images, and the models of the source
    python -m tools.advisor.run truth FOLDER [NAME…]     tune every choice of blocks on the target of every world
    python -m tools.advisor.run advise FOLDER [NAME…]    `ftcli advise` on every world
    python -m tools.advisor.run commands FOLDER          these commands, printed

Finished runs are kept; what a command prints goes to FOLDER/logs.
"""

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import typer

from tools.advisor.images import make_cifar, make_digits, make_entity13
from tools.advisor.worlds import SOURCES, WORLDS, World, data_folder, importing, model_of, spec

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
TRUTH = "--blocks none,all,each --auto rgn --lr 1e-3,1e-2 --seeds 2 --epochs 5 --batch-size 16 --augment none"


def source_command(folder: Path, name: str) -> list[str]:
    """Train a model of the source."""
    source = SOURCES[name]
    options = source.options.replace("$DATA", str(data_folder())).split()
    sets = ["--train", spec(folder, source.train), "--id-val", spec(folder, source.id_val)]
    sets += ["--id-test", spec(folder, source.id_val)]
    out = ["--batch-size", "64", "--augment", "none", "--threads", "1", "--out", model_of(folder, name)]
    return ["finetune", *options, *sets, *out]


def truth_command(folder: Path, world: World) -> list[str]:
    """Tune every choice of blocks on the target, and measure it on the target's test images."""
    where = ["--checkpoint", model_of(folder, world.source), *importing(folder, world.source)]
    sets = ["--train", spec(folder, world.target), "--id-test", spec(folder, world.test)]
    return ["surgical", *where, *sets, *TRUTH.split(), "--threads", "1", "--out", str(folder / "truth" / world.name)]


def advise_command(folder: Path, world: World) -> list[str]:
    """The advice about the target of a world."""
    source = SOURCES[world.source]
    sets = ["--train", spec(folder, source.train), "--id-val", spec(folder, source.id_val)]
    sets += ["--target", spec(folder, world.target)]
    out = ["--threads", "1", "--out", str(folder / "advice" / world.name)]
    return ["advise", model_of(folder, world.source), *importing(folder, world.source), *sets, *out]


def evaluate_command(folder: Path, world: World) -> list[str]:
    """The model whose logits were corrected, on the target's test images."""
    where = [str(folder / "advice" / world.name), *importing(folder, world.source)]
    out = ["--threads", "1", "--out", str(folder / "corrected" / world.name)]
    return ["evaluate", *where, "--id-test", spec(folder, world.test), *out]


def head_command(folder: Path, world: World) -> list[str]:
    """The exact head of the target, which advice of an output shift prints."""
    where = ["--checkpoint", model_of(folder, world.source), *importing(folder, world.source)]
    sets = ["--train", spec(folder, world.target), "--id-test", spec(folder, world.test)]
    return ["probe", *where, *sets, "--threads", "1", "--out", str(folder / "heads" / world.name)]


def run(words: list[str], log: Path, report: Path) -> bool:
    """Run a command of ftcli unless its report is there; what it prints goes to a log. Whether it succeeded."""
    if report.exists():
        return True
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as stream:
        return not subprocess.run([sys.executable, "-m", "ftcli", *words], stdout=stream, stderr=stream).returncode


def chosen(names: list[str] | None) -> Iterator[World]:
    return (world for world in WORLDS if not names or world.name in names)


@app.command()
def make(folder: Path) -> None:
    """Write the tables and train the models of the source."""
    folder.mkdir(parents=True, exist_ok=True)
    make_digits(folder)
    make_cifar(folder, data_folder())
    make_entity13(folder, data_folder())
    for name, source in SOURCES.items():
        if not source.model:
            done = run(source_command(folder, name), folder / f"logs/{name}.txt", folder / f"models/{name}/report.json")
            print(name, "trained" if done else "failed", flush=True)


@app.command()
def truth(folder: Path, names: list[str] = typer.Argument(None)) -> None:  # noqa: B008
    """Train every choice of blocks in every world, or in those named."""
    for world in chosen(names):
        report = folder / "truth" / world.name / "report.json"
        done = run(truth_command(folder, world), folder / f"logs/truth-{world.name}.txt", report)
        print(world.name, "done" if done else "failed", flush=True)


@app.command()
def advise(folder: Path, names: list[str] = typer.Argument(None)) -> None:  # noqa: B008
    """Ask for advice in every world, or in those named, and measure a model that was corrected."""
    for world in chosen(names):
        advice = folder / "advice" / world.name
        done = run(advise_command(folder, world), folder / f"logs/advice-{world.name}.txt", advice / "report.json")
        if (advice / "model.safetensors").exists():
            report = folder / "corrected" / world.name / "report.json"
            done &= run(evaluate_command(folder, world), folder / f"logs/corrected-{world.name}.txt", report)
        if done and json.loads((advice / "report.json").read_text(encoding="utf-8"))["advice"]["shift"] == "output":
            report = folder / "heads" / world.name / "report.json"
            done &= run(head_command(folder, world), folder / f"logs/head-{world.name}.txt", report)
        print(world.name, "done" if done else "failed", flush=True)


@app.command()
def commands(folder: Path) -> None:
    """Print the commands of every world."""
    for world in WORLDS:
        print("ftcli", shlex.join(truth_command(folder, world)))
        print("ftcli", shlex.join(advise_command(folder, world)))


if __name__ == "__main__":
    app()

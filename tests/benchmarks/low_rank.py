"""The memory of `finetune --tune lora:R` and of `--tune all`: peaks of whole processes, and what training holds.

    python -m tests.benchmarks.low_rank [--model vit_base_patch16_224] [--rank 8] [--images 24] [--batch-size 4]

Each command is a process of its own, on a few drawn images, from drawn weights: Adam, one epoch, one rate. The peak is
that of the process with everything that it imports; "while it trains" is the peak until the first epoch has ended,
before the pick is measured and saved, over what the process held before the loop.
"""

import json
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from typing import Any
from unittest import mock

import timm

from ftcli.model.loading.load import Loaded
from ftcli.model.loading.save import save_model
from tests.helpers.worlds import DATA_CONFIG, coloured

MIB = 2**20


def resident() -> float:
    """MiB that the process has in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / MIB


def peak() -> float:
    """MiB, since the process began."""
    return getrusage(RUSAGE_SELF).ru_maxrss / 1024


def child(tune: str, start: Path, train: Path, batch_size: int, out: Path) -> None:
    """Run one command in this process, and print what it took as JSON."""
    import ftcli
    from ftcli.engine import train as loop

    took: dict[str, Any] = {}
    plain, evaluate = loop.training_state, loop.evaluate_epoch

    def training_state(*args: Any) -> Any:
        import peft  # noqa: F401  # in both commands, so that its own memory is in neither difference

        took["before"] = resident()
        state = plain(*args)
        took["parameters"] = sum(parameter.numel() for parameter in state.parameters.values())
        return state

    def evaluate_epoch(run: Any, state: Any, *rest: Any) -> None:
        took["training"] = peak() - took["before"]
        held = [tensor for of in state.optimizer.state.values() for tensor in of.values()]
        held += [p.grad for p in state.parameters.values() if p.grad is not None]
        took["held"] = sum(tensor.nbytes for tensor in held) / MIB
        evaluate(run, state, *rest)

    began = time.perf_counter()
    with mock.patch.multiple(loop, training_state=training_state, evaluate_epoch=evaluate_epoch):
        ftcli.finetune(
            checkpoint=start, train=train, tune=tune, lr=1e-4, epochs=1, optimizer="adam", batch_size=batch_size,
            threads=2, out=out, quiet=True,
        )  # fmt: skip
    print(json.dumps(took | {"peak": peak(), "seconds": time.perf_counter() - began}))


def main() -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="vit_base_patch16_224")
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--child", nargs=4, metavar=("TUNE", "START", "TRAIN", "OUT"), help="for the script itself")
    asked = parser.parse_args()
    if asked.child:
        tune, start, train, out = asked.child
        child(tune, Path(start), Path(train), asked.batch_size, Path(out))
        return
    with tempfile.TemporaryDirectory(prefix="ftcli-low-rank-") as folder:
        root = Path(folder)
        coloured(root / "train", classes=3, each=-(-asked.images // 3))
        model = timm.create_model(asked.model, num_classes=3)
        images = {**DATA_CONFIG, "input_size": model.pretrained_cfg["input_size"]}
        start = Loaded(model, asked.model, None, False, None, images, {"model_name": asked.model, "num_classes": 3})
        save_model(root / "start", start, model, None)
        del model, start
        print(f"{asked.model}, {asked.images} images, batch {asked.batch_size}, adam, float32")
        for tune in ("all", f"lora:{asked.rank}"):
            words = ["--child", tune, str(root / "start"), str(root / "train"), str(root / tune)]
            command = [sys.executable, "-m", "tests.benchmarks.low_rank", "--batch-size", str(asked.batch_size), *words]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            took = json.loads(done.stdout.splitlines()[-1])
            print(
                f"--tune {tune}: {took['parameters']:,} parameters train, with {took['held']:,.1f} MiB of gradients and"
                f" optimiser; peak while it trains {took['training']:,.0f} MiB; peak of the process {took['peak']:,.0f}"
                f" MiB; {took['seconds']:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()

"""On a GPU: training and prediction beside bare loops, and the path over C beside scikit-learn's.

    python -m tests.benchmarks.gpu [--only passes|path] [--skip-sklearn]

ResNet-50 and ViT-B/16 with random weights, 224 px, bf16, on pictures of noise. The bare loops run on tensors that are
normalised and on the GPU before the clock starts, under the same autocast; ours reads uint8 pixels from the cache on
disk, crops and flips them for training, and brings every output back. The path: 100 values of C on synthetic features
in memory, N = 50000, D = 2048, K = 100; scikit-learn takes them from small to large on the CPU, each from the solution
before, and `--sklearn-cs 10` gives it every tenth, since all of them may take hours.
`--device cpu --small` only tries that every line runs.
"""

import tempfile
import time
import warnings
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from copy import deepcopy
from pathlib import Path
from statistics import median

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ftcli.config.declare import Numbers
from ftcli.config.tuning import Finetune
from ftcli.data.loader import Batch
from ftcli.engine.device import Machine
from ftcli.engine.predict import predict
from ftcli.engine.probe.regularization_path import DEFAULT_CS, path
from tests.benchmarks.common import (
    our_epoch,
    own_cache,
    print_machine,
    print_rates,
    take_turns,
    timed,
    without_id_val,
    world_of,
)
from tests.helpers.pictures import encoded, picture

ARCHITECTURES = ("resnet50", "vit_base_patch16_224")
CLASSES = 10
LR = 1e-4


def noise(folder: Path, n: int, side: int) -> Path:
    """A table of n pictures of noise in `CLASSES` classes."""
    images = [{"bytes": encoded(picture(i, (side, side)), "BMP"), "path": f"{i}.bmp"} for i in range(n)]
    file = folder / "noise.parquet"
    pq.write_table(pa.table({"image": images, "label": [i % CLASSES for i in range(n)]}), file, compression="none")
    return file


def bare_training(model: nn.Module, batches: list[Batch], machine: Machine) -> None:
    """Forward, loss, backward and a step of SGD over batches that are ready."""
    model = deepcopy(model).train()
    optimizer = torch.optim.SGD(model.parameters(), LR, momentum=0.9)
    for batch in batches:
        with machine.autocast():
            loss = cross_entropy(model(batch.images), batch.labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def bare_prediction(model: nn.Module, batches: list[Batch], machine: Machine) -> None:
    """model(x) over batches that are ready."""
    model.eval()
    with torch.inference_mode(), machine.autocast():
        for batch in batches:
            model(batch.images)


def passes(asked: Namespace, architecture: str, train: Path) -> None:
    """Print images/s of both passes and of both bare loops."""
    config = Finetune(
        train=str(train), model=architecture, init="random", image_size=asked.side, device=asked.device,
        precision=asked.precision, batch_size=asked.batch_size, epochs=1, lr=Numbers((LR,)), quiet=True,
    )  # fmt: skip
    with own_cache():
        world = world_of(config, asked.images)
        inputs, machine = world.inputs, world.inputs.machine
        assert inputs.train is not None and inputs.plain is not None
        model, evaluated = machine.place(world.loaded.model), inputs.plain
        ready = list(inputs.train.shuffled(0, 1, skip_single=True))
        print(f"{architecture}, {asked.side} px, {asked.precision}, batches of {asked.batch_size}: training")
        turns = {
            "ftcli, one epoch": our_epoch(world, model, without_id_val(world)),
            "bare loop": timed(lambda: bare_training(model, ready, machine), bare=True),
        }
        print_rates(take_turns(turns, asked.pairs), asked.images)
        ready = list(evaluated.ordered())
        print(f"{architecture}: prediction")
        turns = {
            "ftcli, predict": timed(lambda: predict(model, evaluated, machine, world.log, "")),
            "bare loop": timed(lambda: bare_prediction(model, ready, machine), bare=True),
        }
        print_rates(take_turns(turns, asked.pairs), asked.images)


def features(N: int, D: int, K: int) -> tuple[Tensor, Tensor]:
    """Features [N, D] as a network has them, one-sided and of falling variance, scaled, and labels [N]."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(N) % K
    scales = (1 + torch.arange(D) / 50).rsqrt()  # [D]
    centres = torch.randn(K, D, generator=generator)
    X = ((0.3 * centres[labels] + torch.randn(N, D, generator=generator)) * scales).relu()
    return (X - X.mean()) / X.std(), labels


def c_path(asked: Namespace) -> None:
    """Print the seconds of the path, and of scikit-learn."""
    N, D, K = (500, 64, 5) if asked.small else (50_000, 2048, 100)
    X, y = features(N, D, K)
    here = X.to(asked.device), y.to(asked.device)
    print(f"path over C: N = {N}, D = {D}, K = {K}")
    seconds = take_turns({"ftcli": timed(lambda: path(*here, K, DEFAULT_CS))}, asked.pairs)["ftcli"]
    print(f"ftcli: {median(seconds):.2f} s for {len(DEFAULT_CS)} values of C on {asked.device}")
    if asked.skip_sklearn:
        return
    warnings.filterwarnings("ignore")  # at large C it says that 200 iterations were not enough
    Cs = DEFAULT_CS[:: len(DEFAULT_CS) // asked.sklearn_cs]
    started, model = time.perf_counter(), LogisticRegression(tol=1e-4, max_iter=200, warm_start=True)
    for C in Cs:
        model.set_params(C=C).fit(X.numpy(), y.numpy())
    print(f"scikit-learn: {time.perf_counter() - started:.2f} s for {len(Cs)} of them on the CPU", flush=True)


def arguments() -> Namespace:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["passes", "path"], help="one of the two (both)")
    parser.add_argument("--images", type=int, default=8192, help="training images of an epoch (8192)")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--pairs", type=int, default=5, help="rounds that count (5)")
    parser.add_argument("--skip-sklearn", action="store_true", help="the path without scikit-learn's")
    parser.add_argument("--sklearn-cs", type=int, default=100, help="values of C that scikit-learn is given (100)")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="32 px, float32, few images: only to try the script")
    asked = parser.parse_args()
    asked.side, asked.precision = 224, "bf16"
    if asked.small:  # few processors compute in bf16 at a bearable speed
        asked.side, asked.precision, asked.images, asked.batch_size, asked.pairs = 32, "fp32", 16, 8, 1
    return asked


def main() -> None:
    asked = arguments()
    if asked.device.startswith("cuda") and not torch.cuda.is_available():
        print("no GPU here: not run")
        return
    print_machine()
    if asked.only != "path":
        with tempfile.TemporaryDirectory(prefix="ftcli-benchmark-") as folder:
            train = noise(Path(folder), asked.images * 5 // 4 + CLASSES, asked.side)  # a fifth goes to the other sets
            for architecture in ARCHITECTURES:
                passes(asked, architecture, train)
    if asked.only != "passes":
        c_path(asked)


if __name__ == "__main__":
    main()

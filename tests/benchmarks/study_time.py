"""The time that `study --dry-run` names, against the time that the study takes after it.

    python -m tests.benchmarks.study_time [--only digits] [--jobs 1]

Three studies: the built-in digits, a MobileNetV2 on photographs of PACS, and a ResNet-20 on CIFAR-10. The time taken is
counted from the lines that the study prints when it has measured: `total_s` of study.json without the measuring. The
load of the machine stands beside each, because a busy one distorts both figures.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path

DATA = Path(os.environ.get("FTCLI_TEST_DATA", ""))
STUDIES = {
    "digits": ["--preset", "digits", "--seeds", "2"],
    "photo": [
        "--checkpoint", str(DATA / "checkpoints/mobilenetv2-imagenet"), "--image-size", "64",
        "--train", f"{DATA}/pacs/photo.parquet?limit=300:0", "--ood", f"art={DATA}/pacs/art_painting.parquet",
        "--methods", "finetune,lpft", "--set", "epochs=2", "--set", "lr=1e-3,1e-2",
    ],
    "cifar": [
        "--checkpoint", str(DATA / "checkpoints/resnet20-cifar10"), "--import", str(DATA / "plugins/cifar_resnet.py"),
        "--train", f"{DATA}/cifar10/train.parquet?limit=500:0", "--id-test", f"{DATA}/cifar10/test.parquet?limit=500:0",
        "--methods", "finetune,lpft", "--set", "epochs=2",
    ],
}  # fmt: skip


def timed(name: str, words: list[str], out: Path) -> str:
    """Both times of a study, in words."""
    program = [sys.executable, "-m", "ftcli", "study", *words, "--out", str(out)]
    before = os.getloadavg()[0]
    plan = json.loads(subprocess.run([*program, "--dry-run", "--json"], stdout=subprocess.PIPE, check=True).stdout)
    began = measured = time.monotonic()
    study = subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert study.stderr
    lines = []
    for line in study.stderr:
        if line.startswith("what each cell says"):  # the first line after the measuring
            measured = time.monotonic()
        lines.append(line.rstrip())
    if study.wait():
        sys.exit("\n".join(lines))
    total = json.loads((out / "study.json").read_text())["timing"]["total_s"]
    taken = total - (measured - began)
    print("\n".join(lines), file=sys.stderr)
    return (
        f"{name}: {plan['seconds']:.0f} s estimated, {taken:.0f} s taken ({taken / plan['seconds']:.2f} times), "
        f"{measured - began:.0f} s measured; load {before:.1f} before, {os.getloadavg()[0]:.1f} after"
    )


def main() -> None:
    arguments = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    arguments.add_argument("--only", choices=list(STUDIES), help="one of the studies (all three)")
    arguments.add_argument("--jobs", default="1", help="cells at the same time (1)")
    asked = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="ftcli-time-") as folder:
        for name, words in STUDIES.items():
            if asked.only in (None, name):
                print(timed(name, [*words, "--jobs", asked.jobs], Path(folder) / name), flush=True)


if __name__ == "__main__":
    main()

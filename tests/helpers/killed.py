"""Studies whose processes are killed: which run, what they leave behind, and whether two end in the same."""

import json
from pathlib import Path
from typing import Any

import psutil

from ftcli.studies.cells import read_cells
from tests.helpers.program import lasting, read

FILES = ("model.safetensors", "config.json", "predictions.parquet", "logits.safetensors")
VARYING = ("created", "argv", "timing")


def cells_of(study: Path) -> list[psutil.Process]:
    """The processes of a study's cells, whoever started them."""
    return [process for process in processes_about(study) if "ftcli.studies.cell_process" in process.cmdline()]


def processes_about(study: Path) -> list[psutil.Process]:
    """The processes in whose command line the folder of a study stands."""
    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        if any(word == str(study) or word.startswith(f"{study}/") for word in words):
            found.append(process)
    return found


def zombies_of(number: int) -> list[int]:
    """Ended children of a process that it has not asked for."""
    try:
        children = psutil.Process(number).children(recursive=True)
        return [child.pid for child in children if child.status() == psutil.STATUS_ZOMBIE]
    except psutil.NoSuchProcess:
        return []


def left_behind(study: Path) -> list[str]:
    """Locks, half-written files and processes of a study that has ended."""
    files = [path for pattern in (".*", "*.part", "state") for path in study.rglob(pattern)]
    return [str(path.relative_to(study)) for path in files] + [str(process) for process in processes_about(study)]


def lasting_answer(study: Path) -> dict[str, Any]:
    """study.json without what two studies of the same cells may differ in."""
    answer = json.loads((study / "study.json").read_text("utf-8"))
    kept = {key: part for key, part in answer.items() if key not in VARYING}
    cells = [{key: part for key, part in cell.items() if key != "line"} for cell in kept["cells"]]
    return {**kept, "cells": cells}


def same_cells(one: Path, other: Path) -> bool:
    """Whether the cells of two studies have the same files, byte for byte, and reports of the same work."""
    return all(
        lasting(read(one / cell.name)) == lasting(read(other / cell.name))
        and all((one / cell.name / name).read_bytes() == (other / cell.name / name).read_bytes() for name in FILES)
        for cell in read_cells(other)
    )

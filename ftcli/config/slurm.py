"""Options of sbatch that a study passes on to the job of every cell."""

from collections.abc import Iterable

from ftcli.errors import RequestError, choose

ALLOWED = (
    "account", "begin", "comment", "constraint", "deadline", "exclude", "exclusive", "gpus", "gpus-per-node",
    "gpus-per-task", "gres", "hint", "licenses", "mail-type", "mail-user", "mem", "mem-per-cpu", "mem-per-gpu", "nice",
    "nodelist", "partition", "priority", "qos", "reservation", "time", "time-min", "tmp", "wckey",
)  # fmt: skip
WITHOUT_VALUE = ("exclusive", "nice")
DECIDED = {
    "cpus-per-task": "it is --threads",
    "array": "every cell is a job of its own",
    "dependency": "the order of the cells is the study's",
    "job-name": "it is the name of the cell",
    "nodes": "a cell is one process",
    "ntasks": "a cell is one process",
    "ntasks-per-node": "a cell is one process",
    "output": "the log is in the folder of the study",
    "error": "the log is in the folder of the study",
    "chdir": "a cell starts where the study was typed",
    "export": "a cell has the environment of the study",
    "signal": "a cell is told in time to save its state",
}


def sbatch_options(given: Iterable[str]) -> dict[str, str]:
    """Options of sbatch by name, from `NAME=VALUE` each; a name may be typed with "_" for "-".

    Raises RequestError for a name that is not known or that the study decides, and for one typed twice.
    """
    found: dict[str, str] = {}
    for text in given:
        typed, equals, value = text.partition("=")
        name = typed.strip().lstrip("-").replace("_", "-")
        if name in DECIDED:
            raise RequestError(f"--slurm {typed} is decided by the study: {DECIDED[name]}.", "leave it out")
        if name not in ALLOWED:
            raise RequestError(f"--slurm {typed!r} is no option of sbatch for a cell.", choose(name, ALLOWED))
        if not value.isprintable() or not (value or (not equals and name in WITHOUT_VALUE)):
            raise RequestError(f"--slurm {text!r} has no value.", f"--slurm {name}=VALUE, as sbatch has it")
        if name in found:
            raise RequestError(f"--slurm {name} is given twice: {found[name]} and {value}.", "give it once")
        found[name] = value
    return found

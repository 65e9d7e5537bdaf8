"""ftcli: robust fine-tuning of vision models, on the command line and from Python."""

from importlib import import_module
from typing import Any

from ftcli.errors import RequestError, RunError

__version__ = "0.1.0"
FUNCTIONS = [
    "adapt", "agreement", "blocks", "compare", "criticality", "distortion", "evaluate", "finetune", "interpolate",
    "lpft", "manage_cache", "predict", "probe", "read_data", "read_presets", "read_report", "run_theory", "schema",
    "surgical",
]  # fmt: skip
CONFIGURATIONS = [
    "Adapt", "Agreement", "Blocks", "Cache", "Compare", "Criticality", "Data", "Distortion", "Evaluate", "Finetune",
    "Interpolate", "Lpft", "Predict", "Presets", "Probe", "Report", "Schema", "Surgical", "Theory",
]  # fmt: skip
__all__ = ["RequestError", "RunError", "__version__", *FUNCTIONS, *CONFIGURATIONS]


def __getattr__(name: str) -> Any:
    """The functions of `api`, loaded when one is first used: importing ftcli alone stays light."""
    if name not in __all__:
        raise AttributeError(f"module 'ftcli' has no attribute {name!r}")
    return import_module("ftcli.api").FUNCTIONS[name]


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

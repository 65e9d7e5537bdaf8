"""ftcli: robust fine-tuning of vision models, on the command line and from Python."""

from importlib import import_module
from typing import Any

from ftcli.errors import RequestError, RunError

__version__ = "0.1.0"
FUNCTIONS = [
    "adapt", "blocks", "compare", "evaluate", "finetune", "lpft", "manage_cache", "predict", "probe", "read_data",
    "read_presets", "read_report", "schema", "surgical",
]  # fmt: skip
CONFIGURATIONS = [
    "Adapt", "Blocks", "Cache", "Compare", "Data", "Evaluate", "Finetune", "Lpft", "Predict", "Presets", "Probe",
    "Report", "Schema", "Surgical",
]  # fmt: skip
__all__ = ["RequestError", "RunError", "__version__", *FUNCTIONS, *CONFIGURATIONS]


def __getattr__(name: str) -> Any:
    """The functions of `api`, loaded when one is first used: importing ftcli alone stays light."""
    if name not in __all__:
        raise AttributeError(f"module 'ftcli' has no attribute {name!r}")
    return import_module("ftcli.api").FUNCTIONS[name]


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

"""ftcli: robust fine-tuning of vision models, on the command line and from Python."""

from importlib import import_module
from typing import Any

from ftcli.commands import option_classes, python_names
from ftcli.errors import RequestError, RunError

__version__ = "0.1.0"
__all__ = ["RequestError", "RunError", "__version__", *python_names(), *option_classes()]


def __getattr__(name: str) -> Any:
    """A function of `api`, which is loaded when one is first used: importing ftcli alone stays light."""
    if name not in __all__:
        raise AttributeError(f"module 'ftcli' has no attribute {name!r}")
    return import_module("ftcli.api").FUNCTIONS[name]


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

"""What the commands that explain show: the models where there are any, then the measure's own tables."""

from collections.abc import Callable
from typing import Any

from rich.console import RenderableType

from ftcli.report.agreement import agreement_tables
from ftcli.report.criticality import criticality_tables
from ftcli.report.distortion import distortion_tables
from ftcli.report.interpolation import interpolation_tables
from ftcli.report.models import models_table
from ftcli.report.theory import theory_tables

Tables = Callable[[dict[str, Any], int], list[RenderableType]]
EXPLAINED: dict[str, Tables] = {
    "distortion": distortion_tables,
    "agreement": agreement_tables,
    "interpolate": interpolation_tables,
    "criticality": criticality_tables,
    "theory": theory_tables,
}


def explained(report: dict[str, Any], width: int) -> list[RenderableType]:
    """All of it, for a terminal of `width` characters."""
    models: list[RenderableType] = [models_table(report["models"])] if "models" in report else []
    return models + EXPLAINED[report["command"]](report, width)

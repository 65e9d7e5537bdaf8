"""The names of what lies in a run folder. Nothing heavy is imported."""

SCHEMA = "ftcli/report/1"
REPORT, HISTORY, PREDICTIONS = "report.json", "history.jsonl", "predictions.parquet"
PAGE = "report.html"  # where it was asked for
STATE = "state"  # a folder, of a run that is not finished
REQUEST = "request.json"  # in it
MODEL_FILES = ("model.safetensors", "config.json", HISTORY)

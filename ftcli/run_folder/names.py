"""The names of what lies in a run folder. Nothing heavy is imported."""

SCHEMA = "ftcli/report/1"
REPORT, HISTORY, PREDICTIONS = "report.json", "history.jsonl", "predictions.parquet"
TRACKER_FILES, TENSORBOARD = "trackers", "tensorboard"  # folders of what --log-with has written
STATE = "state"  # a folder, of a run that is not finished
MODEL_FILES = ("model.safetensors", "config.json", HISTORY)

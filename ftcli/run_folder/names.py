"""The names of what lies in a run folder. Nothing heavy is imported."""

SCHEMA = "ftcli/report/1"
CELLS = "study.jsonl"  # the cells of a study, whose run folders lie below its own
REPORT, HISTORY, PREDICTIONS, CARD = "report.json", "history.jsonl", "predictions.parquet", "README.md"
CARD_MARK = b"\n- ftcli\n"  # a tag in the front matter of every model card that ftcli writes
LOGITS = "logits.safetensors"  # beside the predictions, where they are not too many
PAGE = "report.html"  # where it was asked for
TRACKER_FILES, TENSORBOARD = "trackers", "tensorboard"  # folders of what --log-with has written
STATE = "state"  # a folder, of a run that is not finished
REQUEST = "request.json"  # in it
MODEL_FILES = ("model.safetensors", "config.json", HISTORY, CARD)

"""ftcli: robust fine-tuning of vision models, on the command line."""

__version__ = "0.1.0"

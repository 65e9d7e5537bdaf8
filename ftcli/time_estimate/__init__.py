"""How long a command that trains will take, from a short measurement on a few of its images: for `--dry-run`."""

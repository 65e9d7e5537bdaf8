"""What study.json holds, as types."""

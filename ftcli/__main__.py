"""`python -m ftcli`."""

from ftcli.cli.main import process_entry

if __name__ == "__main__":
    process_entry()

"""`python -m ftcli`."""

from ftcli.cli import process

if __name__ == "__main__":
    process()

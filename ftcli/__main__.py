"""`python -m ftcli`."""

from ftcli.cli.main import process

if __name__ == "__main__":
    process()

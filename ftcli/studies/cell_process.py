"""The process of a cell: `ftcli`, and it ends when the study that started it ends, however that ends."""

import os
import signal
import sys
import threading

from ftcli.cli.main import process_entry


def end_with_study() -> None:
    """Wait until nobody holds the other end of stdin any more, and ask this process to save its state and end."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    threading.Thread(target=end_with_study, daemon=True).start()
    process_entry()


if __name__ == "__main__":
    main()

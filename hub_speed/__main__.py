"""The entry point: loads the command line, which takes up to a second. Ctrl-C ends the process meanwhile, at once."""

import os
import signal
import sys


def main() -> None:
    """Run the command line; the exit code is 130 after Ctrl-C."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # a process in the background may ignore the signal
        signal.signal(signal.SIGINT, lambda number, frame: os._exit(130))  # nothing is open yet
    from hub_speed import cli

    try:
        signal.signal(signal.SIGINT, before)
        cli.main()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()

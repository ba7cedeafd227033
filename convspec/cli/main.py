"""The command line: parse, run a command, say in one line what went wrong."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from convspec.cli.parser import parser
from convspec.errors import ConvSpecError

__all__ = ["main"]

FAILED = 2
INTERRUPTED = 130  # as shells say it of Ctrl-C


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: What was typed; None for the arguments of the process, which then is
            this command's own.

    Returns:
        0 on success, 1 if a report was written in which rows failed, 2 on bad usage or
        input, with one line on standard error, 130 after Ctrl-C.
    """
    status = _status(arguments)
    if arguments is None and status == INTERRUPTED:
        sys.stderr.flush()
        os._exit(status)  # Python would wait for threads that are still at work
    return status


def _status(arguments: Sequence[str] | None) -> int:
    """Run a command; what can go wrong, in one line."""
    options = parser().parse_args(arguments)
    try:
        status: int = options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read it has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ConvSpecError, OSError) as error:
        print(f"convspec: error: {' '.join(str(error).split())}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        sys.stdout.flush()
        print("convspec: interrupted", file=sys.stderr)
        return INTERRUPTED
    return status

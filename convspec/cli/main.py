"""The command line: parse, run a command, say in one line what went wrong."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from convspec.cli.parser import parser
from convspec.errors import ConvSpecError

__all__ = ["main"]

FAILED = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        0 on success, 1 if a report was written in which rows failed, 2 on bad usage or
        input, with one line on standard error.
    """
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
    return status

"""The command line: ``convspec analyze``, ``matrix``, ``spectrum`` and ``demo``."""

from convspec.cli.main import main

__all__ = ["main"]

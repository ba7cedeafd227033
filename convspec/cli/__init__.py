"""The command line: ``convspec analyze``, ``lipschitz``, ``spectrum`` and others."""

from convspec.cli.main import main

__all__ = ["main"]

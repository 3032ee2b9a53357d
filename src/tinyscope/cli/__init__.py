"""The commands: each parses, calls one function of the engine, and prints."""

from tinyscope.cli.main import app, main

__all__ = ["app", "main"]

"""Bookline imports books by ISBN as a durable workflow whose every step is shown live."""

__version__ = "0.1.0"

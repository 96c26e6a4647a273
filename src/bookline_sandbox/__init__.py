"""A local stand-in for Google Books, Open Library, ISBNdb, cover hosts and embedding services.

Speaks their true wire formats from one port, with faults on demand; knows about 250 books.
"""

from bookline_sandbox.app import create_app
from bookline_sandbox.faults import BadRule
from bookline_sandbox.server import Sandbox, serve

__all__ = ["BadRule", "Sandbox", "create_app", "serve"]

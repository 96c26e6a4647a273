"""``python -m bookline`` is the command ``bookline``."""

from bookline.cli.main import run

run()

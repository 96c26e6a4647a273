"""For all tests: what a machine's load must not decide."""

from hypothesis import settings

settings.register_profile("bookline", deadline=None)
settings.load_profile("bookline")

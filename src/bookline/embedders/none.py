"""No embedder: books are kept without vectors, and there is no search by meaning."""


def embedder() -> None:
    """None, which is what the step and the search take for "switched off"."""

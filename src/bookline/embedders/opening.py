"""The embedder that the settings name.

Way:     app.py → here → local, workers_ai, openai_compatible, none
"""

from collections.abc import Callable

from bookline.embedders import none
from bookline.embedders.local import WordLlama
from bookline.embedders.openai_compatible import OpenAiCompatible
from bookline.embedders.workers_ai import WorkersAi
from bookline.errors import Refused
from bookline.ports import EmbedderOfMany, Http

LOCAL, WORKERS_AI, OPENAI, NONE = "local", "workers-ai", "openai", "none"


def open_embedder(
    kind: str, url: str | None, model: str | None, key: str | None, http: Http
) -> EmbedderOfMany | None:
    """None for ``none``: the step is switched off. ``url``, ``model`` and ``key`` are those of
    ``BOOKLINE_EMBEDDER_…``; a local embedder needs none of them.

    Raises: Refused when the kind is unknown, or something is missing that it needs.
    """
    openers: dict[str, Callable[[], EmbedderOfMany | None]] = {
        LOCAL: lambda: WordLlama(model),
        WORKERS_AI: lambda: WorkersAi(http, url=url, key=key, model=model),
        OPENAI: lambda: OpenAiCompatible(http, url=url, key=key, model=model),
        NONE: none.embedder,
    }
    if kind not in openers:
        raise Refused("INVALID_REQUEST", f"an embedder is one of {', '.join(openers)}")
    return openers[kind]()

"""The embedder that needs no network: wordllama, with the weights of its own package.

Way:      opening.py → here → wordllama
Rule 1:   nothing is downloaded, ever; nothing is loaded before the first text.
Units:    loading takes 0.4 s and 90 MB once; a text of 500 characters 0.2 ms, the longest 4 ms.
Source:   https://github.com/dleemiller/WordLlama, 0.4.0: tokenizer and weights lie in the wheel.
"""

import importlib
import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from bookline.book import Embedding
from bookline.embedders.vectors import plain
from bookline.errors import BooklineError, EmbeddingRefused, Refused
from bookline.threads import in_thread
from bookline.together import outcome_of

MODEL = "wordllama-l2-supercat-256"
_CONFIG, _DIMENSIONS = "l2_supercat", 256
DIRECT_CHARS = 2_000  # up to here a text takes less than the way into a thread and back is worth


class WordLlama:
    """Averages of word vectors: rough, and fast. May be used from any event loop.

    Raises: Refused from its making, for a model that is not the one it has.
    """

    def __init__(self, model: str | None = None) -> None:
        if model not in {None, "", MODEL}:
            raise Refused("INVALID_REQUEST", f"the local embedder has the model {MODEL} only")
        self.model = MODEL
        self._loaded: Any = None
        self._loading = threading.Lock()

    async def load(self) -> None:
        """Loads the weights in a thread, so that the first text need not wait. Safe twice.

        Raises: EmbeddingRefused when the package is not whole.
        """
        if self._loaded is None:
            await in_thread(self._load)

    async def embed(self, text: str) -> Embedding:
        """A vector of length one. Raises: EmbeddingRefused."""
        await self.load()
        if len(text) <= DIRECT_CHARS:
            return self._embed(text)
        return await in_thread(self._embed, text)

    async def embed_many(self, texts: Sequence[str]) -> Sequence[Embedding | BooklineError]:
        """Each as ``embed`` gives it, or the error that this raises."""
        await self.load()
        if sum(map(len, texts)) <= DIRECT_CHARS:
            return self._embed_many(texts)
        return await in_thread(self._embed_many, texts)

    def _load(self) -> None:
        with self._loading:
            if self._loaded is not None:
                return
            try:
                with _root_logger_left_alone():
                    wordllama = importlib.import_module("wordllama")
                here = Path(str(wordllama.__file__)).parent
                loaded = wordllama.WordLlama.load(
                    _CONFIG, cache_dir=here, dim=_DIMENSIONS, disable_download=True
                )
                # The precision that the weights are stored in: the same vectors, 16 MB less.
                loaded.embedding = loaded.embedding.astype("<f2")
                self._loaded = loaded
            except Exception as error:  # its Rust parts raise plain Exceptions
                raise EmbeddingRefused(f"wordllama cannot be loaded: {error}") from error

    def _embed(self, text: str) -> Embedding:
        return self._normal(self._loaded.embed(plain(text) or " ")[0])

    def _embed_many(self, texts: Sequence[str]) -> Sequence[Embedding | BooklineError]:
        vectors = self._loaded.embed([plain(text) or " " for text in texts])
        return [outcome_of(partial(self._normal, vector)) for vector in vectors]

    def _normal(self, averages: Any) -> Embedding:
        """Of length one. Raises: EmbeddingRefused."""
        vector = averages.astype("<f4")
        length = float(vector.dot(vector)) ** 0.5
        if not length > 0.0:
            raise EmbeddingRefused("the text has no word that the model knows")
        return Embedding.of_bytes(self.model, (vector / vector.dtype.type(length)).tobytes())


@contextmanager
def _root_logger_left_alone() -> Iterator[None]:
    """wordllama calls ``logging.basicConfig`` when imported; a root with a handler is spared."""
    root, guard = logging.getLogger(), logging.NullHandler()
    root.addHandler(guard)
    try:
        yield
    finally:
        root.removeHandler(guard)

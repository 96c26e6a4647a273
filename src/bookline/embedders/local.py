"""The embedder that needs no network: the weights and the tokenizer of the package wordllama.

Way:      opening.py → here → tokenizers, numpy
Rule 1:   nothing is downloaded, ever; nothing is loaded before the first text.
Rule 2:   the vectors are wordllama's own, bit by bit. Its code is not loaded: it brings an HTTP
          client and a splitter of texts, and keeps the weights in memory at twice their size.
Units:    loading takes 0.1 s of CPU and 20 MB; a text of 500 characters 0.2 ms, the longest 4 ms.
Source:   https://github.com/dleemiller/WordLlama, 0.4.0: tokenizer and weights lie in the wheel;
          https://huggingface.co/docs/safetensors for the form of the weights.
"""

import contextlib
import ctypes
import importlib.util
import json
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bookline.book import Embedding
from bookline.embedders.vectors import plain
from bookline.errors import BooklineError, EmbeddingRefused, Refused
from bookline.threads import in_thread
from bookline.together import outcome_of

MODEL = "wordllama-l2-supercat-256"
_DIMENSIONS = 256
_TOKENIZER = "tokenizers/l2_supercat_tokenizer_config.json"
_WEIGHTS = "weights/l2_supercat_256.safetensors"
DIRECT_CHARS = 2_000  # up to here a text takes less than the way into a thread and back is worth


class WordLlama:
    """Averages of word vectors: rough, and fast. May be used from any event loop.

    Raises: Refused from its making, for a model that is not the one it has.
    """

    def __init__(self, model: str | None = None) -> None:
        if model not in {None, "", MODEL}:
            raise Refused("INVALID_REQUEST", f"the local embedder has the model {MODEL} only")
        self.model = MODEL
        self._loaded: _Words | None = None
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
                self._loaded = _Words(_package())
                _give_back()
            except Exception as error:  # the tokenizer's Rust parts raise plain Exceptions
                raise EmbeddingRefused(f"wordllama cannot be loaded: {error}") from error

    def _embed_many(self, texts: Sequence[str]) -> Sequence[Embedding | BooklineError]:
        return [outcome_of(partial(self._embed, text)) for text in texts]

    def _embed(self, text: str) -> Embedding:
        """Of length one. Raises: EmbeddingRefused."""
        assert self._loaded is not None  # noqa: S101 - whoever calls this has loaded it
        vector = self._loaded.average(plain(text) or " ")
        length = float(vector.dot(vector)) ** 0.5
        if not length > 0.0:
            raise EmbeddingRefused("the text has no word that the model knows")
        return Embedding.of_bytes(self.model, (vector / vector.dtype.type(length)).tobytes())


class _Words:
    """The tokenizer, and each token's vector, which is read from the file when it is needed.

    Raises: OSError, ValueError, KeyError from its making, for files that are not wordllama's.
    """

    def __init__(self, package: Path) -> None:
        import numpy
        import tokenizers

        self._tokenizer = tokenizers.Tokenizer.from_file(str(package / _TOKENIZER))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        weights = package / _WEIGHTS
        with weights.open("rb") as file:
            head_bytes = int.from_bytes(file.read(8), "little")
            head = json.loads(file.read(head_bytes))["embedding.weight"]
        shape = self._tokenizer.get_vocab_size(), _DIMENSIONS
        if (head["dtype"], *head["shape"]) != ("F16", *shape):
            raise ValueError(f"{weights.name} holds {head['dtype']} of the shape {head['shape']}")
        # A mapped file: only pages that are used are in memory, and processes share them.
        offset = 8 + head_bytes + head["data_offsets"][0]
        self._vectors = numpy.asarray(numpy.memmap(weights, "<f2", "r", offset, shape))
        self._number = numpy.float32

    def average(self, text: str) -> Any:
        """Of the vectors of the text's tokens, which are at least one."""
        tokens = self._tokenizer.encode(text, add_special_tokens=False).ids
        total = self._vectors[tokens].sum(axis=0, dtype=self._number)
        return total / self._number(len(tokens))


def _give_back() -> None:
    """What reading the tokenizer took for a moment: 4 MB, which glibc would keep for itself."""
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def _package() -> Path:
    """Where wordllama's files lie. Raises: ModuleNotFoundError."""
    found = importlib.util.find_spec("wordllama")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("it is not installed")
    return Path(found.origin).parent

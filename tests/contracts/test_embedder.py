"""What every embedder promises: a vector of its model, or one of four outcomes."""

import asyncio
import json
import math
import struct
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from bookline.book import Embedding
from bookline.embedders import local
from bookline.embedders.local import DIRECT_CHARS, WordLlama
from bookline.embedders.openai_compatible import OpenAiCompatible
from bookline.embedders.opening import open_embedder
from bookline.embedders.together import EmbedderTogether
from bookline.embedders.vectors import plain
from bookline.embedders.workers_ai import WorkersAi
from bookline.errors import (
    EmbeddingRefused,
    GiveUp,
    ProviderDown,
    Refused,
    SlowDown,
    TryLater,
    WrongKey,
)
from bookline.net.aiohttp_http import AiohttpHttp
from bookline.ports import Answer, EmbedderOfMany, Http
from bookline_sandbox import Sandbox

LOCAL = WordLlama()  # loads at its first text, once for all tests


class Says:
    """The port, with one answer for all; remembers what it was asked."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[tuple[str, object, Mapping[str, str] | None]] = []

    get: Any = None

    async def post(
        self, url: str, *, json: object, headers: Mapping[str, str] | None = None
    ) -> Answer:
        self.asked.append((url, json, headers))
        return self.answer


@dataclass
class Subject:
    embedder: EmbedderOfMany
    dimensions: int


@pytest.fixture(params=["local", "workers-ai", "openai"])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    if request.param == "local":
        yield Subject(LOCAL, 256)
        return
    async with Sandbox() as sandbox, aclosing(AiohttpHttp()) as http:
        paths = {"workers-ai": "/client/v4/accounts/a1/ai/run", "openai": "/v1"}
        url = sandbox.url + paths[request.param]
        embedder = open_embedder(request.param, url, None, "a-key", http)
        assert embedder is not None
        yield Subject(embedder, {"workers-ai": 1024, "openai": 1536}[request.param])


async def test_a_text_becomes_a_vector_of_the_model(subject: Subject) -> None:
    embedding = await subject.embedder.embed("Moby Dick by Herman Melville. A whale.")

    assert (embedding.model, embedding.dimensions) == (subject.embedder.model, subject.dimensions)
    assert len(embedding.to_bytes()) == 4 * subject.dimensions
    assert cosine(embedding, embedding) == pytest.approx(1.0)


async def test_the_same_text_gives_the_same_vector(subject: Subject) -> None:
    first, second = [await subject.embedder.embed("Emma by Jane Austen.") for _ in range(2)]

    assert first == second


async def test_texts_of_the_same_matter_are_nearer(subject: Subject) -> None:
    whale, ship, tax = [
        await subject.embedder.embed(text)
        for text in (
            "the whale and the captain",
            "the captain hunts the whale at sea",
            "income tax law for accountants",
        )
    ]

    assert cosine(whale, ship) > cosine(whale, tax)


async def test_any_text_has_a_vector(subject: Subject) -> None:
    for text in ("half \ud83d of a character", "a\x00b", "鯨", "x" * 8_000, "."):
        assert (await subject.embedder.embed(text)).to_bytes()


async def test_many_texts_have_the_vectors_that_each_has_alone(subject: Subject) -> None:
    texts = ["Emma by Jane Austen.", "half \ud83d of a character", "the whale " * 300, "."]

    many = await subject.embedder.embed_many(texts)

    for text, vector in zip(texts, many, strict=True):
        alone = await subject.embedder.embed(text)
        assert isinstance(vector, Embedding)
        assert (vector.model, vector.dimensions) == (alone.model, alone.dimensions)
        assert cosine(vector, alone) == pytest.approx(1.0, abs=1e-5)


async def test_texts_that_come_at_the_same_time_are_one_question(subject: Subject) -> None:
    real, asked = subject.embedder.embed_many, []

    class Counted:
        model = subject.embedder.model
        embed = subject.embedder.embed

        async def embed_many(self, texts: Sequence[str]) -> Any:
            asked.append(texts)
            return await real(texts)

    together = EmbedderTogether(Counted())
    texts = [f"book {number}" for number in range(20)]

    vectors = await asyncio.gather(*map(together.embed, texts))

    assert asked == [texts]
    assert len({vector.to_bytes() for vector in vectors}) == 20


def cosine(one: Embedding, other: Embedding) -> float:
    form = f"<{one.dimensions}f"
    a, b = struct.unpack(form, one.to_bytes()), struct.unpack(form, other.to_bytes())
    dot: float = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a) * sum(x * x for x in b))


# ------------------------------------------------------------------ services that fail
def services(http: Http) -> list[EmbedderOfMany]:
    return [
        WorkersAi(http, url="https://api.example/ai/run/", key="s3cret", model="m"),
        OpenAiCompatible(http, url="https://api.example/v1/", key="s3cret", model="m"),
    ]


@pytest.fixture(params=["workers-ai", "openai"])
def index(request: pytest.FixtureRequest) -> int:
    return ["workers-ai", "openai"].index(request.param)


def wrapped(vector: object, index: int) -> Answer:
    """A vector in the form of the service."""
    form: Any = (
        {"result": {"shape": [1, 2], "data": [vector]}, "success": True},
        {"data": [{"object": "embedding", "index": 0, "embedding": vector}]},
    )[index]
    return Answer(status=200, body=json.dumps(form).encode())


def many_wrapped(vectors: Sequence[object], index: int) -> Answer:
    """The services' form for several texts; OpenAI's rows may come in any order."""
    rows = [{"index": n, "embedding": vector} for n, vector in enumerate(vectors)]
    form: Any = ({"result": {"data": vectors}}, {"data": rows[::-1]})[index]
    return Answer(status=200, body=json.dumps(form).encode())


async def test_each_text_gets_its_own_vector_or_its_own_error(index: int) -> None:
    vectors = [[1.0, 2.0], [1.0, "x"], [3.0, 4.0]]

    found = await services(Says(many_wrapped(vectors, index)))[index].embed_many(["a", "b", "c"])

    assert [found[0], found[2]] == [Embedding.of("m", [1.0, 2.0]), Embedding.of("m", [3.0, 4.0])]
    assert isinstance(found[1], EmbeddingRefused)


@pytest.mark.parametrize("vectors", [[], [[1.0]], [[1.0]] * 3], ids=["none", "fewer", "more"])
async def test_an_answer_for_other_texts_is_an_outage(index: int, vectors: list[object]) -> None:
    with pytest.raises(ProviderDown):
        await services(Says(many_wrapped(vectors, index)))[index].embed_many(["a", "b"])


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (400, EmbeddingRefused),
        (401, WrongKey),
        (403, WrongKey),
        (404, EmbeddingRefused),
        (408, ProviderDown),
        (422, EmbeddingRefused),
        (429, SlowDown),
        (500, ProviderDown),
        (503, ProviderDown),
    ],
)
async def test_a_status_says_what_to_do(index: int, status: int, outcome: type[Exception]) -> None:
    answer = Answer(status=status, headers={"retry-after": "7"}, body=b'{"error": "s3cret"}')
    embedder = services(Says(answer))[index]

    with pytest.raises(outcome) as raised:
        await embedder.embed("text")

    assert "s3cret" not in str(raised.value)
    if isinstance(raised.value, TryLater):
        assert raised.value.retry_after_seconds == 7


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"null",
        b"{}",
        b'{"result": null, "success": false, "data": null}',
        b'{"result": {}, "data": {}}',
        b'{"result": {"data": []}, "data": []}',
        b'{"result": {"data": [null]}, "data": [null]}',
        b'{"result": {"data": ["x"]}, "data": [{"embedding": "x"}]}',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
async def test_an_answer_of_another_form_is_an_outage(index: int, body: bytes) -> None:
    embedder = services(Says(Answer(status=200, body=body)))[index]

    with pytest.raises(ProviderDown):
        await embedder.embed("text")


@pytest.mark.parametrize(
    "vector",
    [[], [math.nan], [math.inf], [1e39], [10**400], ["1"], [True], [None], [[1.0]], [0.5] * 20_000],
    ids=str.__call__,
)
async def test_a_vector_that_is_none_is_refused(index: int, vector: list[object]) -> None:
    embedder = services(Says(wrapped(vector, index)))[index]

    with pytest.raises(EmbeddingRefused):
        await embedder.embed("text")


async def test_whole_numbers_are_numbers(index: int) -> None:
    embedder = services(Says(wrapped([1, 0], index)))[index]

    assert await embedder.embed("text") == Embedding.of("m", [1.0, 0.0])


# ------------------------------------------------------------------ each alone
async def test_workers_ai_is_asked_in_its_own_form() -> None:
    http = Says(wrapped([0.5] * 1024, 0))
    embedder = WorkersAi(http, url="https://cf.example/ai/run", key="k", model=None)

    await embedder.embed("a whale")

    url = "https://cf.example/ai/run/@cf/baai/bge-m3"
    assert http.asked == [(url, {"text": ["a whale"]}, {"authorization": "Bearer k"})]


async def test_bge_m3_has_1024_numbers_and_no_other() -> None:
    embedder = WorkersAi(Says(wrapped([0.5] * 768, 0)), url="https://x/", key="k", model=None)

    with pytest.raises(EmbeddingRefused, match="768"):
        await embedder.embed("a whale")


async def test_the_other_form_of_workers_ai_is_read_too() -> None:
    body = {"result": {"response": [[1.0, 2.0]], "shape": [1, 2], "pooling": "cls"}}
    http = Says(Answer(status=200, body=json.dumps(body).encode()))

    embedding = await WorkersAi(http, url="https://x", key="k", model="m").embed("a whale")

    assert embedding.dimensions == 2


async def test_a_service_without_a_key_is_asked_without_one() -> None:
    http = Says(wrapped([1.0], 1))

    await OpenAiCompatible(http, url="http://localhost:11434/v1", model="bge-m3").embed("a whale")

    asked = {"model": "bge-m3", "input": "a whale"}
    assert http.asked == [("http://localhost:11434/v1/embeddings", asked, {})]


async def test_a_long_text_keeps_the_loop_free_and_gives_the_same_vector() -> None:
    text = "whale " * DIRECT_CHARS

    assert await LOCAL.embed(text) == LOCAL._embed(text)


async def test_many_first_texts_at_once_load_the_model_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loads: list[object] = []
    real = tokenizers.Tokenizer

    class Counted:
        @staticmethod
        def from_file(path: str) -> tokenizers.Tokenizer:
            loads.append(path)
            return real.from_file(path)

    monkeypatch.setattr(tokenizers, "Tokenizer", Counted)
    embedder = WordLlama()

    await asyncio.gather(*(embedder.embed("a whale") for _ in range(8)))

    assert len(loads) == 1


@given(text=st.text(min_size=1, max_size=400) | st.text("whales é猫Ω\n12", max_size=400))
@settings(deadline=None)
def test_vectors_are_those_of_wordllama_itself(text: str) -> None:
    """What is kept was made by its code, too: new and old vectors must be comparable."""
    (averages,) = theirs().embed([plain(text) or " "])

    mine = asyncio.run(LOCAL.embed(text))

    assert mine == Embedding.of_bytes(LOCAL.model, (averages / norm(averages)).tobytes())


@cache
def theirs() -> Any:
    import wordllama

    here = Path(str(wordllama.__file__)).parent
    return wordllama.WordLlama.load(cache_dir=here, disable_download=True)


def norm(vector: Any) -> Any:
    return vector.dtype.type(float(vector.dot(vector)) ** 0.5)


async def test_a_package_that_is_missing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wordllama", None)

    with pytest.raises(EmbeddingRefused, match="it is not installed"):
        await WordLlama().embed("a whale")


@pytest.mark.parametrize(
    "head",
    [
        {"dtype": "F32", "shape": [32_000, 256], "data_offsets": [0, 32_768_000]},
        {"dtype": "F16", "shape": [32_000, 512], "data_offsets": [0, 32_768_000]},
        {"dtype": "F16", "shape": [32_000, 256], "data_offsets": [0, 16_384_000]},  # and no data
    ],
)
async def test_a_package_with_other_weights_is_refused(
    head: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = local._package()
    packed = json.dumps({"embedding.weight": head}).encode()
    (tmp_path / "weights").mkdir()
    (tmp_path / local._WEIGHTS).write_bytes(len(packed).to_bytes(8, "little") + packed)
    (tmp_path / "tokenizers").symlink_to(real / "tokenizers")
    monkeypatch.setattr(local, "_package", lambda: tmp_path)

    with pytest.raises(EmbeddingRefused, match="wordllama cannot be loaded"):
        await WordLlama().embed("a whale")


# ------------------------------------------------------------------ choosing
@pytest.mark.parametrize(
    ("kind", "model"),
    [
        ("local", "wordllama-l2-supercat-256"),
        ("workers-ai", "@cf/baai/bge-m3"),
        ("openai", "text-embedding-3-small"),
    ],
)
def test_each_kind_has_a_model_of_its_own(kind: str, model: str) -> None:
    embedder = open_embedder(kind, "https://x", None, "k", Says(Answer(status=500)))

    assert embedder is not None
    assert embedder.model == model


def test_none_is_no_embedder() -> None:
    assert open_embedder("none", None, None, None, Says(Answer(status=500))) is None


@pytest.mark.parametrize(
    ("kind", "url", "model", "key"),
    [
        ("magic", None, None, None),
        ("workers-ai", None, None, "k"),
        ("workers-ai", "https://x", None, None),
        ("local", None, "gpt", None),
    ],
)
def test_what_cannot_work_is_refused_at_the_start(
    kind: str, url: str | None, model: str | None, key: str | None
) -> None:
    with pytest.raises(Refused):
        open_embedder(kind, url, model, key, Says(Answer(status=500)))


def test_a_refused_vector_is_final() -> None:
    assert issubclass(EmbeddingRefused, GiveUp)

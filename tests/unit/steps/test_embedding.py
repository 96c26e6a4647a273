"""The step that makes the vector."""

import pytest

from bookline.book import Embedding, Metadata
from bookline.errors import EmbeddingRefused
from bookline.steps.embedding import LONGEST_TEXT_CHARS, GenerateEmbedding

BOOK = Metadata(
    isbn="9780142437247",
    title="Moby Dick",
    authors=("Herman Melville", "Another"),
    description="A whale.",
)


class Embedder:
    model = "m"

    def __init__(self, answer: Embedding) -> None:
        self.answer = answer
        self.texts: list[str] = []

    async def embed(self, text: str) -> Embedding:
        self.texts.append(text)
        return self.answer


async def test_the_text_is_title_by_author_and_description() -> None:
    embedder = Embedder(Embedding.of("m", [1.0, 2.0]))

    result = await GenerateEmbedding(embedder)(BOOK)

    assert embedder.texts == ["Moby Dick by Herman Melville. A whale."]
    assert result == Embedding.of("m", [1.0, 2.0]).to_json()


async def test_without_an_embedder_there_is_no_vector() -> None:
    assert await GenerateEmbedding(None)(BOOK) is None


async def test_a_description_goes_in_whole_as_far_as_models_read() -> None:
    """About 8,192 tokens."""
    embedder = Embedder(Embedding.of("m", [1.0]))
    book = Metadata(isbn=BOOK.isbn, title="T", description="A whale. " * 850 + "The end.")

    await GenerateEmbedding(embedder)(book)

    assert embedder.texts[0].endswith("The end.")


async def test_a_long_description_is_cut_between_characters() -> None:
    embedder = Embedder(Embedding.of("m", [1.0]))
    book = Metadata(isbn=BOOK.isbn, title="T", description="\U0001f40b" * 20_000)

    await GenerateEmbedding(embedder)(book)

    [text] = embedder.texts
    assert len(text) == LONGEST_TEXT_CHARS
    assert text.endswith("\U0001f40b")


@pytest.mark.parametrize(
    "broken",
    [
        Embedding.of("m", [float("nan"), 1.0]),
        Embedding(model="m", dimensions=3, vector=Embedding.of("m", [1.0]).vector),
        Embedding(model="m", dimensions=-1, vector=""),
        Embedding(model="m", dimensions=1, vector="ä"),
    ],
)
async def test_what_is_no_vector_goes_no_further(broken: Embedding) -> None:
    with pytest.raises(EmbeddingRefused):
        await GenerateEmbedding(Embedder(broken))(BOOK)

"""Numbers that a service sent → a vector, hostile ones refused.

Way:      workers_ai.py, openai_compatible.py → here → model.Embedding
Rule 1:   an answer of the wrong form may be right the next time (ProviderDown); numbers that are
          none will be none again (EmbeddingRefused).
Not here: a vector's stored form, which is model.Embedding's.
"""

from bookline.book import Embedding
from bookline.errors import BookNotFound, EmbeddingRefused, ProviderDown, ProviderRefused
from bookline.ports import Answer
from bookline.providers import answers

MOST_NUMBERS = 16_384  # our choice; the largest models in use have 4,096


def check(service: str, model: str, answer: Answer) -> None:
    """Returns when the answer holds what was asked for.

    Raises: WrongKey, EmbeddingRefused (final); SlowDown, ProviderDown (later).
    """
    try:
        answers.check(service, answer, advice="is BOOKLINE_EMBEDDER_API_KEY right?")
    except (BookNotFound, ProviderRefused) as error:
        said = f"{service} answered {answer.status}: does it have the model {model}?"
        raise EmbeddingRefused(said) from error


def read_vector(model: str, value: object, *, dimensions: int | None = None) -> Embedding:
    """The embedding whose numbers are ``value``; of ``dimensions``, when they are known.

    Raises: ProviderDown when it is no list; EmbeddingRefused when it is no vector of the model.
    """
    if not isinstance(value, list):
        raise ProviderDown(f"{model}: the answer holds no vector")
    if not 0 < len(value) <= MOST_NUMBERS:
        raise EmbeddingRefused(f"{model} gave a vector of {len(value)} numbers")
    if dimensions is not None and len(value) != dimensions:
        raise EmbeddingRefused(f"{model} gave {len(value)} numbers, and before {dimensions}")
    if not all(type(number) in (float, int) for number in value):
        raise EmbeddingRefused(f"{model} gave a vector that holds more than numbers")
    embedding = Embedding.of(model, value)
    embedding.to_bytes()
    return embedding


def plain(text: str) -> str:
    """The text without halves of characters, which no UTF-8 can hold."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

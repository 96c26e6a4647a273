"""Embedding services: Cloudflare Workers AI, the OpenAI form and Ollama's own.

Way:    app.py → here
Rule 1: a text's vector follows from its words alone; texts that share words are near.
"""

import base64
import hashlib
import math
import re
import struct
from functools import lru_cache
from typing import Any

from bookline_sandbox.wire import Answer, Call, Endpoint, Shelf, json_answer

ROUTE = "embeddings"
DIMENSIONS = 1024  # those of bge-m3
_PLACES = 8  # our choice: how many numbers of the vector one word touches
_KNOWN_DIMENSIONS = {"text-embedding-3-small": 1536, "text-embedding-3-large": 3072}


def vector(text: str, dimensions: int = DIMENSIONS) -> list[float]:
    """The text's vector, of length one."""
    sums = [0.0] * dimensions
    for word in re.findall(r"\w+", text.lower()) or [text]:
        for place, sign in _places(word, dimensions):
            sums[place] += sign
    length = math.sqrt(sum(value * value for value in sums)) or 1.0
    return [round(value / length, 7) for value in sums]


@lru_cache(maxsize=20_000)
def _places(word: str, dimensions: int) -> tuple[tuple[int, float], ...]:
    digest = hashlib.shake_128(word.encode()).digest(_PLACES * 4)
    numbers = struct.unpack(f">{_PLACES}I", digest)
    return tuple((number // 2 % dimensions, 1.0 if number % 2 else -1.0) for number in numbers)


def failure(status: int) -> Answer:
    """An error in the form that OpenAI-compatible services share."""
    kinds = {401: "invalid_request_error", 429: "requests"}
    code = {401: "invalid_api_key", 429: "rate_limit_exceeded"}.get(status)
    message = {401: "Incorrect API key provided.", 429: "Rate limit reached."}.get(status, "Error")
    error = {"message": message, "type": kinds.get(status, "server_error"), "param": None}
    return json_answer({"error": error | {"code": code}}, status)


def _cloudflare_failure(status: int) -> Answer:
    codes = {401: 10000, 403: 10000, 429: 3040, 400: 5006}
    words = {401: "Authentication error", 403: "Authentication error", 429: "Capacity exceeded"}
    error = {"code": codes.get(status, 3043), "message": words.get(status, "AiError")}
    body = {"result": None, "success": False, "errors": [error], "messages": []}
    return json_answer(body, status)


def _ollama_failure(status: int) -> Answer:
    return json_answer({"error": f"error {status}"}, status)


def endpoints() -> list[Endpoint]:
    """What app.py serves."""
    served = {
        "/client/v4/accounts/{account}/ai/run/{model:path}": (_cloudflare, _cloudflare_failure),
        "/v1/embeddings": (_openai, failure),
        "/api/embed": (_ollama, _ollama_failure),
    }
    return [
        Endpoint(
            path=path, route=ROUTE, asked=_asks_nothing, answer=answer, failure=fails, method="POST"
        )
        for path, (answer, fails) in served.items()
    ]


def _asks_nothing(call: Call) -> tuple[str, ...]:
    return ()


def _texts(call: Call, name: str) -> list[str] | None:
    value = call.json
    given = value.get(name) if isinstance(value, dict) else None
    texts = [given] if isinstance(given, str) else given
    if isinstance(texts, list) and texts and all(isinstance(text, str) for text in texts):
        return texts
    return None


async def _cloudflare(call: Call, shelf: Shelf) -> Answer:
    texts = _texts(call, "text")
    if texts is None or call.params["model"] != "@cf/baai/bge-m3":
        return _cloudflare_failure(400)
    data = [vector(text) for text in texts]
    result = {"shape": [len(data), DIMENSIONS], "data": data, "pooling": "cls"}
    return json_answer({"result": result, "success": True, "errors": [], "messages": []})


async def _openai(call: Call, shelf: Shelf) -> Answer:
    texts = _texts(call, "input")
    if texts is None:
        return failure(400)
    model = str(call.json.get("model", ""))
    asked = call.json.get("dimensions")
    dimensions = asked if isinstance(asked, int) else _KNOWN_DIMENSIONS.get(model, DIMENSIONS)
    packed = call.json.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": at, "embedding": _pack(vector(text, dimensions), packed)}
        for at, text in enumerate(texts)
    ]
    tokens = sum(len(text.split()) for text in texts)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return json_answer({"object": "list", "data": data, "model": model, "usage": usage})


def _pack(numbers: list[float], packed: bool) -> Any:
    if not packed:
        return numbers
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


async def _ollama(call: Call, shelf: Shelf) -> Answer:
    texts = _texts(call, "input")
    if texts is None:
        return _ollama_failure(400)
    return json_answer({
        "model": call.json.get("model"),
        "embeddings": [vector(text) for text in texts],
        "total_duration": 14_143_917,
        "load_duration": 1_019_500,
        "prompt_eval_count": sum(len(text.split()) for text in texts),
    })  # fmt: skip

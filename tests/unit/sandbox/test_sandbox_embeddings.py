"""The embedding services."""

import base64
import struct

import aiohttp
import pytest

from bookline_sandbox import Sandbox
from bookline_sandbox.embeddings import vector

pytestmark = pytest.mark.asyncio(loop_scope="session")

CLOUDFLARE = "/client/v4/accounts/abc/ai/run/@cf/baai/bge-m3"


def nearness(first: list[float], second: list[float]) -> float:
    return sum(one * other for one, other in zip(first, second, strict=True))


async def test_cloudflare_answers_in_its_envelope(http: aiohttp.ClientSession) -> None:
    async with http.post(CLOUDFLARE, json={"text": ["whale", "dragon"]}) as answer:
        body = await answer.json()

    assert body["result"]["shape"] == [2, 1024]
    assert [len(one) for one in body["result"]["data"]] == [1024, 1024]
    assert (body["success"], body["errors"], body["messages"]) == (True, [], [])


async def test_openai_numbers_its_vectors(http: aiohttp.ClientSession) -> None:
    query = {"model": "text-embedding-3-small", "input": ["whale", "dragon"]}
    async with http.post("/v1/embeddings", json=query) as answer:
        body = await answer.json()

    assert [one["index"] for one in body["data"]] == [0, 1]
    assert len(body["data"][0]["embedding"]) == 1536
    assert body["usage"] == {"prompt_tokens": 2, "total_tokens": 2}


async def test_openai_packs_vectors_when_asked(http: aiohttp.ClientSession) -> None:
    query = {"model": "m", "input": "whale", "encoding_format": "base64", "dimensions": 64}
    async with http.post("/v1/embeddings", json=query) as answer:
        packed = (await answer.json())["data"][0]["embedding"]

    assert struct.unpack("<64f", base64.b64decode(packed)) == pytest.approx(vector("whale", 64))


async def test_ollama_answers_in_its_own_form(http: aiohttp.ClientSession) -> None:
    async with http.post("/api/embed", json={"model": "bge-m3", "input": "whale"}) as answer:
        body = await answer.json()

    assert body["model"] == "bge-m3"
    assert body["embeddings"] == [vector("whale")]


@pytest.mark.parametrize("path", [CLOUDFLARE, "/v1/embeddings", "/api/embed"])
@pytest.mark.parametrize("body", [{}, [], {"text": [], "input": []}, {"text": 1, "input": [1]}])
async def test_without_a_text_it_is_a_400(
    http: aiohttp.ClientSession, path: str, body: object
) -> None:
    async with http.post(path, json=body) as answer:
        assert answer.status == 400


async def test_a_fault_meets_the_embeddings(sandbox: Sandbox, http: aiohttp.ClientSession) -> None:
    sandbox.faults.add(kind="429", route="embeddings")

    async with http.post(CLOUDFLARE, json={"text": ["whale"]}) as answer:
        assert answer.status == 429
        assert (await answer.json())["success"] is False


async def test_texts_that_share_words_are_near() -> None:
    whale = vector("a captain hunts the white whale")

    assert nearness(whale, whale) == pytest.approx(1, abs=1e-5)
    assert nearness(whale, vector("the white whale")) > nearness(whale, vector("a cake recipe"))
    assert vector("") == vector("")

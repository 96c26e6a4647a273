"""What every object store promises: in memory, in a folder, at S3."""

import asyncio
import urllib.request
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from obstore.store import LocalStore, MemoryStore

from bookline.errors import Refused, StoreDown
from bookline.ports import ObjectStore, StoredObject
from bookline.stores.memory_objects import MOST_BYTES, MemoryObjects
from bookline.stores.obstore_objects import ObstoreObjects, open_objects

KEY = "covers/9780142437247.png"
ATTRIBUTES = {"source-url": "https://h.test/a?id=1&zoom=1", "sha256": "ab" * 32}


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    """A stand-in for S3 on the loopback, with one bucket."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # moto's own, at its import
        from moto.server import ThreadedMotoServer

    server: Any = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    with urllib.request.urlopen(urllib.request.Request(f"{endpoint}/shelf", method="PUT")):
        pass
    yield endpoint
    server.stop()


@pytest.fixture
def s3_url(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch, request: Any) -> str:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    return f"s3://shelf/{abs(hash(request.node.name))}/x?endpoint={s3_endpoint}&region=auto"


@pytest.fixture(params=["memory", "obstore-memory", "folder", "s3"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "memory":
        return open_objects("memory://", tmp_path)
    if request.param == "obstore-memory":
        return ObstoreObjects(MemoryStore())
    if request.param == "folder":
        return open_objects(None, tmp_path)
    return open_objects(request.getfixturevalue("s3_url"), tmp_path)


# ------------------------------------------------------------------ the contract
async def test_what_is_kept_is_found_with_its_type(objects: ObjectStore) -> None:
    await objects.keep(KEY, b"picture", "image/png", ATTRIBUTES)

    assert await objects.find(KEY) == StoredObject(
        key=KEY, body=b"picture", content_type="image/png"
    )


async def test_what_is_not_there_is_none(objects: ObjectStore) -> None:
    assert await objects.find(KEY) is None


async def test_keeping_again_replaces(objects: ObjectStore) -> None:
    await objects.keep(KEY, b"older and longer", "image/png", {})
    await objects.keep(KEY, b"newer", "image/png", {})

    found = await objects.find(KEY)
    assert found is not None
    assert found.body == b"newer"


async def test_removing_is_safe_twice(objects: ObjectStore) -> None:
    await objects.keep(KEY, b"picture", "image/png", {})

    await objects.remove(KEY)
    await objects.remove(KEY)

    assert await objects.find(KEY) is None


async def test_a_reader_never_sees_half_of_a_picture(objects: ObjectStore) -> None:
    bodies = [bytes([at]) * 100_000 for at in range(4)]
    await objects.keep(KEY, bodies[0], "image/png", {})

    async def keep(body: bytes) -> None:
        await objects.keep(KEY, body, "image/png", {})

    async with asyncio.TaskGroup() as tasks:
        reads = [tasks.create_task(objects.find(KEY)) for _ in bodies]
        for body in bodies:
            tasks.create_task(keep(body))
        reads += [tasks.create_task(objects.find(KEY)) for _ in bodies]

    assert all(read.result() and read.result().body in bodies for read in reads)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "key", ["", "/", "/etc/passwd", "../x", "covers/../../x", "a//b", "a/", ".x", "a\\b", "a\0b",
            "é", "a b", "a%2e%2e/b", "a" * 201]
)  # fmt: skip
async def test_a_key_that_leads_elsewhere_is_refused(objects: ObjectStore, key: str) -> None:
    with pytest.raises(Refused):
        await objects.keep(key, b"x", "image/png", {})
    with pytest.raises(Refused):
        await objects.find(key)
    with pytest.raises(Refused):
        await objects.remove(key)


async def test_the_largest_cover_is_kept_and_more_is_refused(objects: ObjectStore) -> None:
    await objects.keep(KEY, bytes(MOST_BYTES), "image/png", {})

    with pytest.raises(Refused) as caught:
        await objects.keep(KEY, bytes(MOST_BYTES + 1), "image/png", {})

    assert caught.value.code == "PAYLOAD_TOO_LARGE"


async def test_a_store_that_can_be_written_is_well(objects: ObjectStore) -> None:
    await objects.check()


# ------------------------------------------------------------------ when it is down
@contextmanager
def down(says: str = "the object store did not") -> Iterator[None]:
    with pytest.raises(StoreDown, match=says) as caught:
        yield
    assert caught.value.code == "COVER_FAILED"
    assert caught.value.__cause__ is not None


@pytest.fixture
async def broken(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ObjectStore]:
    if request.param == "folder":
        folder = tmp_path / "covers-here"
        folder.mkdir()
        objects = open_objects(folder.as_uri(), tmp_path)
        (folder / "covers").write_bytes(b"a file where a folder should be")
        (folder / "checks").write_bytes(b"")
        yield objects
        return
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    # It takes the connection, and hangs up.
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield open_objects(f"s3://shelf?endpoint=http://127.0.0.1:{port}", tmp_path)


@pytest.mark.parametrize("broken", ["folder", "s3"], indirect=True)
async def test_no_foreign_error_leaves(broken: ObjectStore) -> None:
    with down():
        await broken.keep(KEY, b"picture", "image/png", {})
    with down():
        await broken.check()


async def test_a_missing_bucket_is_an_outage_not_an_absent_cover(
    s3_url: str, tmp_path: Path
) -> None:
    objects = open_objects(s3_url.replace("shelf", "nowhere"), tmp_path)

    with down("it answered NoSuchBucket"):
        await objects.check()
    with down():
        await objects.find(KEY)


async def test_a_store_that_nobody_serves_is_told_as_such(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")

    with down("it could not be reached"):
        await open_objects("s3://shelf?endpoint=http://127.0.0.1:1", tmp_path).check()


async def test_an_object_over_the_cap_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "large.png").write_bytes(bytes(MOST_BYTES + 1))

    with pytest.raises(StoreDown):
        await ObstoreObjects(LocalStore(tmp_path)).find("large.png")


# ------------------------------------------------------------------ each kind's own
async def test_s3_keeps_the_type_and_the_provenance(s3_url: str, tmp_path: Path) -> None:
    objects = open_objects(s3_url, tmp_path)
    await objects.keep(KEY, b"picture", "image/png", ATTRIBUTES)

    assert isinstance(objects, ObstoreObjects)
    kept = await objects._store.get_async(KEY)
    assert kept.attributes.items() >= {"Content-Type": "image/png", **ATTRIBUTES}.items()


@pytest.mark.parametrize(
    ("extension", "content_type"),
    [("jpg", "image/jpeg"), ("gif", "image/gif"), ("bin", "application/octet-stream")],
)
async def test_a_folder_knows_the_type_by_the_extension(
    tmp_path: Path, extension: str, content_type: str
) -> None:
    objects = open_objects(None, tmp_path)
    await objects.keep(f"covers/1.{extension}", b"x", "ignored", {})

    found = await objects.find(f"covers/1.{extension}")
    assert found is not None
    assert found.content_type == content_type
    assert (tmp_path / "objects" / "covers" / f"1.{extension}").read_bytes() == b"x"


async def test_a_check_leaves_nothing_behind(tmp_path: Path) -> None:
    await open_objects(None, tmp_path).check()

    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


async def test_a_folder_is_found_by_its_address(tmp_path: Path) -> None:
    folder = tmp_path / "my covers"

    await open_objects(folder.as_uri(), Path("unused")).keep(KEY, b"x", "image/png", {})

    assert (folder / KEY).read_bytes() == b"x"


def test_memory_is_the_twin_that_ships() -> None:
    assert isinstance(open_objects("memory://", Path("unused")), MemoryObjects)


@pytest.mark.parametrize(
    "url",
    [
        "covers",
        "ftp://host/x",
        "file://host/x",
        "file:///",
        "file://relative",
        "s3://",
        "s3://key:secret@bucket",
        "s3://bucket?endpoint=http://minio.example:9000",
        "s3://bucket?endpoint=http://10.0.0.5:9000",
        "s3://bucket?endpoint=minio",
        "s3://bucket?endpoint=https://key:secret@r2.example",
        "s3://bucket?access_key_id=secret",
        "https://[",
    ],
)
def test_an_address_that_is_not_understood_is_refused_without_telling_it(
    url: str, tmp_path: Path
) -> None:
    with pytest.raises(Refused, match="OBJECT_STORE_URL") as caught:
        open_objects(url, tmp_path)

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["s3://bucket/prefix?endpoint=https://r2.example&region=auto",
                                 "s3://bucket?endpoint=http://[::1]:9000",
                                 "s3://bucket?endpoint=http://localhost:9000"])  # fmt: skip
def test_an_address_that_is_understood_opens_without_asking_anybody(
    url: str, tmp_path: Path
) -> None:
    assert isinstance(open_objects(url, tmp_path), ObstoreObjects)


def test_a_folder_that_cannot_be_made_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"")

    with pytest.raises(StoreDown, match="taken"):
        open_objects((tmp_path / "taken" / "covers").as_uri(), tmp_path)

"""Pictures in a folder or in any S3-compatible store (R2, MinIO), by obstore.

Way:      app.py → open_objects → steps/cover.py, api/
Source:   obstore 0.12; for R2 the region is ``auto`` and the endpoint the account's address.
Rule 1:   puts are whole or not at all: a rename in a folder, one request at S3.
Rule 2:   a folder keeps bytes alone: there the type is the extension's, and where a picture is
          from is told by the library's row.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from obstore.exceptions import BaseError
from obstore.store import LocalStore, MemoryStore, S3Store

from bookline.errors import Refused, StoreDown
from bookline.ports import ObjectStore, StoredObject
from bookline.stores.memory_objects import MOST_BYTES, MemoryObjects, refuse_body, refuse_key

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Config

FOLDER = "objects"
"""Below the data folder, when no address is configured."""

PROBE_KEY = "checks/write"
CONTENT_TYPES: Mapping[str, str] = {
    "jpg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "gif": "image/gif",
}
UNKNOWN_TYPE = "application/octet-stream"

# Our choices: the step that keeps a cover has 20 s for each try, and retries of its own.
_CLIENT: ClientConfig = {"connect_timeout": "3s", "timeout": "10s"}
_RETRY: RetryConfig = {"max_retries": 1, "retry_timeout": timedelta(seconds=8)}
_PARAMETERS = frozenset({"endpoint", "region"})
_S3_CODE = re.compile(r"<Code>(\w{1,64})</Code>")


def open_objects(url: str | None, data_dir: Path) -> ObjectStore:
    """The object store at an address: ``file:///…``, ``s3://bucket/prefix?endpoint=…&region=…``,
    ``memory://``; a folder below the data folder when there is none.

    Folders are created. S3's credentials come from the usual ``AWS_…`` variables.
    Raises: Refused when the address is none of these; StoreDown when a folder cannot be made.
    """
    if not url:
        return _open_folder(data_dir / FOLDER)
    parts = _split(url)
    if parts.scheme == "memory":
        return MemoryObjects()
    if parts.scheme == "file":
        if parts.netloc not in {"", "localhost"} or not parts.path.strip("/") or parts.query:
            raise _no_address("a folder is file:/// and its whole path")
        return _open_folder(Path(unquote(parts.path)))
    if parts.scheme == "s3":
        return _open_s3(parts)
    raise _no_address("it begins with file:///, s3:// or memory://")


class ObstoreObjects:
    """An ``ObjectStore`` over one of obstore's stores."""

    def __init__(self, store: LocalStore | MemoryStore | S3Store) -> None:
        self._store = store
        self._keeps_attributes = not isinstance(store, LocalStore)

    async def keep(
        self, key: str, body: bytes, content_type: str, attributes: Mapping[str, str]
    ) -> None:
        """Keeps the object, whole or not at all; an older one of this key is replaced.

        Raises: StoreDown; Refused (key, size).
        """
        refuse_key(key)
        refuse_body(body)
        beside = {"Content-Type": content_type, **attributes} if self._keeps_attributes else None
        with _our_errors("keep", key):
            await self._store.put_async(key, body, attributes=beside, use_multipart=False)

    async def find(self, key: str) -> StoredObject | None:
        """The object, or None.

        Raises: StoreDown; Refused for a key that no object can have.
        """
        refuse_key(key)
        try:
            with _our_errors("find", key, absent=True):
                found = await self._store.get_async(key)
                if found.meta["size"] > MOST_BYTES:
                    raise StoreDown(f"{key} is larger than what is kept here", "COVER_FAILED")
                body = bytes(await found.bytes_async())
        except FileNotFoundError:
            return None
        content_type = found.attributes.get("Content-Type") or _type_of(key)
        return StoredObject(key=key, body=body, content_type=content_type)

    async def remove(self, key: str) -> None:
        """Removes the object, if it is there. Raises: StoreDown; Refused (key)."""
        refuse_key(key)
        with suppress(FileNotFoundError), _our_errors("remove", key, absent=True):
            await self._store.delete_async(key)

    async def check(self) -> None:
        """Writes and removes a probe. Raises: StoreDown when it cannot be written."""
        await self.keep(PROBE_KEY, b"", UNKNOWN_TYPE, {})
        await self.remove(PROBE_KEY)


@contextmanager
def _our_errors(what: str, key: str, *, absent: bool = False) -> Iterator[None]:
    """Makes obstore's errors ours. With ``absent``, its FileNotFoundError stays: no such object."""
    try:
        yield
    except (BaseError, OSError, ValueError) as error:
        # S3 answers 404 for a missing bucket as well, and that is no missing cover.
        is_absent = isinstance(error, FileNotFoundError) and "NoSuchBucket" not in str(error)
        if absent and is_absent:
            raise
        raise StoreDown(
            f"the object store did not {what} {key}: {_reason(error)}", "COVER_FAILED"
        ) from error


def _reason(error: Exception) -> str:
    """What S3 itself calls it, and no more of its answer: that may name the key's owner."""
    told = str(error)
    if "kind: Connect" in told:
        return "it could not be reached"
    code = _S3_CODE.search(told)
    return f"it answered {code[1]}" if code else type(error).__name__


def _open_folder(folder: Path) -> ObstoreObjects:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return ObstoreObjects(LocalStore(folder.resolve()))
    except (BaseError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise StoreDown(f"the folder {folder} cannot be used: {reason}") from error


def _open_s3(parts: SplitResult) -> ObstoreObjects:
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if "@" in parts.netloc:
        raise _no_address("credentials come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    if not parts.netloc or query.keys() - _PARAMETERS:
        raise _no_address("s3://bucket/prefix, then endpoint= and region= alone")
    config: S3Config = {"bucket": parts.netloc}
    client = _CLIENT
    if endpoint := query.get("endpoint"):
        config["endpoint"] = endpoint
        client = client | {"allow_http": _refuse_endpoint(endpoint)}
    if region := query.get("region"):
        config["region"] = region
    try:
        return ObstoreObjects(
            S3Store(
                config=config,
                prefix=unquote(parts.path).strip("/") or None,
                client_options=client,
                retry_config=_RETRY,
            )
        )
    except (BaseError, OSError, ValueError) as error:
        raise _no_address(str(error)) from error


def _refuse_endpoint(endpoint: str) -> bool:
    """Whether it is plain http, which only this machine may be.

    Raises: Refused for any other host, and for what is no address.
    """
    parts = _split(endpoint)
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
        raise _no_address("endpoint= is an https address")
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise _no_address("endpoint= may be http on this machine only")
    return parts.scheme == "http"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError as error:
        raise _no_address("it is no address") from error


def _no_address(why: str) -> Refused:
    return Refused("INVALID_REQUEST", f"OBJECT_STORE_URL is not understood: {why}")


def _type_of(key: str) -> str:
    return CONTENT_TYPES.get(key.rpartition(".")[2], UNKNOWN_TYPE)

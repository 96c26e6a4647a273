"""Pictures in a dict, and the rules of keys and sizes that every object store keeps.

Way:      app.py chooses it for ``memory://``; obstore_objects.py takes the rules from here
"""

import re
from collections.abc import Mapping

from bookline.errors import Refused
from bookline.ports import StoredObject

MOST_BYTES = 10 * 1024 * 1024  # docs/contract.md: the largest cover
LONGEST_KEY_CHARS = 200  # our choice; a cover's key has 25

_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*")


class MemoryObjects:
    """An ``ObjectStore`` that forgets everything with the process."""

    def __init__(self) -> None:
        self._objects: dict[str, StoredObject] = {}
        self._attributes: dict[str, dict[str, str]] = {}

    async def keep(
        self, key: str, body: bytes, content_type: str, attributes: Mapping[str, str]
    ) -> None:
        """Keeps the object, whole or not at all. Raises: Refused (key, size)."""
        refuse_key(key)
        refuse_body(body)
        self._objects[key] = StoredObject(key=key, body=body, content_type=content_type)
        self._attributes[key] = dict(attributes)

    async def find(self, key: str) -> StoredObject | None:
        """The object. Raises: Refused for a key that no object can have."""
        refuse_key(key)
        return self._objects.get(key)

    async def remove(self, key: str) -> None:
        """Removes the object, if it is there."""
        refuse_key(key)
        self._objects.pop(key, None)
        self._attributes.pop(key, None)

    async def check(self) -> None:
        """Always well."""

    def attributes(self, key: str) -> Mapping[str, str]:
        """What was kept beside an object, for whoever looks inside."""
        return self._attributes[key]


def is_key(text: str) -> bool:
    """Whether this is plain names joined by slashes: no ``..``, no root."""
    return len(text) <= LONGEST_KEY_CHARS and _KEY.fullmatch(text) is not None


def refuse_key(key: str) -> None:
    """Raises: Refused unless ``is_key``."""
    if not is_key(key):
        raise Refused("INVALID_REQUEST", "this is no key of the object store")


def refuse_body(body: bytes) -> None:
    """Raises: Refused for a body over the cap."""
    if len(body) > MOST_BYTES:
        raise Refused("PAYLOAD_TOO_LARGE", f"an object may have {MOST_BYTES} bytes")

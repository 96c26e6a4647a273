"""Who may ask: API keys, and tokens that open one job's story.

Rule 1:  compared in constant time, over hashes, so that not even a length shows.
Rule 2:  a key or token is never in a log, an error or an event.
Source:  RFC 6750 for the bearer header.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path

from bookline.errors import Refused, StoreDown

TOKEN_SECONDS = 7_200  # 2 h: docs/contract.md, Access
SECRET_FILE = "token-secret"  # noqa: S105 - a name


class Keys:
    """The deployment's API keys; none means that every caller on this machine may ask."""

    def __init__(self, keys: Collection[str]) -> None:
        self._hashes = [_hash(key) for key in keys]

    def __bool__(self) -> bool:
        return bool(self._hashes)

    def match(self, authorization: str | None) -> str | None:
        """A name for the caller (the key's hash) if the header holds one of the keys."""
        scheme, _, key = (authorization or "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        found = _hash(key.strip())
        matches = [hmac.compare_digest(found, known) for known in self._hashes]  # all of them
        return found.hex()[:16] if any(matches) else None


class Tokens:
    """Signed tokens: ``{expiry}.{signature}``, for one job each."""

    def __init__(self, secret: str = "") -> None:
        self._secret = secret.encode()

    async def share(self, keep: Callable[[str, str], Awaitable[str]]) -> None:
        """Signs as all nodes of a deployment do: with what the first of them has kept."""
        secret = await keep("tokens", secrets.token_urlsafe(32))
        self._secret = secret.encode()

    def issue(self, job_id: str, now_ms: int) -> str:
        """A token that opens this job for ``TOKEN_SECONDS``."""
        expiry = str(now_ms // 1000 + TOKEN_SECONDS)
        return f"{expiry}.{self._sign(job_id, expiry)}"

    def opens(self, token: str, job_id: str, now_ms: int) -> bool:
        """True if it is ours, for this job, and not expired."""
        expiry, _, signature = token.partition(".")
        right = hmac.compare_digest(
            signature.encode("utf-8", "replace"), self._sign(job_id, expiry).encode()
        )
        return right and expiry.isascii() and expiry.isdigit() and int(expiry) > now_ms // 1000

    def _sign(self, job_id: str, expiry: str) -> str:
        text = f"{job_id}\n{expiry}".encode("utf-8", "replace")
        digest = hmac.new(self._secret, text, hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def keep_secret(given: str, folder: Path) -> str:
    """The configured secret; without one, one that is made once and kept in the folder.

    Raises: StoreDown when it cannot be kept, Refused for a kept one that is too short to be safe.
    """
    from bookline.folders import write_once
    from bookline.settings import LEAST_SECRET

    if given:
        return given
    path = folder / SECRET_FILE
    try:
        if not path.exists():
            write_once(path, secrets.token_urlsafe(32))
        kept = path.read_text("utf-8").strip()
    except OSError as error:
        raise StoreDown(f"cannot keep {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise StoreDown(f"{path} is no text: remove it, and a new one is made") from error
    if len(kept) < LEAST_SECRET:
        raise Refused(
            "FORBIDDEN",
            f"{path} holds fewer than {LEAST_SECRET} characters, so tokens could be forged: "
            "remove it, and a new one is made",
        )
    return kept


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()

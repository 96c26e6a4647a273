"""Who goes which way: a percent, a salt, a kill switch, and people who are sent by name.

Way:      migration/rollouts.py keeps and changes it → here
Rule 1:   the same person always goes the same way, in every process and after every restart: their
          place comes from a salted hash, never from chance.
Rule 2:   a higher percent only moves people forward. A new salt deals everybody anew.
Rule 3:   what cannot be read sends everybody to legacy: the fault is in our own books.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from bookline.errors import Refused
from bookline.values import Json

WORKFLOW, LEGACY = "workflow", "legacy"
STAGES = (0, 10, 50, 100)
SALT = "book-import"
USERS_MOST = 1_000  # our choice: testers, not a second rollout
INCIDENTS_MOST = 100  # our choice
TEXT_CHARS = 200  # our choice: of a salt, a user id, an incident


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """Something that is wrong and keeps the rollout where it is until somebody resolves it."""

    number: int
    at_ms: int
    actor: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """What decides between workflow and legacy."""

    percent: int
    """Share of the people who go by the workflow, 0 to 100."""
    salt: str = SALT
    kill_switch: bool = False
    """Everybody whom the rollout decides for goes by legacy, whatever else stands here."""
    automatic: bool = False
    """Advances by itself when all gates are passed, and rolls back when one breaks."""
    users: Mapping[str, str] = field(default_factory=dict)
    """User id → method, for testers."""
    incidents: tuple[Incident, ...] = ()
    """Open ones."""
    since_ms: int = 0
    """When this share began: the gates look at imports from then on."""

    @property
    def stage(self) -> int:
        """The last of 0, 10, 50, 100 that the percent has come to."""
        return max(stage for stage in STAGES if stage <= self.percent)

    @property
    def next_stage(self) -> int | None:
        """None at 100."""
        return next((stage for stage in STAGES if stage > self.percent), None)

    def method_for(self, user_id: str | None, isbn: str) -> str:
        """``workflow`` or ``legacy``. By the user; for an import without one by the ISBN-13."""
        if self.kill_switch:
            return LEGACY
        if user_id is not None and user_id in self.users:
            return self.users[user_id]
        key = f"isbn:{isbn}" if user_id is None else f"user:{user_id}"
        return WORKFLOW if place_of(self.salt, key) < self.percent else LEGACY

    def to_json(self) -> Json:
        """The stored form."""
        return {
            "percent": self.percent,
            "salt": self.salt,
            "killSwitch": self.kill_switch,
            "automatic": self.automatic,
            "users": dict(self.users),
            "incidents": [
                {"number": one.number, "at": one.at_ms, "actor": one.actor, "text": one.text}
                for one in self.incidents
            ],
            "since": self.since_ms,
        }

    @classmethod
    def from_json(cls, data: Json) -> "Rollout":
        """Raises: Refused for anything but what ``to_json`` gives."""
        try:
            read = cls(
                percent=data["percent"],
                salt=data["salt"],
                kill_switch=data["killSwitch"],
                automatic=data["automatic"],
                users=dict(data["users"]),
                incidents=tuple(
                    Incident(
                        number=one["number"], at_ms=one["at"], actor=one["actor"], text=one["text"]
                    )
                    for one in data["incidents"]
                ),
                since_ms=data["since"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise Refused("INVALID_REQUEST", f"no rollout: {error!r}") from error
        check(read)
        return read


def place_of(salt: str, key: str) -> float:
    """Where in 0 to 100 a key lies: evenly spread, and another place under another salt."""
    digest = hashlib.sha256(f"{salt}\0{key}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 * 100


def check(rollout: Rollout) -> None:
    """Raises: Refused (INVALID_REQUEST) with what to send instead."""
    percent, salt = rollout.percent, rollout.salt
    if isinstance(percent, bool) or not isinstance(percent, int) or not 0 <= percent <= 100:
        raise Refused("INVALID_REQUEST", "percent must be a whole number from 0 to 100")
    if not isinstance(salt, str) or not 1 <= len(salt) <= TEXT_CHARS:
        raise Refused("INVALID_REQUEST", f"salt must be text of 1 to {TEXT_CHARS} characters")
    for name, value in (("killSwitch", rollout.kill_switch), ("automatic", rollout.automatic)):
        if not isinstance(value, bool):
            raise Refused("INVALID_REQUEST", f"{name} must be true or false")
    if isinstance(rollout.since_ms, bool) or not isinstance(rollout.since_ms, int):
        raise Refused("INVALID_REQUEST", "since must be a time in milliseconds")
    if len(rollout.users) > USERS_MOST:
        raise Refused("INVALID_REQUEST", f"users may have {USERS_MOST} entries")
    for user_id, method in rollout.users.items():
        if method not in {WORKFLOW, LEGACY} or not 1 <= len(user_id) <= TEXT_CHARS:
            raise Refused(
                "INVALID_REQUEST", 'users must look like {"user-17": "workflow", "ada": "legacy"}'
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What somebody wants to be different; None leaves a thing as it is."""

    percent: int | None = None
    salt: str | None = None
    kill_switch: bool | None = None
    automatic: bool | None = None
    users: Mapping[str, str | None] | None = None
    """User id → method; None for a user takes the name off the list. Others stay."""
    incident: str | None = None
    """Opens one with this text."""
    resolve: int | None = None
    """Number of an incident that is over."""

    def applied(self, to: Rollout, now_ms: int, actor: str) -> Rollout:
        """Raises: Refused (INVALID_REQUEST, NOT_FOUND)."""
        changed = replace(
            to,
            percent=to.percent if self.percent is None else self.percent,
            salt=to.salt if self.salt is None else self.salt,
            kill_switch=to.kill_switch if self.kill_switch is None else self.kill_switch,
            automatic=to.automatic if self.automatic is None else self.automatic,
            users=_users(to.users, self.users),
            incidents=self._incidents(to.incidents, now_ms, actor),
        )
        check(changed)
        deals_anew = (to.percent, to.salt, to.kill_switch) != (
            changed.percent, changed.salt, changed.kill_switch,
        )  # fmt: skip
        return replace(changed, since_ms=now_ms) if deals_anew else changed

    def _incidents(
        self, known: tuple[Incident, ...], now_ms: int, actor: str
    ) -> tuple[Incident, ...]:
        if self.resolve is not None:
            if self.resolve not in {one.number for one in known}:
                raise Refused("NOT_FOUND", f"there is no open incident {self.resolve}")
            known = tuple(one for one in known if one.number != self.resolve)
        if self.incident is None:
            return known
        text = self.incident.strip()[:TEXT_CHARS]
        if not text:
            raise Refused("INVALID_REQUEST", "an incident needs a text")
        if text in {one.text for one in known}:
            return known  # a client that asks twice means one
        if len(known) >= INCIDENTS_MOST:
            raise Refused("INVALID_REQUEST", f"{INCIDENTS_MOST} incidents are open; resolve some")
        number = max((one.number for one in known), default=0) + 1
        return (*known, Incident(number=number, at_ms=now_ms, actor=actor, text=text))


def _users(known: Mapping[str, str], change: Mapping[str, str | None] | None) -> Mapping[str, str]:
    merged: dict[str, str | None] = {**known, **(change or {})}
    return {user_id: method for user_id, method in merged.items() if method is not None}

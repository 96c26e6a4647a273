"""What the client asks of the rollout: how it stands, what shall be different, the numbers.

Way:      BooklineClient has these calls → here → connection.py
"""

from collections.abc import Mapping
from typing import TypedDict, Unpack

from bookline.client.connection import Connection
from bookline.values import Json


class RolloutChange(TypedDict, total=False):
    """What shall be different, named as in the API; what is not named stays."""

    percent: int
    salt: str
    killSwitch: bool
    automatic: bool
    users: Mapping[str, str | None]
    """User id → method; None takes a user off the list."""
    incident: str
    """Opens one with this text."""
    resolve: int
    """The number of an incident that is over."""
    reason: str
    actor: str
    """Else the key or the address that asks."""


class RolloutCalls(Connection):
    """The rollout's calls. Values are the API's ``data``."""

    async def rollout(self) -> Json:
        """Who goes by the workflow now, the gates to the next stage, the last changes."""
        return await self.ask("GET", "/v2/rollout")

    async def change_rollout(self, **changes: Unpack[RolloutChange]) -> Json:
        """The rollout after it. Not repeated when the line breaks over it, as the next two."""
        return await self.ask("PUT", "/v2/rollout", body={**changes}, is_repeatable=False)

    async def advance_rollout(self, reason: str = "", *, actor: str | None = None) -> Json:
        """The rollout at its next stage.

        Raises: Refused (INVALID_STATE; ``details["gates"]`` says what does not let it), TryLater.
        """
        body = {"reason": reason, "actor": actor}
        return await self.ask("POST", "/v2/rollout/advance", body=body, is_repeatable=False)

    async def rollback_rollout(self, reason: str = "", *, actor: str | None = None) -> Json:
        """The rollout at 0 percent. Raises: Refused (INVALID_STATE) when it is, TryLater."""
        body = {"reason": reason, "actor": actor}
        return await self.ask("POST", "/v2/rollout/rollback", body=body, is_repeatable=False)

    async def import_metrics(self, window: str = "24h") -> Json:
        """Workflow against legacy, of what finished in the window: ``15m``, ``24h``, ``7d``."""
        return await self.ask("GET", "/v2/metrics/imports", query={"window": window})

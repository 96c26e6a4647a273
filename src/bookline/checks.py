"""How each dependency is asked whether an import could use it.

Way:     app.py → here → readiness.py asks them in the background
Rule 1:  a check leaves nothing behind, and asks no provider.
"""

from functools import partial
from urllib.parse import urlsplit

from bookline.caller_limits import CallerLimits
from bookline.measures import Measures
from bookline.methods import Methods
from bookline.net.rests import Rests, check_answering
from bookline.readiness import LOCAL_SECONDS, REMOTE_SECONDS, Check, check_room
from bookline.resources import Kept
from bookline.settings import Settings
from bookline.stores.database import Session
from bookline.webhooks import Webhooks

WEBHOOK_SECONDS = 5.0


def checks_of(
    settings: Settings,
    kept: Kept,
    methods: Methods,
    callers: CallerLimits,
    rests: Rests,
    measures: Measures,
    webhooks: Webhooks | None,
) -> dict[str, Check]:
    """By the name under which ``/readyz`` shows it."""
    is_local = urlsplit(settings.object_store_url).scheme in {"", "file", "memory"}
    checks = {
        "journal": Check(ask=partial(_ask_journal, settings, kept)),
        "engine": Check(ask=methods.engine.check),
        "library": Check(ask=partial(_ask_library, kept)),
        "fallback": Check(ask=partial(kept.fallback.find, "none")),
        "objects": Check(
            ask=kept.objects.check, every_seconds=LOCAL_SECONDS if is_local else REMOTE_SECONDS
        ),
        "limits": Check(ask=callers.check),
        "providers": Check(ask=partial(_ask_providers, settings, rests, measures)),
    }
    if webhooks is not None:
        checks["webhooks"] = Check(ask=webhooks.check, every_seconds=WEBHOOK_SECONDS)
    return checks


async def _ask_journal(settings: Settings, kept: Kept) -> None:
    if not settings.postgres_url:
        await check_room(settings.database_dir)
    await kept.stores.journal.database.write(_nothing)


async def _ask_library(kept: Kept) -> None:
    if kept.library is not None:
        await kept.library.database.write(_nothing)


async def _ask_providers(settings: Settings, rests: Rests, measures: Measures) -> None:
    """What imports found of them; asks none of them. Raises: StoreDown where one is down."""
    known = await rests.read(set(settings.usable_sources))
    for provider, rest in known.items():
        measures.circuit(provider, rest.state)
    check_answering(known)


def _nothing(session: Session) -> None:
    """A transaction that takes the writer's lock and changes nothing."""
    session.execute("SELECT 1")

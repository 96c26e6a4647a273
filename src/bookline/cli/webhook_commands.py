"""The command ``webhooks``: what the operator's endpoint did not take, and taking it up again.

Way:      main.py → here → stores/webhooks.py, beside the server that may run on the same tables
"""

import typer

from bookline.cli.asked import DONE, JsonOption, asked_of, perform
from bookline.cli.views import result

webhooks = typer.Typer(
    name="webhooks", no_args_is_help=True, help="Ends of imports that are posted to WEBHOOK_URL."
)


@webhooks.command()
def redeliver(ctx: typer.Context, json: JsonOption = False) -> None:
    """Post again what the endpoint did not take for 24 hours; a running server does it."""
    asked = asked_of(ctx, None, json)

    async def work() -> int:
        from bookline.settings import read_settings
        from bookline.stores.opening import open_storage, stores_in

        settings = read_settings()
        storage = open_storage(settings.postgres_url, settings.database_dir)
        try:
            stores = stores_in(storage, storage.clock)
            try:
                count = await stores.webhooks.again(storage.clock())
            finally:
                stores.journal.close()
        finally:
            storage.close()
        asked.print({"again": count}, lambda: result(f"{count} to be posted again"))
        return DONE

    perform(asked, work)

"""The bindings and variables of a Worker, joined to what imports need. The Worker's app.py.

Way:     entry.py → here → the adapters beside it
Rule 1:  any of AI, DB and BOOK_VECTORS may be missing: the import does without, and says so.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from bookline import __version__
from bookline.api.keys import Keys, Tokens
from bookline.aside import Aside
from bookline.engine.tries import Policy
from bookline.errors import StoreDown
from bookline.imports import Imports
from bookline.job import FAILED, ImportInput
from bookline.migration.rollouts import Rollouts
from bookline.net.picture_headers import read_header
from bookline.ports import MetadataProvider, Picture, Steps
from bookline.providers.google_books import GoogleBooks
from bookline.providers.isbndb import IsbnDb
from bookline.providers.open_library import OpenLibrary
from bookline.shelf import Shelf
from bookline.steps.cover import UploadCover
from bookline.steps.embedding import GenerateEmbedding
from bookline.steps.joined import AllSteps
from bookline.steps.metadata import FetchMetadata
from bookline.steps.save import SaveBook
from bookline.stores.records import SqlRecords
from bookline.stores.rollout import SqlRollout
from bookline.workflow import VERSION
from on_cloudflare.d1 import D1Database
from on_cloudflare.index import D1Index, NoIndex
from on_cloudflare.journal import DurableJobs, Index, Rooms, RunJournal
from on_cloudflare.library import CloudLibrary
from on_cloudflare.net import FetchCovers, FetchHttp
from on_cloudflare.plain import now_ms
from on_cloudflare.stores import KvStore, R2Objects, WorkersAiBinding

NODE = "cloudflare"
"""Who runs an import: the platform, whichever machine of it."""
GOOGLE, OPEN_LIBRARY, ISBNDB = (
    "https://www.googleapis.com/books/v1", "https://openlibrary.org", "https://api2.isbndb.com",
)  # fmt: skip
COVERS = "https://covers.openlibrary.org"


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """Values that may lie in the Secrets Store, and so are asked for."""

    google: str
    isbndb: str
    keys: str
    tokens: str

    @classmethod
    async def of(cls, env: Any) -> "Secrets":
        names = ("GOOGLE_BOOKS_API_KEY", "ISBNDB_API_KEY", "API_KEYS", "TOKEN_SECRET")
        google, isbndb, keys, tokens = [await _secret(env, name) for name in names]
        return cls(google=google, isbndb=isbndb, keys=keys, tokens=tokens)


async def _secret(env: Any, name: str) -> str:
    """A variable, a secret, or what a Secrets Store binding gives; empty where there is none."""
    value = getattr(env, name, None)
    if value is None or isinstance(value, str):
        return value or ""
    return str(await value.get())


class CloudEngine:
    """Fills the port Engine. ``workflow`` is the binding BOOK_IMPORT_WORKFLOW."""

    def __init__(self, workflow: Any, rooms: Rooms, wait_until: Callable[[Any], None]) -> None:
        self._workflow = workflow
        self._rooms = rooms
        self._wait_until = wait_until
        self._failed_step: dict[str, str | None] = {}

    async def start(self, order: ImportInput, *, in_batch: bool = False) -> None:
        params = {**order.to_json(), "version": VERSION}
        try:
            await self._workflow.create({"id": order.job_id, "params": params})
        except Exception as error:
            said = str(error).strip().splitlines()[-1]
            if "already_exists" not in said:
                raise StoreDown(f"Cloudflare Workflows: {said}") from error

    async def settle(self, job_id: str) -> None:
        """Waits until the engine has the run's end, and remembers where it failed."""
        job = await self._rooms.ask(job_id, "find", job_id=job_id)
        if job["status"] == FAILED:
            self._failed_step[job_id] = (job["error"] or {}).get("step")
        for _ in range(50):
            instance = await self._workflow.get(job_id)
            if (await instance.status())["status"] not in {"running", "queued", "waiting"}:
                return
            await asyncio.sleep(0.1)
        raise StoreDown("Cloudflare Workflows has not ended the run yet; try again")

    async def restart(self, job_id: str) -> None:
        step = self._failed_step.pop(job_id, None)
        instance = await self._workflow.get(job_id)
        try:
            await (instance.restart({"from": {"name": step}}) if step else instance.restart())
        except Exception as error:
            said = str(error).strip().splitlines()[-1]
            raise StoreDown(f"Cloudflare Workflows: {said}") from error

    def wake(self, job_id: str) -> None:
        """A cancelled job that its journal has ended: the engine need not wait for it."""
        self._wait_until(self._end_if_over(job_id))

    async def _end_if_over(self, job_id: str) -> None:
        job = await self._rooms.ask(job_id, "find", job_id=job_id)
        if job is not None and job["status"] == "cancelled":
            instance = await self._workflow.get(job_id)
            await instance.terminate()


class Cloud:
    """One request's or one run's view of the platform."""

    def __init__(self, env: Any, secrets: Secrets, wait_until: Callable[[Any], None]) -> None:
        self._env = env
        self._secrets = secrets
        self._wait_until = wait_until
        self.keys = Keys([key.strip() for key in secrets.keys.split(",") if key.strip()])
        own = hashlib.sha256(f"tokens\n{secrets.keys}".encode()).hexdigest()
        self.tokens = Tokens(secrets.tokens or own)

    @classmethod
    async def of(cls, env: Any, wait_until: Callable[[Any], None]) -> "Cloud":
        return cls(env, await Secrets.of(env), wait_until)

    def var(self, name: str, default: str = "") -> str:
        """A variable of wrangler.jsonc: named as in docs/settings.md, without the prefix."""
        return str(getattr(self._env, name, None) or default)

    def listed(self, name: str) -> list[str]:
        """A variable's parts between commas."""
        return [one.strip() for one in self.var(name).split(",") if one.strip()]

    def binding(self, name: str) -> Any:
        """None where it is not bound."""
        return getattr(self._env, name, None)

    # -------------------------------------------------------------- stores
    @cached_property
    def rooms(self) -> Rooms:
        return Rooms(self._env.WEBSOCKET_DO)

    @cached_property
    def database(self) -> D1Database | None:
        bound = self.binding("DB")
        return None if bound is None else D1Database(bound)

    @cached_property
    def index(self) -> Index:
        return NoIndex() if self.database is None else D1Index(self.database, self.rooms)

    @cached_property
    def jobs(self) -> DurableJobs:
        return DurableJobs(self.rooms, self.index)

    @cached_property
    def library(self) -> CloudLibrary | None:
        if self.database is None:
            return None
        return CloudLibrary(self.database, self.binding("BOOK_VECTORS"))

    @cached_property
    def fallback(self) -> KvStore:
        return KvStore(self._env.BOOK_CACHE)

    @cached_property
    def objects(self) -> R2Objects:
        return R2Objects(self._env.R2_BUCKET)

    @cached_property
    def embedder(self) -> WorkersAiBinding | None:
        bound = self.binding("AI")
        return None if bound is None else WorkersAiBinding(bound)

    # -------------------------------------------------------------- services
    @cached_property
    def imports(self) -> Imports:
        engine = CloudEngine(self._env.BOOK_IMPORT_WORKFLOW, self.rooms, self._wait_until)
        usable = [provider.name for provider in self._providers()]
        return Imports(
            self.jobs, {"workflow": engine}, usable=usable, node=NODE, clock=now_ms,
            choose=self._choose,
        )  # fmt: skip

    @cached_property
    def shelf(self) -> Shelf:
        return Shelf(
            self.library, Aside(self.fallback), self.objects, self.imports,
            embedder=self.embedder, read_picture=_read_picture, clock=now_ms,
        )  # fmt: skip

    async def _choose(self, user_id: str | None, isbn: str) -> str:
        return "workflow"  # there is no other importer here

    @cached_property
    def rollouts(self) -> Rollouts:
        """Raises: StoreDown without the binding DB."""
        if self.database is None:
            raise StoreDown("the rollout and its records need the binding DB")
        return Rollouts(
            SqlRollout(self.database), SqlRecords(self.database), clock=now_ms, start_percent=100,
            has_legacy=False, deadline_ms=round(self.policy.deadline_seconds * 1000),
        )  # fmt: skip

    def run_journal(self, job_id: str) -> RunJournal:
        return RunJournal(self.rooms, job_id, NODE)

    @cached_property
    def policy(self) -> Policy:
        return Policy(
            deadline_seconds=float(self.var("JOB_DEADLINE_SECONDS", "900")),
            retry_scale=float(self.var("RETRY_SCALE", "1")),
        )

    def steps(self) -> Steps:
        covers = FetchCovers(
            self.listed("COVER_HOSTS"), self._user_agent(),
            allow_private=self.var("ALLOW_PRIVATE_COVERS") == "on",
        )  # fmt: skip
        return AllSteps(
            metadata=FetchMetadata(self._providers(), complete=self.var("COMPLETE", "on") == "on"),
            cover=UploadCover(covers, _read_picture, self.objects, now_ms),
            embedding=GenerateEmbedding(self.embedder),
            book=SaveBook(self.library, self.fallback, self.objects, now_ms),
        )

    def _providers(self) -> Sequence[MetadataProvider]:
        """Those that can be asked, in the order in which ``auto`` asks them: Google and ISBNdb with
        a key, or by an address that is not their own.
        """
        http = FetchHttp(self._user_agent())
        google, isbndb = self.var("GOOGLE_BOOKS_URL", GOOGLE), self.var("ISBNDB_URL", ISBNDB)
        found: list[MetadataProvider] = []
        if self._secrets.google or google != GOOGLE:
            country = self.var("GOOGLE_BOOKS_COUNTRY", "US")
            found.append(GoogleBooks(http, google, self._secrets.google, country))
        own, covers = (
            self.var("OPENLIBRARY_URL", OPEN_LIBRARY),
            self.var("OPENLIBRARY_COVERS_URL", COVERS),
        )
        found.append(OpenLibrary(http, own, covers))
        if self._secrets.isbndb or isbndb != ISBNDB:
            found.append(IsbnDb(http, isbndb, self._secrets.isbndb))
        return found

    def _user_agent(self) -> str:
        contact = self.var("CONTACT")
        return f"Bookline/{__version__} ({contact})" if contact else f"Bookline/{__version__}"


async def _read_picture(body: bytes) -> Picture:
    return read_header(body)

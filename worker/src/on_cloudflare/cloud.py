"""The bindings and variables of a Worker, joined to what imports need. The Worker's app.py.

Way:     entry.py → here → the adapters beside it
Rule 1:  any of AI, DB and BOOK_VECTORS may be missing: the import does without, and says so.
"""

import hashlib
from collections.abc import Callable
from functools import cached_property
from typing import Any

from bookline import __version__
from bookline.api.keys import Keys, Tokens
from bookline.aside import Aside
from bookline.batches.covers import CandidateCovers
from bookline.batches.lookup import LookUp
from bookline.batches.service import Batches
from bookline.batches.there import AlreadyThere
from bookline.engine.tries import Policy
from bookline.errors import StoreDown
from bookline.imports import Imports
from bookline.migration.rollouts import Rollouts
from bookline.net.pace import SharedPace
from bookline.net.picture_headers import read_header
from bookline.ports import Picture, Steps
from bookline.providers import google_books, isbndb
from bookline.rates import READ_RATE, START_RATE, read_rate
from bookline.shelf import Shelf
from bookline.steps.cover import UploadCover
from bookline.steps.embedding import GenerateEmbedding
from bookline.steps.joined import AllSteps
from bookline.steps.metadata import FetchMetadata
from bookline.steps.save import SaveBook
from bookline.stores.limits import SqlLimits
from bookline.stores.records import SqlRecords
from bookline.stores.rollout import SqlRollout
from on_cloudflare.batches import DurableBatches
from on_cloudflare.d1 import D1Database
from on_cloudflare.engine import CloudEngine
from on_cloudflare.index import D1Index, NoIndex, WithBatches
from on_cloudflare.journal import DurableJobs, Index, Rooms, RunJournal
from on_cloudflare.library import CloudLibrary
from on_cloudflare.limits import Callers
from on_cloudflare.net import FetchCovers
from on_cloudflare.plain import now_ms
from on_cloudflare.sources import Secrets, Sources
from on_cloudflare.stores import KvStore, R2Objects, WorkersAiBinding

NODE = "cloudflare"
"""Who runs an import: the platform, whichever machine of it."""


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
        listed = NoIndex() if self.database is None else D1Index(self.database, self.rooms)
        return listed if self._batch_rooms is None else WithBatches(listed, self._batch_rooms)

    @cached_property
    def _batch_rooms(self) -> Rooms | None:
        bound = self.binding("BATCH_DO")
        return None if bound is None else Rooms(bound)

    @property
    def batch_rooms(self) -> Rooms:
        """Raises: StoreDown without the binding BATCH_DO."""
        if self._batch_rooms is None:
            raise StoreDown("batches need the binding BATCH_DO")
        return self._batch_rooms

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
    def engine(self) -> CloudEngine:
        return CloudEngine(self._env.BOOK_IMPORT_WORKFLOW, self.rooms, self._wait_until)

    @cached_property
    def imports(self) -> Imports:
        return Imports(
            self.jobs, {"workflow": self.engine}, usable=self.sources.usable, node=NODE,
            clock=now_ms, choose=self._choose,
        )  # fmt: skip

    @cached_property
    def batches(self) -> Batches:
        """Raises: StoreDown without the binding BATCH_DO."""
        return Batches(DurableBatches(self.batch_rooms, self.database), self.imports, clock=now_ms)

    @cached_property
    def there(self) -> AlreadyThere:
        return AlreadyThere(
            self.shelf.find_many, self.jobs.find, usable=self.sources.usable,
            completes=self.completes, clock=now_ms,
        )  # fmt: skip

    @cached_property
    def look_up(self) -> LookUp:
        return LookUp(self.sources.searches, self._pace)

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

    @cached_property
    def callers(self) -> Callers:
        """Without keys callers are limited only where a variable says so, as on a server."""
        usual = (START_RATE, READ_RATE) if self.keys else ("off", "off")
        start, read = (
            read_rate(self.var(name, default))
            for name, default in zip(("RATE_LIMIT_START", "RATE_LIMIT_READ"), usual, strict=True)
        )
        return Callers(namespace=self.binding("CALLER_LIMITS"), start=start, read=read)

    def run_journal(self, job_id: str) -> RunJournal:
        return RunJournal(self.rooms, job_id, NODE, self.index.keep)

    @cached_property
    def policy(self) -> Policy:
        return Policy(
            deadline_seconds=float(self.var("JOB_DEADLINE_SECONDS", "900")),
            retry_scale=float(self.var("RETRY_SCALE", "1")),
        )

    @property
    def completes(self) -> bool:
        return self.var("COMPLETE", "on") == "on"

    @cached_property
    def _covers(self) -> FetchCovers:
        return FetchCovers(
            self.listed("COVER_HOSTS"), self.user_agent,
            allow_private=self.var("ALLOW_PRIVATE_COVERS") == "on",
        )  # fmt: skip

    @cached_property
    def candidate_covers(self) -> CandidateCovers:
        return CandidateCovers(self._covers, _read_picture)

    def steps(self) -> Steps:
        return AllSteps(
            metadata=FetchMetadata(
                self.sources.providers, pace=self._pace, complete=self.completes
            ),
            cover=UploadCover(self._covers, _read_picture, self.objects, now_ms),
            embedding=GenerateEmbedding(self.embedder),
            book=SaveBook(self.library, self.fallback, self.objects, now_ms),
        )

    @cached_property
    def sources(self) -> Sources:
        return Sources(self.var, self._secrets, self.user_agent, self._pace)

    @cached_property
    def _pace(self) -> SharedPace | None:
        """Until when which provider is left alone, as all imports know it by D1; None without it.

        Its turns are left to the providers' own limits: a question's turn would be a write.
        """
        if self.database is None:
            return None
        quotas = {"google_books": google_books.quota_left, "isbndb": isbndb.quota_left}
        return SharedPace(SqlLimits(self.database, now_ms), {}, quotas)

    @property
    def user_agent(self) -> str:
        contact = self.var("CONTACT")
        return f"Bookline/{__version__} ({contact})" if contact else f"Bookline/{__version__}"


async def _read_picture(body: bytes) -> Picture:
    return read_header(body)

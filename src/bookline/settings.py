"""The environment, read once: names, defaults and what they mean.

Way:      app.py, api/ and cli/ take a ``Settings``; nobody else looks at the environment
Rule 1:   an unknown name with our prefix, and a bad value, are refused at start in plain words.
Rule 2:   everything has a default that works on one machine with nothing else installed.
Source:   docs/settings.md lists and explains them.
"""

import base64
import ipaddress
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from dotenv import dotenv_values
from platformdirs import user_data_path
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from bookline.errors import Refused
from bookline.folders import holds_databases
from bookline.rates import READ_RATE, START_RATE, Rate
from bookline.setting_values import (
    DEFAULT_RATES,
    PREFIX,
    KeyList,
    Limit,
    Names,
    Rates,
    Switch,
    check_port,
    fault_in_words,
    is_loopback,
    split_address,
)
from bookline.usable_sources import (
    GOOGLE_BOOKS_URL,
    ISBNDB_URL,
    OPENLIBRARY_COVERS_URL,
    OPENLIBRARY_URL,
    usable_sources,
)

_ORIGIN = re.compile(r"^[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d+)?$", re.IGNORECASE)
Role = Literal["all", "api", "worker"]
"""What a node of a deployment does: ``serve --role``."""
_POSTGRES = ("postgresql://", "postgres://")
LEAST_KEY = 16
"""Characters of an API key: fewer can be guessed."""
LEAST_WEBHOOK_SECRET = 16
"""Bytes of what signs webhooks; the standard asks for 24."""
LEAST_SECRET = 32
"""Characters of what signs tokens."""
EARLIER_DATA_DIR = Path("./bookline-data")
"""Where earlier versions kept everything."""


def find_data_dir() -> Path:
    """The user's data folder; the earlier default where that holds a Bookline's data."""
    if holds_databases(EARLIER_DATA_DIR):
        return EARLIER_DATA_DIR
    return user_data_path("bookline", appauthor=False)


def _read_folder(text: object) -> object:
    return find_data_dir() if text == "" else text


Folder = Annotated[Path, BeforeValidator(_read_folder)]


class Settings(BaseModel):
    """What is in force. Field names are the variables' names without the prefix, in lower case."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    host: str = "127.0.0.1"
    """The address that ``serve`` binds; another than loopback needs API_KEYS."""
    port: int = Field(default=8787, ge=0, le=65_535)
    """The port that ``serve`` binds; 0 takes a free one."""
    data_dir: Folder = Field(default_factory=find_data_dir)
    """Everything that is kept on this machine is below it; the user's data folder when empty."""
    database_url: str = ""
    """All tables: SQLite below DATA_DIR when empty, ``sqlite:///folder`` or ``postgresql://…``."""
    library: Switch = True
    """``off``: no library database; books go to the fallback store."""
    object_store_url: str = ""
    """Covers: a folder in DATA_DIR when empty; ``file:///…``, ``s3://…?endpoint=…``, ``memory://``."""
    kv_url: str = ""
    """Fallback store: SQLite below DATA_DIR when empty; ``sqlite:///…``, ``redis://…``, ``memory://``."""
    embedder: Literal["local", "workers-ai", "openai", "none"] = "local"
    """Who makes the vectors; ``openai``: any compatible endpoint; ``none``: the step is off."""
    embedder_url: str = ""
    """The embedding service's address; for ``workers-ai`` up to and with ``/ai/run``."""
    embedder_model: str = ""
    """The service's model; empty takes the adapter's default."""
    embedder_api_key: SecretStr = SecretStr("")
    """The service's key."""
    google_books_url: str = GOOGLE_BOOKS_URL
    """``GET {url}/volumes?q=…``; one that is not Google's own needs no key."""
    google_books_api_key: SecretStr = SecretStr("")
    """Google answers nothing without one."""
    google_books_country: str = Field(default="US", pattern="^[A-Z]{2}$")
    """ISO 3166 code that Google asks of servers."""
    isbndb_url: str = ISBNDB_URL
    """``GET {url}/book/{isbn}``; the host depends on the plan."""
    isbndb_api_key: SecretStr = SecretStr("")
    """ISBNdb answers nothing without one."""
    openlibrary_url: str = OPENLIBRARY_URL
    """Open Library's address."""
    openlibrary_covers_url: str = OPENLIBRARY_COVERS_URL
    """Open Library's covers."""
    contact: str = ""
    """An e-mail or web address for the User-Agent: Open Library then allows 3/s."""
    provider_rates: Rates = Field(default_factory=dict)
    """Most questions a provider gets from all processes together."""
    cover_hosts: Names = ()
    """``host`` or ``host:port`` that covers may also come from."""
    allow_private_covers: Switch = False
    """``on``: COVER_HOSTS may be http and private (sandbox, tests)."""
    complete: Switch = True
    """With source ``auto``: what the first source leaves empty is asked of the next ones."""
    api_keys: KeyList = ()
    """Comma list, each of 16 characters or more; with one set, every route but health needs it."""
    token_secret: SecretStr = SecretStr("")
    """Signs job tokens; made and kept in DATA_DIR when empty."""
    cors_origins: Names = ()
    """Comma list of ``scheme://host[:port]`` that browsers may call from."""
    trusted_proxies: Names = ()
    """Comma list of addresses or networks whose X-Forwarded-* counts."""
    rate_limit_start: Limit = Field(default=START_RATE)  # type: ignore[assignment]
    """Most starts for each client; ``off`` by default on loopback without keys."""
    rate_limit_read: Limit = Field(default=READ_RATE)  # type: ignore[assignment]
    """Most reads for each client and route; ``off`` by default on loopback without keys."""
    workflow_rollout_percent: int = Field(default=100, ge=0, le=100)
    """Where a fresh deployment starts; the run-time value is kept in the database."""
    job_deadline_seconds: float = Field(default=900, gt=0, le=7 * 86_400)
    """How long a whole job may take."""
    retention_days: float = Field(default=30, gt=0, le=36_500)
    """Finished jobs and their events are removed after it, books never."""
    retry_scale: float = Field(default=1.0, ge=0, le=100)
    """Multiplies every retry delay, Retry-After excepted."""
    at_work: int = Field(default=64, ge=1, le=10_000)
    """Imports that one process works on at once; the others wait in their order."""
    webhook_url: str = ""
    """Every end of a job or batch is posted there; nothing when empty."""
    webhook_secret: SecretStr = SecretStr("")
    """Signs what is posted: ``whsec_`` and base64, as Standard Webhooks have it."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """What is logged."""
    log_format: Literal["text", "json"] = "text"
    """How it is logged."""

    @model_validator(mode="before")
    @classmethod
    def _limit_nobody_alone(cls, given: Any) -> Any:
        """A server that only this machine reaches, without keys, limits nobody unless told to."""
        if not isinstance(given, Mapping):
            return given
        is_alone = is_loopback(str(given.get("host", "127.0.0.1"))) and not given.get("api_keys")
        limits = {"rate_limit_start": None, "rate_limit_read": None} if is_alone else {}
        return {**limits, **given}

    @field_validator("google_books_url", "isbndb_url", "openlibrary_url", "openlibrary_covers_url")
    @classmethod
    def _is_http(cls, url: str) -> str:
        parts = split_address(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("must be an http or https address")
        check_port(parts.netloc)
        return url.rstrip("/")

    @field_validator("webhook_url", "embedder_url")
    @classmethod
    def _is_http_or_nothing(cls, url: str) -> str:
        return cls._is_http(url) if url else url

    @field_validator("contact", "google_books_api_key", "isbndb_api_key", "embedder_api_key")
    @classmethod
    def _goes_into_a_header(cls, value: str | SecretStr) -> str | SecretStr:
        text = value if isinstance(value, str) else value.get_secret_value()
        if not text.isprintable():
            raise ValueError("must be one line, without a line break at its end")
        return value

    @field_validator("webhook_secret")
    @classmethod
    def _is_base64(cls, secret: SecretStr) -> SecretStr:
        text = secret.get_secret_value().removeprefix("whsec_")
        try:
            key = base64.b64decode(text, validate=True)
        except ValueError:
            key = b""
        if text and len(key) < LEAST_WEBHOOK_SECRET:
            raise ValueError(f"must be whsec_ and {LEAST_WEBHOOK_SECRET} bytes or more in base64")
        return secret

    @model_validator(mode="after")
    def _sign_what_is_posted(self) -> "Settings":
        if self.webhook_url and not self.webhook_secret.get_secret_value():
            raise ValueError("BOOKLINE_WEBHOOK_URL needs BOOKLINE_WEBHOOK_SECRET to sign with")
        return self

    @field_validator("kv_url", "object_store_url")
    @classmethod
    def _has_a_port(cls, url: str) -> str:
        check_port(split_address(url).netloc)
        return url

    @field_validator("cover_hosts")
    @classmethod
    def _have_ports(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            check_port(host)
        return hosts

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if not _ORIGIN.match(origin):
                raise ValueError("must be a list of scheme://host or scheme://host:port")
            check_port(split_address(origin).netloc)
        return tuple(origin.lower() for origin in origins)

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, proxies: tuple[str, ...]) -> tuple[str, ...]:
        for proxy in proxies:
            try:
                ipaddress.ip_network(proxy, strict=False)
            except ValueError:
                raise ValueError("must be a list of addresses or networks") from None
        return proxies

    @field_validator("api_keys")
    @classmethod
    def _are_long(cls, keys: tuple[str, ...]) -> tuple[str, ...]:
        if any(len(key) < LEAST_KEY for key in keys):
            raise ValueError(f"each key must have {LEAST_KEY} characters or more")
        return keys

    @field_validator("token_secret")
    @classmethod
    def _is_long(cls, secret: SecretStr) -> SecretStr:
        if 0 < len(secret.get_secret_value()) < LEAST_SECRET:
            raise ValueError(f"must have {LEAST_SECRET} characters or more")
        return secret

    @field_validator("provider_rates")
    @classmethod
    def _are_providers(cls, rates: dict[str, Rate | None]) -> dict[str, Rate | None]:
        for name in rates:
            if name not in DEFAULT_RATES:
                raise ValueError(f"{name} is no provider; there are {', '.join(DEFAULT_RATES)}")
        return {**DEFAULT_RATES, **rates}

    @field_validator("database_url")
    @classmethod
    def _is_a_database(cls, url: str) -> str:
        if url.startswith(_POSTGRES):
            parts = split_address(url)
            if not parts.path.strip("/"):
                raise ValueError("must name a database: postgresql://user:password@host/database")
            for host in parts.netloc.rpartition("@")[2].split(","):
                check_port(host)
        elif url and not url.startswith("sqlite:///"):
            raise ValueError("must be postgresql://host/database, sqlite:///folder, or empty")
        return url

    @property
    def postgres_url(self) -> str:
        """The PostgreSQL database with all tables; empty where they lie in a folder."""
        return self.database_url if self.database_url.startswith(_POSTGRES) else ""

    @property
    def database_dir(self) -> Path:
        """The folder with the SQLite files."""
        if self.postgres_url:
            return self.data_dir
        return Path(self.database_url.removeprefix("sqlite:///") or self.data_dir)

    @property
    def usable_sources(self) -> tuple[str, ...]:
        """Sources that can be asked, in the order in which ``auto`` asks them."""
        return usable_sources(
            google_books_key=self.google_books_api_key.get_secret_value(),
            google_books_url=self.google_books_url,
            isbndb_key=self.isbndb_api_key.get_secret_value(),
            isbndb_url=self.isbndb_url,
        )


def read_settings(
    environment: Mapping[str, str] | None = None, env_file: Path | None = Path(".env")
) -> Settings:
    """The settings of an environment, with a ``.env`` file below it.

    Raises: Refused with every fault at once.
    """
    given: dict[str, str | None] = {}
    if env_file is not None and env_file.is_file():
        given.update(dotenv_values(env_file))
    given.update(os.environ if environment is None else environment)
    ours = {
        name.removeprefix(PREFIX).lower(): value
        for name, value in given.items()
        if name.startswith(PREFIX) and value is not None
    }
    try:
        return Settings.model_validate(ours)
    except ValidationError as error:
        faults = [fault_in_words(fault, Settings.model_fields) for fault in error.errors()]
        raise Refused("INVALID_REQUEST", "\n".join(faults)) from None


def show_settings(settings: Settings) -> dict[str, str]:
    """Each variable with what is in force, secrets masked."""
    shown = {}
    for name, value in settings:
        shown[PREFIX + name.upper()] = _show(name, value)
    return shown


def _show(name: str, value: object) -> str:
    if isinstance(value, SecretStr) or name == "api_keys":
        secret = value.get_secret_value() if isinstance(value, SecretStr) else value
        return "********" if secret else ""
    if name.endswith("_url"):
        masked = re.sub(r"//[^/]*@", "//********@", str(value))
        return re.sub(r"(password=)[^&]*", r"\1********", masked)
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, dict):
        return ",".join(f"{part}={_show('', rate)}" for part, rate in value.items())
    return "off" if value is None else str(value)

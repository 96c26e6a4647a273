"""What is counted and timed, for Prometheus: imports, steps, tries, watchers, event lag.

Way:      engine/job_run.py, progress/hub.py and api/gate.py count → here → GET /metrics
Rule 1:   no ISBN, job or user is ever a label: what people read is nobody's metric.
Rule 2:   labels come from closed lists, so that the number of series is bounded.
Source:   https://prometheus.io/docs/practices/naming
"""

from functools import cache

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from bookline import __version__
from bookline.circuit import STATES

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900)
_REQUEST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_LAG = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1)


class Measures:
    """One process' counters. Each running application has its own registry."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self._imports = Counter(
            "bookline_imports", "Imports that ended", ["method", "outcome"], registry=self._registry
        )
        self._import_seconds = Histogram(
            "bookline_import_seconds", "From begin to end of a run, waits included", ["method"],
            buckets=_SECONDS, registry=self._registry,
        )  # fmt: skip
        self._tries = Counter(
            "bookline_tries", "Tries of steps", ["step", "result"], registry=self._registry
        )
        self._try_seconds = Histogram(
            "bookline_try_seconds", "Length of one try of a step", ["step"],
            buckets=_SECONDS, registry=self._registry,
        )  # fmt: skip
        self._fallback = Counter(
            "bookline_fallback_saves", "Books that went to the fallback store",
            registry=self._registry,
        )  # fmt: skip
        self._lag = Histogram(
            "bookline_event_lag_seconds", "From an event's commit to its fan-out here",
            buckets=_LAG, registry=self._registry,
        )  # fmt: skip
        self.watchers = Gauge(
            "bookline_watchers", "Watchers connected to this process", registry=self._registry
        )
        self.running = Gauge(
            "bookline_running_imports", "Imports that this process runs", registry=self._registry
        )
        self._requests = Counter(
            "bookline_http_requests", "Answers", ["method", "status"], registry=self._registry
        )
        self._request_seconds = Histogram(
            "bookline_http_request_duration_seconds", "From a request's head to its answer's",
            ["method", "route"], buckets=_REQUEST, registry=self._registry,
        )  # fmt: skip
        self.queued = Gauge(
            "bookline_queued_imports", "Imports that wait, in the whole deployment",
            registry=self._registry,
        )  # fmt: skip
        self._circuit = Gauge(
            "bookline_provider_circuit_state",
            "1 for the state of a provider's circuit: closed, open (imports wait) or half-open",
            ["provider", "state"], registry=self._registry,
        )  # fmt: skip
        self._posts = Counter(
            "bookline_webhook_posts", "Posts to the webhook endpoint", ["result"],
            registry=self._registry,
        )  # fmt: skip
        self.webhooks_waiting = Gauge(
            "bookline_webhooks_waiting", "Ends to be posted, in the whole deployment",
            registry=self._registry,
        )  # fmt: skip
        build = Gauge("bookline_build_info", "Always 1", ["version"], registry=self._registry)
        build.labels(__version__).set(1)
        ProcessCollector(registry=self._registry)
        self._tries_of = cache(self._tries.labels)
        self._try_seconds_of = cache(self._try_seconds.labels)

    def import_ended(self, method: str, outcome: str, seconds: float) -> None:
        """One run of an import has come to its end."""
        self._imports.labels(method, outcome).inc()
        self._import_seconds.labels(method).observe(seconds)

    def try_ended(self, step: str, result: str, seconds: float) -> None:
        """``result`` is value, retry, failed or stopped."""
        self._tries_of(step, result).inc()
        self._try_seconds_of(step).observe(seconds)

    def saved_aside(self) -> None:
        """A book went to the fallback store: never unseen."""
        self._fallback.inc()

    def heard(self, seconds: float) -> None:
        """An event reached the fan-out so long after its commit."""
        self._lag.observe(seconds)

    def answered(self, method: str, status: int, route: str = "none", seconds: float = 0) -> None:
        """An HTTP answer was begun; ``route`` is its path as the routes have it."""
        known = method if method in METHODS else "other"
        self._requests.labels(known, f"{status // 100}xx").inc()
        self._request_seconds.labels(known, route).observe(seconds)

    def circuit(self, provider: str, state: str) -> None:
        """The state of a provider's circuit."""
        for one in STATES:
            self._circuit.labels(provider, one).set(one == state)

    def posted(self, result: str) -> None:
        """``result`` is taken, refused (put off) or given_up."""
        self._posts.labels(result).inc()

    def exposition(self) -> bytes:
        """All of it in Prometheus' text form."""
        return generate_latest(self._registry)

"""OpenTelemetry traces, when they are configured: one span an import, one within it a try.

Way:     app.py sets them up; engine/job_run.py opens the spans
Rule 1:  without OTEL_EXPORTER_OTLP_ENDPOINT nothing is set up, and a span costs next to nothing.
Rule 2:  spans hold the job's id, steps and codes; no ISBN and no user.
Source:  https://opentelemetry.io/docs/specs/otel/protocol/exporter (the variables' names).
"""

import logging
import os
from collections.abc import Callable
from contextlib import AbstractContextManager

from opentelemetry import trace

import bookline
from bookline.observing import Span, no_span

log = logging.getLogger(__name__)
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
_tracer = trace.get_tracer("bookline", bookline.__version__)


def span(name: str, **attributes: str | int) -> AbstractContextManager[Span]:
    """A span around a block."""
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return no_span(name)
    named = {f"bookline.{key}": value for key, value in attributes.items()}
    return _tracer.start_as_current_span(name, attributes=named)


def set_up_traces() -> Callable[[], None]:
    """Sends spans to the configured collector; the answer sends what is left and stops."""
    if not os.environ.get(ENDPOINT):
        return lambda: None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        log.warning("%s is set, but traces need: pip install 'bookline[traces]'", ENDPOINT)
        return lambda: None
    name = os.environ.get("OTEL_SERVICE_NAME", "bookline")
    provider = TracerProvider(resource=Resource.create({"service.name": name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return provider.shutdown

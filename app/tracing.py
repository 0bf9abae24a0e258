"""Traces by OpenTelemetry, sent over OTLP; off, and nothing of it imported, without an endpoint.

The settings are OpenTelemetry's own. Spans carry ids of rows, events and intents, endpoints and
outcomes. They never carry bodies, amounts, customers, keys or messages of errors, which may quote
any of these.
"""

import atexit
import contextlib
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from app.errors import ConfigurationError
from app.settings import values_of_env_file

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import SpanContext, Tracer

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
PROTOCOL = "http/protobuf"
_PACKAGES = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")
# What a process still sends when it ends; a collector that is away keeps nobody from ending.
FLUSH_S = 2.0

Attribute = str | int


class OpenSpan(Protocol):
    """A span that has not ended."""

    def set_attribute(self, key: str, value: Attribute) -> None: ...


@dataclass(frozen=True, slots=True)
class SpanReference:
    """A span of this process that another one follows or is linked to."""

    context: "SpanContext"


class _NoSpan:
    """Tracing is off, at the price of one call."""

    def __enter__(self) -> OpenSpan:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def set_attribute(self, key: str, value: Attribute) -> None:
        pass


@dataclass(slots=True)
class _Tracing:
    provider: "TracerProvider | None" = None
    tracer: "Tracer | None" = None


_NO_SPAN = _NoSpan()
_PROCESS = _Tracing()


def configure() -> None:
    """Begin to trace this process, once, where OpenTelemetry's settings name an endpoint.

    ConfigurationError where they ask for what cannot be done.
    """
    if _PROCESS.tracer is None and endpoint() is not None:
        provider = _PROCESS.provider = _exporting_provider()
        _PROCESS.tracer = provider.get_tracer("paydue", version("paydue"))
        atexit.register(finish)


def endpoint() -> str | None:
    """Where traces go, by OpenTelemetry's settings; None while they go nowhere.

    ConfigurationError where the settings ask for what cannot be done.
    """
    for name, value in values_of_env_file("OTEL_").items():
        os.environ.setdefault(name, value)  # OpenTelemetry looks nowhere else
    if not _is_wanted():
        return None
    _assert_settings()
    if not all(map(_is_installed, _PACKAGES)):
        raise ConfigurationError(
            f"{' or '.join(ENDPOINTS)} is set, and traces need two more packages: "
            "pip install 'paydue[otel]'"
        )
    return next(os.environ[name] for name in ENDPOINTS if os.environ.get(name))


def finish() -> None:
    """Send what has ended, for FLUSH_S at most, and trace no more."""
    provider, _PROCESS.provider, _PROCESS.tracer = _PROCESS.provider, None, None
    if provider is not None:
        last = threading.Thread(target=provider.shutdown, daemon=True)
        last.start()
        last.join(FLUSH_S)


def is_on() -> bool:
    """Whether this process traces."""
    return _PROCESS.tracer is not None


def span(
    name: str,
    attributes: Mapping[str, Attribute] | None = None,
    *,
    kind: str = "INTERNAL",
    parent: SpanReference | None = None,
    links: Sequence[SpanReference] = (),
) -> AbstractContextManager[OpenSpan]:
    """A span around what is inside; without a parent it follows the one that is open here."""
    tracer = _PROCESS.tracer
    return _NO_SPAN if tracer is None else _recorded(tracer, name, attributes, kind, parent, links)


def current_span() -> SpanReference | None:
    """The span that is open here; None while tracing is off."""
    if _PROCESS.tracer is None:
        return None
    from opentelemetry.trace import get_current_span

    return SpanReference(get_current_span().get_span_context())


@contextlib.contextmanager
def _recorded(
    tracer: "Tracer",
    name: str,
    attributes: Mapping[str, Attribute] | None,
    kind: str,
    parent: SpanReference | None,
    links: Sequence[SpanReference],
) -> Iterator[OpenSpan]:
    from opentelemetry.trace import (
        Link,
        NonRecordingSpan,
        SpanKind,
        StatusCode,
        set_span_in_context,
    )

    with tracer.start_as_current_span(
        name,
        context=set_span_in_context(NonRecordingSpan(parent.context)) if parent else None,
        kind=SpanKind[kind],
        attributes=attributes,
        links=[Link(one.context) for one in links],
        record_exception=False,  # its message and its trace may quote values
        set_status_on_exception=False,
    ) as opened:
        try:
            yield opened
        except BaseException as error:
            opened.set_attribute("error.type", type(error).__name__)
            opened.set_status(StatusCode.ERROR)
            raise


# --- settings --------------------------------------------------------------------------------


def _is_wanted() -> bool:
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    if os.environ.get("OTEL_TRACES_EXPORTER", "otlp") == "none":
        return False
    return any(os.environ.get(name) for name in ENDPOINTS)


def _assert_settings() -> None:
    exporter = os.environ.get("OTEL_TRACES_EXPORTER") or "otlp"
    if exporter != "otlp":
        raise ConfigurationError("OTEL_TRACES_EXPORTER: traces are sent by otlp, or none")
    for name in PROTOCOLS:
        if (os.environ.get(name) or PROTOCOL) != PROTOCOL:
            raise ConfigurationError(
                f"{name}: traces are sent by {PROTOCOL}, to the collector's port 4318 as a rule"
            )
    for name in ENDPOINTS:
        given = os.environ.get(name)
        if given and not _is_web_address(given):
            raise ConfigurationError(f"{name}: is no address like http://localhost:4318")


def _is_web_address(given: str) -> bool:
    try:
        parts = urlsplit(given)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # nor is one that it would be in
        return False


def _exporting_provider() -> "TracerProvider":
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    # Under whichever name OpenTelemetry's own settings give; these are weaker.
    ours = Resource({"service.name": "paydue", "service.version": version("paydue")})
    named = Resource.create()
    unnamed = str(named.attributes.get("service.name", "")).startswith("unknown_service")
    resource = named.merge(ours) if unnamed else ours.merge(named)
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider

"""Names and docstrings that wait to be mended. Nothing is added here; what is mended leaves."""

# Modules without a docstring.
UNDOCUMENTED: set[str] = {
    "app.halo",
    "app.halo.access",
    "app.halo.engine",
    "app.halo.openapi",
    "app.halo.resources",
}

# Docstrings that begin with What or Which.
QUESTIONS: set[str] = {
    "app.halo.actions",
    "app.halo.actions._viewed",
    "app.halo.engine.crud._columns",
    "app.halo.engine.crud.resource_remover",
    "app.halo.engine.crud.resource_writer",
    "app.halo.engine.idempotency.IdempotencyMiddleware._run",
    "app.halo.engine.idempotency._Claim",
    "app.halo.engine.idempotency.run_idempotent",
    "app.halo.engine.responses.http_error_response",
    "app.halo.resource_writers",
    "app.halo.resources.invoice_details",
}

# Functions named by a participle alone.
BARE_PARTICIPLES: set[str] = {
    "app.halo.resources.invoice_details._kept",
}

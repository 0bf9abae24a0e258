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
    "app.halo.engine.codec.RecordCodec",
    "app.halo.engine.crud._columns",
    "app.halo.engine.crud.resource_remover",
    "app.halo.engine.crud.resource_writer",
    "app.halo.engine.idempotency.IdempotencyMiddleware._run",
    "app.halo.engine.idempotency._Claim",
    "app.halo.engine.idempotency.run_idempotent",
    "app.halo.engine.json_schema",
    "app.halo.engine.json_schema.column_schema",
    "app.halo.engine.json_schema.parser_schema",
    "app.halo.engine.json_schema.type_schema",
    "app.halo.engine.list_query.ListQuery",
    "app.halo.engine.list_query.ListQuery.list",
    "app.halo.engine.pagination_cache",
    "app.halo.engine.pagination_cache.PaginationCache",
    "app.halo.engine.pagination_cache.cache_of",
    "app.halo.engine.parsing._said",
    "app.halo.engine.parsing.parsed_number",
    "app.halo.engine.parsing.parser_of",
    "app.halo.engine.resource.Parameter",
    "app.halo.engine.responses.http_error_response",
    "app.halo.engine.serializing.serializer_of",
    "app.halo.openapi.document._links",
    "app.halo.openapi.invoice_actions",
    "app.halo.openapi.operations",
    "app.halo.openapi.property_docs",
    "app.halo.openapi.schemas.of_record",
    "app.halo.resource_writers",
    "app.halo.resources.invoice_details",
    "app.halo.resources.invoice_resource._credit",
}

# Functions named by a participle alone.
BARE_PARTICIPLES: set[str] = {
    "app.halo.access.authenticator.Caller.seen",
    "app.halo.engine.filters._asked",
    "app.halo.engine.list_query._kept",
    "app.halo.engine.pagination_cache.PaginationCache.seen",
    "app.halo.resources.invoice_details._kept",
}

"""Metadata is merged key by key, on every object alike."""

from app.sandbox.account.object_templates import Obj


def merge_metadata(metadata: Obj, given: object) -> Obj:
    """Sets the given keys and removes those given as ""; metadata="" removes all."""
    if given is None:
        return metadata
    if not isinstance(given, dict):
        return {}
    return {key: value for key, value in {**metadata, **given}.items() if value != ""}

"""Which account a route or a flow names: whose keys and limits count at the providers of voices."""

from __future__ import annotations

from flows.draft import Draft
from flows.reader import Map


def read_account(given: Map, draft: Draft) -> str | None:
    """``account`` of a route, or of the defaults of a flow. That there is one of this name is looked up later."""
    name = given.get("account")
    if name is None:
        return None
    if not isinstance(name, str) or not name:
        draft.report(given.value_at["account"], "E203", "'account' is the name of an account, such as acme")
        return None
    draft.refer("account", str(name), given.value_at["account"])
    return str(name)

"""
What changed between two contracts, and whom it breaks.

Judged for a client that was built for the old one and talks to a server of the new one: what it
sends must still be taken, and what it is sent must still be what it knows.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ._schemas import Schema, takes_null
from ._subset import Escape, Subset

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Change:
    """One change. `breaking`: a client of the old contract may fail. `where` is a route, a topic,
    a push or a call; `what` a sentence about it."""

    breaking: bool
    where: str
    what: str

    def __str__(self) -> str:
        return f"{'breaking' if self.breaking else 'harmless'}: {self.where}: {self.what}"


def compare(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """What a client of the contract `old` meets at a server of `new`, both as `as_json` gives
    them: breaking changes first. Words, limits and the order of things do not count.

    Raises `ValueError` for what is no contract.
    """
    for name, each in (("old", old), ("new", new)):
        if not isinstance(each, Mapping) or each.get("format") != FORMAT:
            raise ValueError(f"the {name} one is no contract of format {FORMAT}")
    changes = dict.fromkeys(_Comparison(old, new).changes())
    return sorted(changes, key=lambda change: not change.breaking)


USUAL: Schema = {
    "type": "object",
    "properties": {"message": {"type": "string"}, "code": {"type": "string"}},
    "required": ["message"],
}
"""The payload of an error for which nothing else was declared."""

NULL: Schema = {"type": "null"}
OBJECT: Schema = {"type": "object"}


class _Comparison:
    def __init__(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        self._old, self._new = old, new
        self._lost = Subset(old["definitions"], new["definitions"])
        self._gained = Subset(new["definitions"], old["definitions"])

    def changes(self) -> Iterator[Change]:
        yield from self._socket()
        yield from self._each("routes", "route", self._route, True)
        yield from self._each("topics", "topic", self._topic, True)
        yield from self._each("pushes", "push", self._push, True)
        # A call that is new finds no handler in an older client, and that is the server's to bear.
        yield from self._each("calls", "call", self._call, False)

    def _socket(self) -> Iterator[Change]:
        old, new = self._old, self._new
        if old.get("auth") != new.get("auth"):
            needed = new.get("auth") == "required"
            what = "a token is required now" if needed else "a token is no longer required"
            if new.get("auth") == "optional" and old.get("auth") is None:
                what = "a token is taken now"
            yield Change(needed, "the socket", what)
        if old.get("path") and new.get("path") and old["path"] != new["path"]:
            yield Change(True, "the socket", f"it is at {new['path']} now, not at {old['path']}")

    def _each(
        self,
        section: str,
        kind: str,
        compared: Callable[[str, Any, Any], Iterator[Change]],
        is_missed: bool,
    ) -> Iterator[Change]:
        old, new = self._old[section], self._new[section]
        for name in sorted(old.keys() - new.keys()):
            yield Change(is_missed, f"{kind} {name!r}", "it is gone")
        for name in sorted(new.keys() - old.keys()):
            yield Change(False, f"{kind} {name!r}", "it is new")
        for name in sorted(old.keys() & new.keys()):
            where = f"{kind} {name!r}"
            yield from compared(where, old[name], new[name])
            if new[name]["deprecated"] and not old[name]["deprecated"]:
                yield Change(False, where, "it is deprecated now")

    # --- each kind

    def _route(self, where: str, old: Any, new: Any) -> Iterator[Change]:
        if old["kind"] != new["kind"]:
            kinds = {"call": "it answers once now", "stream": "it is a stream now"}
            yield Change(True, where, kinds[new["kind"]])
            return
        if old["idempotent"] and not new["idempotent"]:
            yield Change(True, where, "it may no longer be repeated safely")
        yield from self._payload(where, old, new)
        yield from self._into(where, "headers", old["headers"] or OBJECT, new["headers"] or OBJECT)
        yield from self._result(where, "result", old["result"], new["result"])
        if old["item"] is not None:
            yield from self._out(where, "item", old["item"], new["item"])
        if old["progress"] is not None and new["progress"] is not None:
            yield from self._out(where, "progress", old["progress"], new["progress"])
        yield from self._errors(where, old["errors"], new["errors"])

    def _payload(self, where: str, old: Any, new: Any) -> Iterator[Change]:
        if new["payload_required"] and not old["payload_required"]:
            yield Change(True, where, "the payload is required now")
        if old["payload_required"] and not new["payload_required"]:
            yield Change(False, where, "the payload may be left out now")
        before, now = old["payload"], new["payload"]
        if before is not None and now is not None:
            yield from self._into(where, "payload", before, now)
        elif before is not None:
            yield Change(False, where, "the payload is no longer read")
        elif now is not None:
            yield Change(False, where, "it takes a payload now")

    def _result(self, where: str, name: str, before: Any, now: Any) -> Iterator[Change]:
        if before is None and now is not None:
            yield Change(False, where, f"it has a {name} now")
        elif before is not None and now is None:
            yield Change(True, where, f"the {name} is gone")
        elif before is not None:
            yield from self._out(where, name, before, now)

    def _errors(self, where: str, old: Any, new: Any) -> Iterator[Change]:
        for status in sorted(old.keys() - new.keys()):
            # Where it is answered all the same, its payload is the usual one.
            had_model = old[status]["payload"] is not None
            yield Change(had_model, where, f"the error {status} is no longer declared")
        for status in sorted(new.keys() - old.keys()):
            yield Change(False, where, f"the error {status} is declared now")
        for status in sorted(old.keys() & new.keys()):
            before, now = (each[status]["payload"] or USUAL for each in (old, new))
            yield from self._out(where, f"error {status}", before, now)

    def _topic(self, where: str, old: Any, new: Any) -> Iterator[Change]:
        for name in sorted(old["parameters"].keys() & new["parameters"].keys()):
            before, now = old["parameters"][name], new["parameters"][name]
            yield from self._into(where, f"parameter {name}", before, now)
        yield from self._out(where, "event", old["event"], new["event"])
        yield from self._result(where, "snapshot", old["snapshot"], new["snapshot"])
        if old["publish"] and new["publish"]:
            yield from self._into(
                where, "published event", old["publish_event"], new["publish_event"]
            )
        elif old["publish"] or new["publish"]:
            may = "may now" if new["publish"] else "may no longer"
            yield Change(old["publish"], where, f"clients {may} publish")
        if old["presence"] != new["presence"]:
            gone = "one cannot know any more who listens"
            what = "one can know now who listens" if new["presence"] else gone
            yield Change(old["presence"], where, what)
        if old["kept"] and not new["kept"]:
            yield Change(False, where, "events are no longer kept for those who come back")
        yield from self._errors(where, old["errors"], new["errors"])

    def _push(self, where: str, old: Any, new: Any) -> Iterator[Change]:
        yield from self._result(where, "payload", old["payload"], new["payload"])

    def _call(self, where: str, old: Any, new: Any) -> Iterator[Change]:
        yield from self._push(where, old, new)
        before, now = old["result"], new["result"]
        if before is not None and now is not None:
            yield from self._into(where, "result", before, now)
        elif before is None and now is not None:
            silent = takes_null(now, self._new["definitions"])
            yield Change(not silent, where, "a result is asked for now")
        elif before is not None:
            yield Change(False, where, "the result no longer counts")

    # --- schemas, by direction

    def _into(self, where: str, name: str, before: Any, now: Any) -> Iterator[Change]:
        """What clients send: all that they sent must still be taken."""
        lost, gained = self._lost.escapes(before, now), self._gained.escapes(now, before)
        yield from _told(where, name, lost, _TAKES_LESS, harmless={"extra"})
        needed = {(escape.path, escape.what) for escape in lost if escape.kind == "missing"}
        told = [e for e in gained if e.kind != "extra" or (e.path, e.what) not in needed]
        yield from _told(where, name, told, _TAKES_MORE)

    def _out(self, where: str, name: str, before: Any, now: Any) -> Iterator[Change]:
        """What clients are sent: nothing that they do not know. Bounds are no part of that: no
        client's types hold them."""
        gained, lost = self._gained.escapes(now, before), self._lost.escapes(before, now)
        yield from _told(where, name, gained, _GIVES_MORE, harmless={"extra", "refused", "bound"})
        yield from _told(where, name, lost, _GIVES_NO, harmless=())
        yield from _told(where, name, lost, _GIVES_LESS)


_TAKES_LESS: Mapping[str, str] = {
    "value": "may no longer be {}",
    "absent": "needs a {} now",
    "missing": "needs a {} now, which is new",
    "extra": "is no longer read for its {}",
    "refused": "may no longer have a {}",
    "other": "may no longer have members that are not named",
    "bound": "must be {} now",
    "format": "must have the format {} now",
    "unknown": "is described in a way that cannot be compared",
}
_TAKES_MORE: Mapping[str, str] = {
    "value": "may also be {} now",
    "absent": "may come without a {} now",
    "extra": "may have a {} now",
    "refused": "may have a {} now",
    "other": "may have members that are not named now",
    "bound": "need not be {} any more",
    "format": "need not have the format {} any more",
}
_GIVES_MORE: Mapping[str, str] = {
    "value": "may be {} now",
    "absent": "may come without a {} now",
    "missing": "has no {} any more",
    "extra": "has a {} now",
    "refused": "has a {} now",
    "bound": "need not be {} any more",
    "format": "no longer has the format {}",
    "unknown": "is described in a way that cannot be compared",
}
_GIVES_NO: Mapping[str, str] = {
    "extra": "has no {} any more",
    "refused": "has no {} any more",
}
_GIVES_LESS: Mapping[str, str] = {
    "value": "is never {} any more",
    "absent": "always has a {} now",
    "bound": "is always {} now",
    "format": "always has the format {} now",
}


def _told(
    where: str,
    name: str,
    escapes: Iterable[Escape],
    words: Mapping[str, str],
    harmless: Collection[str] | None = None,
) -> Iterator[Change]:
    """A sentence for each of the escapes that has words, values of one place in one sentence.
    `harmless` are the kinds that break nobody, None where none does."""
    values: dict[str, list[str]] = {}
    for escape in escapes:
        if escape.kind == "value":
            values.setdefault(escape.path, []).append(escape.what)
        elif escape.kind in words:
            breaking = harmless is not None and escape.kind not in harmless
            what = words[escape.kind].format(_quoted(escape))
            yield Change(breaking, where, f"{name}{escape.path} {what}")
    for path, found in values.items():
        if "value" in words:
            what = words["value"].format(" or ".join(found))
            yield Change(harmless is not None, where, f"{name}{path} {what}")


def _quoted(escape: Escape) -> str:
    is_member = escape.kind in ("absent", "missing", "extra", "refused")
    return f"member {escape.what!r}" if is_member else escape.what

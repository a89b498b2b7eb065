"""
A contract as an AsyncAPI 3.0 document.

From dict to dict. AsyncAPI speaks JSON Schema draft-07, and of messages as they are on the wire:
what a message holds here is a whole frame of the protocol.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ._schemas import OF_MANY, OF_NAMES, OF_ONE, REF, Schema

Document = dict[str, Any]

SOCKET = "socket"
"""The channel of everything but topics."""

COMPONENTS = "#/components/schemas/"
UUID = {"$ref": f"{COMPONENTS}protocol.Uuid"}
HEADERS: Schema = {"type": ["object", "null"]}
POSITION: Schema = {"epoch": {"type": "string"}, "offset": {"type": "integer", "minimum": 0}}

PROTOCOL: Mapping[str, Schema] = {
    "protocol.Uuid": {
        "description": "Chosen by who asks; the answer has the same.",
        "oneOf": [{"type": "string", "minLength": 1, "maxLength": 128}, {"type": "integer"}],
    },
    "protocol.Error": {
        "type": "object",
        "description": "What an error says where nothing else was declared for its status.",
        "properties": {"message": {"type": "string"}, "code": {"type": "string"}, "detail": {}},
        "required": ["message"],
    },
}

MEMBER: Schema = {
    "user_id": {"type": ["string", "null"]},
    "sockets": {"type": "integer"},
    "since": {"type": "number", "description": "Seconds since 1970."},
}
CHANGE: Schema = {"event": {"enum": ["join", "leave"]}, **MEMBER}


def _object(members: Mapping[str, Schema], required: "int | list[str]") -> Schema:
    """An object of these members; `required` are named, or so many of the first."""
    names = [*members][:required] if isinstance(required, int) else required
    schema: Schema = {"type": "object", "properties": dict(members)}
    return schema | ({"required": names} if names else {})


PRESENCE: Mapping[str, Any] = {
    "summary": "Who listens",
    "description": "",
    "event": _object(CHANGE, 4),
    "snapshot": {"type": "array", "items": _object(MEMBER, 3)},
    "publish": False,
}
"""What the topic of those who listen to a topic has of its own."""

TOKEN: Document = {
    "type": "apiKey",
    "in": "password",
    "description": "A token. It goes as `token` in the payload of the first message, `$hello`, and "
    "is renewed by `$auth`.",
}


def asyncapi(contract: Mapping[str, Any], path: str, servers: Mapping[str, Any] | None) -> Document:
    """The document of a contract, whose socket is at `path`."""
    return _Writer(contract, path).document(servers)


class _Writer:
    """Writes one document; each part adds its messages to a channel, and its operations."""

    def __init__(self, contract: Mapping[str, Any], path: str) -> None:
        self._contract = contract
        self._operations: Document = {}
        self._socket: Document = {
            "address": path,
            "title": "The socket",
            "description": "Each text frame is one JSON object.",
            "messages": {"error": _message("error", _error(None, None, "Any other error"))},
            "bindings": {"ws": {"method": "GET", "bindingVersion": "0.1.0"}},
        }
        self._channels: Document = {SOCKET: self._socket}

    def document(self, servers: Mapping[str, Any] | None) -> Document:
        contract = self._contract
        for name, route in contract["routes"].items():
            self._route(name, route)
        for pattern, topic in contract["topics"].items():
            self._topic(pattern, topic)
            if topic["presence"]:
                self._topic(f"{pattern}/@presence", {**topic, **PRESENCE})
        for name, push in contract["pushes"].items():
            self._push(name, push)
        for name, call in contract["calls"].items():
            self._call(name, call)
        components: Document = {"schemas": {**PROTOCOL, **self._definitions()}}
        if contract["auth"]:
            components["securitySchemes"] = {"token": TOKEN}
        return {
            "asyncapi": "3.0.0",
            "info": self._info(),
            "defaultContentType": "application/json",
            **({"servers": dict(servers)} if servers else {}),
            "channels": self._channels,
            "operations": self._operations,
            "components": components,
        }

    def _info(self) -> Document:
        contract = self._contract
        info = {"title": contract["title"] or "Socket", "version": contract["version"] or "0"}
        told = {"description": contract["description"]} if contract["description"] else {}
        return {**info, **told, "x-contract-hash": contract["hash"]}

    def _definitions(self) -> Document:
        return {name: draft_07(schema) for name, schema in self._contract["definitions"].items()}

    # --- what there is

    def _route(self, name: str, route: Mapping[str, Any]) -> None:
        id = self._free(name)
        headers = _headers(route["headers"])
        request = _request({"const": name}, headers, route["payload"], route["payload_required"])
        replies = {f"{id}.result": _answer(200, "The result", route["result"])}
        if route["kind"] == "stream":
            seq: Schema = {"$seq": {"type": "integer", "minimum": 0}}
            replies = {
                f"{id}.item": _answer(402, "An item", route["item"], seq),
                f"{id}.end": _answer(200, "The end of the stream", route["result"]),
            }
        if route["progress"] is not None:
            told = "How far the work has come, for who sends the header `$progress`"
            replies[f"{id}.progress"] = _answer(402, told, route["progress"])
        messages = self._add(SOCKET, {f"{id}.request": _told(request, name, route)})
        answers = self._add(SOCKET, replies | _errors(id, route["errors"]))
        self._operations[id] = {
            **self._operation("receive", SOCKET, name, route, messages, answers),
            "x-kind": route["kind"],
            "x-ordered": route["ordered"],
            "x-idempotent": route["idempotent"],
            "x-timeout": route["timeout"],
        }

    def _topic(self, pattern: str, topic: Mapping[str, Any]) -> None:
        id = self._free(pattern, "topic.")
        address = re.sub(r"\{(\w+):path\}", r"{\1}", pattern)
        self._channels[id] = {
            "address": address,
            "title": pattern,
            **_words(topic),
            "parameters": {n: _parameter(s) for n, s in topic["parameters"].items()},
            "messages": {},
        }
        name: Schema = {"type": "string", "description": address}
        wanted = _object({"topic": name, "recover": _object(POSITION, 2)}, 1)
        asks = self._add(id, {"subscribe": _request({"const": "$sub"}, HEADERS, wanted)})
        answers = self._add(id, {"subscribed": _joined(topic)} | _errors("sub", topic["errors"]))
        event = self._add(id, {"event": _told(_event(topic), pattern, topic)})
        self._operations[f"{id}.subscribe"] = self._operation(
            "receive", id, f"Subscribe to {pattern}", topic, asks, answers
        )
        self._operations[f"{id}.event"] = self._operation("send", id, pattern, topic, event)
        if topic["publish"]:
            self._published(id, pattern, topic, name)

    def _published(self, id: str, pattern: str, topic: Mapping[str, Any], name: Schema) -> None:
        message_id: Schema = {"type": "string", "maxLength": 128}
        says = {"topic": name, "payload": topic["publish_event"], "message_id": message_id}
        frame = _request({"const": "$pub"}, HEADERS, _object(says, 2))
        asks = self._add(id, {"publish": frame})
        position = _object(POSITION, 0)
        answers = self._add(id, {"published": _answer(200, "It is stored", position)})
        self._operations[f"{id}.publish"] = self._operation(
            "receive", id, f"Publish to {pattern}", topic, asks, answers
        )

    def _push(self, name: str, push: Mapping[str, Any]) -> None:
        id = self._free(name, "push.")
        frame = _message("push", _frame(name, {"const": "#"}, push["payload"]))
        messages = self._add(SOCKET, {id: _told(frame, name, push)})
        self._operations[id] = self._operation("send", SOCKET, name, push, messages)

    def _call(self, name: str, call: Mapping[str, Any]) -> None:
        id = self._free(name, "call.")
        frame = _message("call", _frame(name, {"type": "string"}, call["payload"]))
        messages = self._add(SOCKET, {id: _told(frame, name, call)})
        result = {} if call["result"] is None else call["result"]
        answers = self._add(SOCKET, {f"{id}.result": _answer(200, "The result", result)})
        self._operations[id] = self._operation("send", SOCKET, name, call, messages, answers)

    # --- pieces

    def _operation(
        self,
        action: str,
        channel: str,
        title: str,
        about: Mapping[str, Any],
        messages: list[Document],
        answers: list[Document] | None = None,
    ) -> Document:
        where = {"$ref": f"#/channels/{channel}"}
        made = {"action": action, "channel": where, "title": title, **_words(about)}
        made["messages"] = messages
        if answers is not None:
            failed = self._failed(channel)
            made["reply"] = {"channel": where, "messages": [*answers, failed]}
        if action == "receive" and self._contract["auth"] == "required":
            made["security"] = [{"$ref": "#/components/securitySchemes/token"}]
        if about["deprecated"]:
            made["x-deprecated"] = True
        return made

    def _failed(self, channel: str) -> Document:
        self._channels[channel]["messages"].setdefault(
            "error", {"$ref": f"#/channels/{SOCKET}/messages/error"}
        )
        return {"$ref": f"#/channels/{channel}/messages/error"}

    def _add(self, channel: str, messages: Document) -> list[Document]:
        """The references to `messages`, which are the channel's from now on."""
        self._channels[channel]["messages"] |= messages
        return [{"$ref": f"#/channels/{channel}/messages/{id}"} for id in messages]

    def _free(self, name: str, prefix: str = "") -> str:
        """An id like this name that nobody has; ids have no slashes."""
        id = base = prefix + (re.sub(r"[^A-Za-z0-9_.-]+", "_", name).strip("_") or "_")
        number = 1
        while id in self._operations or id in self._channels or id == "error":
            number += 1
            id = f"{base}_{number}"
        return id


# --- frames


def _message(name: str, payload: Schema, summary: str = "") -> Document:
    return {
        "name": name,
        **({"summary": summary} if summary else {}),
        "correlationId": {"location": "$message.payload#/uuid"},
        "payload": payload,
    }


def _request(route: Schema, headers: Schema, payload: Any, required: bool = True) -> Document:
    members = {"uuid": UUID, "route": route, "headers": headers, "payload": _payload(payload)}
    needed = ["uuid", "route", *(["payload"] if required else [])]
    needed += ["headers"] if headers.get("required") else []
    return _message("request", _object(members, needed))


def _answer(status: int, summary: str, payload: Any, headers: Schema | None = None) -> Document:
    told = HEADERS if headers is None else _object(headers, 0)
    members: dict[str, Schema] = {"uuid": UUID, "status": {"const": status}, "headers": told}
    frame = _object(members | {"payload": _payload(payload)}, ["uuid", "status", "payload"])
    if status == 200:
        # What a handler returns may have any status of success.
        frame["properties"]["status"] = {"type": "integer", "minimum": 200, "maximum": 299}
    return _message("answer", frame, summary)


def _errors(id: str, errors: Mapping[str, Any]) -> Document:
    return {
        f"{id}.{status}": _message(
            "error", _error(int(status), each["payload"], each["description"]), each["description"]
        )
        for status, each in errors.items()
    }


def _error(status: int | None, payload: Any, description: str) -> Schema:
    which = (
        {"type": "integer", "minimum": 300, "maximum": 599} if status is None else {"const": status}
    )
    body = {"$ref": f"{COMPONENTS}protocol.Error"} if payload is None else draft_07(payload)
    members = {"uuid": UUID, "status": which, "headers": HEADERS, "payload": body}
    return _object(members, ["uuid", "status", "payload"]) | {"description": description}


def _frame(name: str, uuid: Schema, payload: Any) -> Schema:
    members = {"uuid": uuid, "route": {"const": name}, "headers": HEADERS}
    return _object(members | {"payload": _payload(payload)}, ["uuid", "route", "payload"])


def _event(topic: Mapping[str, Any]) -> Document:
    position: Schema = {"$epoch": POSITION["epoch"], "$offset": POSITION["offset"]}
    members = {"uuid": {"type": "string"}, "route": {"type": "string"}}
    members |= {"headers": _object(position, 0), "payload": _payload(topic["event"])}
    return _message("event", _object(members, ["uuid", "route", "payload"]))


def _joined(topic: Mapping[str, Any]) -> Document:
    one = _object({**POSITION, "payload": topic["event"]}, 3)
    missed: Schema = {"type": "array", "items": one}
    members = {**POSITION, "recovered": {"type": "boolean"}, "missed": missed}
    if topic["snapshot"] is not None:
        members["snapshot"] = topic["snapshot"]
    return _answer(200, "It is listened to", _object(members, 4))


def _payload(schema: Any) -> Schema:
    return {"type": "null"} if schema is None else draft_07(schema)


def _headers(schema: Any) -> Schema:
    return HEADERS if schema is None else draft_07(schema)


def _parameter(schema: Schema) -> Document:
    """AsyncAPI's parameters are texts: their type is told in words."""
    told: Document = {"description": schema.get("description") or schema.get("type") or "text"}
    values = schema.get("enum")
    return told | ({"enum": [str(v) for v in values]} if values else {})


def _words(about: Mapping[str, Any]) -> Document:
    words = {name: about[name] for name in ("summary", "description") if about[name]}
    tags = [{"name": tag} for tag in dict.fromkeys(about.get("tags", ()))]
    return words | ({"tags": tags} if tags else {})


def _told(message: Document, title: str, about: Mapping[str, Any]) -> Document:
    return {**message, "title": title, **_words(about)}


# --- schemas


def draft_07(schema: Any) -> Any:
    """A schema of 2020-12, as pydantic writes it, for those who know draft-07."""
    if not isinstance(schema, dict):
        return schema
    made = dict(_drafted(schema))
    ref = made.pop("$ref", None)
    if ref is None:
        return made
    there = {"$ref": ref.replace(REF, COMPONENTS)}
    # What stands beside a reference does not count in draft-07.
    return {"allOf": [there], **made} if made else there


def _drafted(schema: Schema) -> Iterator[tuple[str, Any]]:
    for name, value in schema.items():
        if name == "prefixItems":
            yield "items", [draft_07(part) for part in value]
        elif name == "items" and "prefixItems" in schema:
            yield "additionalItems", draft_07(value)
        elif name == "discriminator" and isinstance(value, dict):
            yield name, value["propertyName"]
        else:
            yield name, _INSIDE.get(name, _same)(value)


def _same(value: Any) -> Any:
    return value


def _each(value: Any) -> Any:
    return [draft_07(part) for part in value]


def _named(value: Any) -> Any:
    return {name: draft_07(part) for name, part in value.items()}


_INSIDE: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys(OF_NAMES, _named),
    **dict.fromkeys(OF_ONE, draft_07),
    **dict.fromkeys(OF_MANY, _each),
}

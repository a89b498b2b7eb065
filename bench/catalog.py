"""
What is compared: the subjects, the scenarios, and the goals set for this package.

Only data lives here. There are four contests: of servers that answer calls, of servers that
send streams, of servers that send one event to many, and of clients. The subjects of one do the
same jobs, and say in their `Dialect` how a call of them looks on the wire. What else there is of
topics is in `catalog_topics`.
"""

import json
from dataclasses import dataclass, field
from typing import Any, Literal

PLACEHOLDER = "@" * 9  # load.c puts the id of each call here


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a call is written, and what stands before its id in the answer."""

    template: str
    id_key: str
    jobs: dict[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()

    def call(self, job: str, headers: str, payload: str) -> str:
        """The text of a call, with a placeholder for its id."""
        text = self.template.replace("ID", PLACEHOLDER).replace("HEADERS", headers)
        return text.replace("JOB", self.jobs.get(job, job)).replace("PAYLOAD", payload)


ENVELOPE = Dialect('{"uuid":ID,"route":"JOB","headers":HEADERS,"payload":PAYLOAD}', '"uuid":')
RPC = Dialect(
    '{"request":{"method":"JOB","arguments":{"payload":PAYLOAD},"call_id":"ID"}}',
    '"call_id":',
    jobs={"math/sum": "add"},
)
CHANX = Dialect('{"action":"JOB","ref":"ID","payload":PAYLOAD}', '"ref":')
# Engine.IO greets with "0{...}" and wants the namespace opened with "40"; its "2" is a
# ping. An event "42<id>[...]" is acknowledged by "43<id>[...]".
SOCKETIO = Dialect(
    '42ID["JOB",PAYLOAD]',
    "43",
    options=(
        *("--init-recv", "2", "--init-send", "40"),
        *("--prefix", "43", "--ping", "2", "--pong", "3"),
    ),
)
# Of a fan-out an event is known by its number. A socket.io client is in the room by connecting.
FANOUT = Dialect(
    ENVELOPE.template,
    '"n":',
    options=(
        *("--init-recv", "1", "--hello"),
        '{"uuid":1,"route":"$sub","headers":{},"payload":{"topic":"news"}}',
    ),
)
SOCKETIO_FANOUT = Dialect(
    '42["JOB",PAYLOAD]',
    '"n":',
    options=(
        *("--init-recv", "2", "--init-send", "40"),
        *("--prefix", "42", "--ping", "2", "--pong", "3"),
    ),
)
SOCKETIO_PATH = "/socket.io/?EIO=4&transport=websocket"


@dataclass(frozen=True, slots=True)
class Subject:
    """
    A server in `subjects/`, run in the environment of one requirements file; or a client in
    `clients/`, with the server that it calls.
    """

    name: str
    environment: str
    dialect: Dialect = ENVELOPE
    path: str = "/ws"
    checkout: bool = False  # needs this package as it stands in this checkout
    server: str = ""  # its file in `subjects/`, where that is named otherwise
    client: str = ""  # its file in `clients/`, where that takes the place of load.c
    ws: str = "websockets-sansio"  # uvicorn's `--ws`
    own: bool = False  # its file is a program, which takes the port, and needs no uvicorn


def on_lane(name: str, server: str, dialect: Dialect = ENVELOPE) -> Subject:
    """The same server on the fast lane, which this package brings."""
    lane = "fastapi_observable_socket.uvicorn:Protocol"
    return Subject(name, "fastapi", dialect, checkout=True, server=server, ws=lane)


CALL_SUBJECTS = (
    Subject("raw_json", "fastapi"),
    Subject("raw_msgspec", "fastapi"),
    on_lane("raw_json_lane", "raw_json"),
    on_lane("raw_msgspec_lane", "raw_msgspec"),
    Subject("fastapi_json", "fastapi"),
    Subject("ours", "fastapi", checkout=True),
    Subject("ours_typed", "fastapi", checkout=True),
    Subject("ours_asgi", "fastapi", checkout=True),
    on_lane("lane", "ours"),
    on_lane("lane_typed", "ours_typed"),
    on_lane("lane_asgi", "ours_asgi"),
    Subject("published", "published"),
    Subject("fastapi_websocket_rpc", "fastapi_websocket_rpc", RPC),
    Subject("fastapi_ws_router", "fastapi_ws_router"),
    Subject("socketio", "socketio", SOCKETIO, SOCKETIO_PATH),
    Subject("chanx", "chanx", CHANX),
    Subject("picows", "picows", own=True),
)

STREAM_SUBJECTS = (
    Subject("stream_json", "fastapi"),
    Subject("stream_msgspec", "fastapi"),
    Subject("stream_ours", "fastapi", checkout=True),
    Subject("stream_ours_typed", "fastapi", checkout=True),
    on_lane("stream_lane", "stream_ours"),
)

FANOUT_SUBJECTS = (
    Subject("fanout_raw", "fastapi", FANOUT),
    Subject("fanout_ours", "fastapi", FANOUT, checkout=True),
    on_lane("fanout_lane", "fanout_ours", FANOUT),
    Subject("fanout_socketio", "socketio", SOCKETIO_FANOUT, SOCKETIO_PATH),
)


def client(name: str, environment: str, server: str, checkout: bool = False) -> Subject:
    return Subject(f"client_{name}", environment, checkout=checkout, server=server, client=name)


CLIENT_SUBJECTS = (
    client("by_hand", "fastapi", "ours", checkout=True),
    client("ours", "fastapi", "ours", checkout=True),
    client("fastapi_websocket_rpc", "fastapi_websocket_rpc", "fastapi_websocket_rpc"),
    client("socketio", "socketio", "socketio"),
)


def records(size: int) -> str:
    """A JSON list of small records, as an API would return them, of about `size` bytes."""
    rows: list[str] = []
    length = 1
    while length < size:
        n = len(rows)
        row = {
            "id": 1000 + n,
            "name": f"article-{n}",
            "price": n + 0.5,
            "tags": ["news", "sport"],
            "active": n % 2 == 0,
            "parent": None,
        }
        rows.append(json.dumps(row, separators=(",", ":")))
        length += len(rows[-1]) + 1
    return "[" + ",".join(rows) + "]"


@dataclass(frozen=True, slots=True)
class Scenario:
    """A closed loop of one job: `connections`, and calls in flight on each of them."""

    name: str
    title: str
    connections: int
    in_flight: int
    job: str
    payload: str
    expected: str  # stands in a right answer, when blanks are left out
    by: Literal["rate", "p50"] = "rate"
    headers: str = "{}"
    options: tuple[str, ...] = ()  # of load.c
    items: int = 0  # of an answer that comes in many
    longer: float = 1.0  # a run, than others

    @property
    def at_once(self) -> int:
        return self.in_flight if "--fan" in self.options else self.connections * self.in_flight


def summing(name: str, title: str, connections: int, in_flight: int) -> Scenario:
    by: Literal["rate", "p50"] = "p50" if connections * in_flight == 1 else "rate"
    return Scenario(name, title, connections, in_flight, "math/sum", "[1,2,3,4]", '"sum":10', by)


def echoing(name: str, title: str, in_flight: int, size: int) -> Scenario:
    payload = records(size)
    return Scenario(name, title, 1, in_flight, "echo", payload, payload)


def streaming(name: str, title: str, headers: str, *options: str) -> Scenario:
    first = '"payload":{"token":"word","n":0}'
    options = ("--more", '"token"', *options)
    payload, items = str(STREAM_ITEMS), STREAM_ITEMS
    return Scenario(
        name, title, 1, 1, "stream", payload, first, headers=headers, options=options, items=items
    )


def fanning_out(name: str, title: str, sockets: int, in_flight: int) -> Scenario:
    payload = f'{{"n":{PLACEHOLDER},"text":"{"x" * 150}"}}'
    options = ("--fan", "--more", '"n":')
    more: dict[str, Any] = {"options": options, "items": 1, "longer": 2.0}
    return Scenario(name, title, sockets, in_flight, "publish", payload, '"n":', **more)


def calling(name: str, title: str, in_flight: int) -> Scenario:
    # The clients make their calls themselves, and look at each answer.
    return Scenario(name, title, 1, in_flight, "math/sum", "", "")


CALL_SCENARIOS = (
    summing("one", "one at a time", 1, 1),
    summing("pipelined", "64 in flight", 1, 64),
    summing("conns100", "100 connections", 100, 1),
    summing("conns1000", "1,000 connections", 1_000, 1),
    echoing("pipelined_1k", "64 in flight, 1 kB", 64, 1_000),
    echoing("echo_64k", "8 in flight, 64 kB", 8, 64_000),
)

STREAM_ITEMS = 20_000
STREAM_SCENARIOS = (
    streaming("stream", "one stream", '{"$stream":true}'),
    streaming(
        *("stream_window", "one stream, window of 64", '{"$stream":true,"$window":64}'),
        *("--ack-every", "32"),
    ),
)

FANOUT_SCENARIOS = (
    fanning_out("fanout", "one event", 1_000, 1),
    fanning_out("fanout_many", "16 events in the air", 1_000, 16),
)

CLIENT_SCENARIOS = (
    calling("client_one", "one at a time", 1),
    calling("client_64", "64 in flight", 64),
)


@dataclass(frozen=True, slots=True)
class Contest:
    """Subjects that do the same, in the same scenarios; all ratios are taken to `base`."""

    base: str
    subjects: tuple[Subject, ...]
    scenarios: tuple[Scenario, ...]
    speed: str  # the titles of its tables
    cpu: str
    latency: str = ""  # without a title none is shown


CONTESTS = (
    Contest(
        "raw_json",
        CALL_SUBJECTS,
        CALL_SCENARIOS,
        "Speed as a ratio to `raw_json` (of the median latency, one at a time)",
        "CPU of the server, µs a message",
        "Latency of a call, µs, p50 / p99",
    ),
    Contest(
        "stream_json",
        STREAM_SUBJECTS,
        STREAM_SCENARIOS,
        "Items a second of a stream, as a ratio to `stream_json`",
        "CPU of the server, µs an item",
    ),
    Contest(
        "fanout_raw",
        FANOUT_SUBJECTS,
        FANOUT_SCENARIOS,
        "Deliveries a second to 1,000 sockets, as a ratio to `fanout_raw`",
        "CPU of the server, µs a delivery",
        "Time until all 1,000 have an event, µs, p50 / p99",
    ),
    Contest(
        "client_by_hand",
        CLIENT_SUBJECTS,
        CLIENT_SCENARIOS,
        "Calls a second of clients, as a ratio to `client_by_hand`",
        "CPU of the client, µs a call",
    ),
)
SUBJECTS = tuple(subject for contest in CONTESTS for subject in contest.subjects)
SCENARIOS = tuple(scenario for contest in CONTESTS for scenario in contest.scenarios)

IDLE = "memory"  # the name of the memory figure, beside the scenarios
IDLE_SUBJECTS = (
    *("raw_json", "raw_json_lane", "fastapi_json", "ours", "ours_asgi"),
    *("lane", "lane_asgi", "published", "picows"),
)
IDLE_CONNECTIONS = 2_000


@dataclass(frozen=True, slots=True)
class Goal:
    """
    What `subject` reaches of `peer` in `scenario`: at least `bound` times its rate, or,
    where it goes by a latency, at most `bound` times that. It goes by what the scenario
    goes by, or by p99.
    """

    scenario: str
    subject: str
    peer: str
    bound: float
    by: Literal["", "p99"] = ""


CALLS = ("one", "pipelined", "conns100", "conns1000")
GOALS = (
    Goal("pipelined", "ours", "raw_msgspec", 0.75),
    Goal("pipelined", "ours", "fastapi_json", 1.3),
    Goal("pipelined", "ours", "published", 2.2),
    Goal("pipelined", "ours", "socketio", 4.0),
    Goal("conns100", "ours", "raw_msgspec", 0.75),
    Goal("conns100", "ours", "fastapi_json", 1.05),
    Goal("conns100", "ours", "published", 2.0),
    Goal("conns100", "ours", "socketio", 3.0),
    Goal("conns1000", "ours", "raw_msgspec", 0.75),
    Goal("one", "ours", "raw_msgspec", 1.3),
    Goal("echo_64k", "ours", "fastapi_json", 2.0),
    Goal("pipelined", "ours_typed", "ours", 0.6),
    Goal("pipelined", "lane", "raw_msgspec", 3.0),
    Goal("pipelined", "lane", "published", 10.0),
    Goal("conns100", "lane", "raw_msgspec", 1.5),
    Goal("conns1000", "lane", "raw_msgspec", 1.5),
    Goal("one", "lane", "raw_msgspec", 1.0),
    *(Goal(scenario, "lane", "ours", 1.0, "p99") for scenario in CALLS),
    Goal("stream", "stream_ours", "stream_json", 0.8),
    Goal("stream_window", "stream_ours", "stream_json", 0.8),
    Goal("fanout", "fanout_ours", "fanout_raw", 0.8),
    Goal("fanout", "fanout_ours", "fanout_socketio", 3.0),
    Goal("fanout", "fanout_lane", "fanout_ours", 2.0),
    Goal("fanout_many", "fanout_lane", "fanout_ours", 2.0),
    Goal("client_one", "client_ours", "client_fastapi_websocket_rpc", 3.0),
    Goal("client_one", "client_ours", "client_socketio", 3.0),
    Goal("client_64", "client_ours", "client_fastapi_websocket_rpc", 3.0),
    Goal("client_64", "client_ours", "client_socketio", 3.0),
)


@dataclass(frozen=True, slots=True)
class IdleGoal:
    """`subject` holds a connection in at most so many kB more than `peer`."""

    subject: str
    peer: str
    more: float


IDLE_GOALS = (IdleGoal("ours_asgi", "raw_json", 10.0), IdleGoal("lane", "ours", 0.0))

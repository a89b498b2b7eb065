"""
What is compared of topics, beside the fan-out to sockets, which is a contest of `catalog`: relays
from one process to another, how soon a process listens to many topics, and what listening costs in
memory.

Only data lives here.
"""

from dataclasses import dataclass

from catalog import Subject

TOPICS = 100  # of a relay, published to in turn


@dataclass(frozen=True, slots=True)
class Relay:
    """A file in `relays/`, run twice: one process publishes, the other listens. Without a broker
    one process does both."""

    name: str
    environment: str
    module: str
    checkout: bool = False
    broker: bool = True


RELAYS = (
    Relay("relay_ours", "fastapi", "ours", checkout=True),
    Relay("relay_ours_unkept", "fastapi", "ours_unkept", checkout=True),
    Relay("relay_socketio", "socketio", "socketio"),
    Relay("relay_broadcaster", "broadcaster", "broadcaster"),
    Relay("relay_chanx", "chanx", "chanx"),
    Relay("relay_ours_memory", "fastapi", "ours", checkout=True, broker=False),
    Relay("relay_broadcaster_memory", "broadcaster", "broadcaster", broker=False),
)


@dataclass(frozen=True, slots=True)
class RelayScenario:
    """`order` is the harness's, with how many are under way, or come a second."""

    name: str
    order: str
    number: int
    longer: float  # than other runs


RELAY_64 = RelayScenario("relay_64", "publish", 64, 1.0)
RELAY_PACED = RelayScenario("relay_paced", "pace", 500, 2.0)
RELAY_SCENARIOS = (RELAY_64, RELAY_PACED)


@dataclass(frozen=True, slots=True)
class RelayGoal:
    """`subject` takes at most `bound` times the CPU of `peer` for an event, all processes together
    and 64 in flight."""

    subject: str
    peer: str
    bound: float


RELAY_GOALS = tuple(
    RelayGoal(subject, f"relay_{peer}", 0.5)
    for subject in ("relay_ours", "relay_ours_unkept")
    for peer in ("socketio", "broadcaster", "chanx")
)

ATTACH = "attach"
ATTACH_SUBJECT = Relay("attach_ours", "fastapi", "attach", checkout=True)
ATTACH_TOPICS = 10_000
ATTACH_GOAL_SECONDS = 1.5

TOPIC_MEMORY = "topic_memory"
MEMORY_SUBJECTS = (
    Subject("topics", "fastapi", checkout=True),
    Subject("topics_redis", "fastapi", checkout=True, server="topics"),
)
MANY_SOCKETS = 2_000
TOPICS_OF_MANY = 50  # of one alone the cost would be lost in the noise of a socket's
MANY_TOPICS = 10_000

SCENARIOS = (*(s.name for s in RELAY_SCENARIOS), ATTACH, TOPIC_MEMORY)
SUBJECTS = tuple(each.name for each in (*RELAYS, ATTACH_SUBJECT, *MEMORY_SUBJECTS))

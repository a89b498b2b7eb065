"""Publishing without a router. To other processes: `contract/test_people.py`."""

import dataclasses
import json

import pytest
from pydantic import BaseModel, Field

from fastapi_observable_socket import Publisher, SocketRouter
from fastapi_observable_socket._errors import Unserialisable
from fastapi_observable_socket.backends import Keep, MemoryBackend, Unavailable, Uncertain


class Model(BaseModel):
    number: int = Field(alias="n")


@dataclasses.dataclass
class Plain:
    n: int


@pytest.mark.parametrize("event", [Model(n=1), Plain(1), {"n": 1}])
def test_an_event_may_be_whatever_can_be_json(event, run):
    async def main():
        backend = MemoryBackend()
        async with Publisher(backend) as publisher:
            first = await publisher.publish("t", event, message_id="m")
            assert await publisher.publish("t", event, message_id="m") == first
            assert first.offset == 1
            page = await backend.history("t", first._replace(offset=0))
            assert [json.loads(m.data) for m in page.messages] == [{"n": 1}]

    run(main())


def test_the_history_is_as_long_as_keep_says(run):
    async def main():
        backend = MemoryBackend()
        async with Publisher(backend) as publisher:
            assert await publisher.publish("t", 0, keep=None) is None
            for n in range(10):
                position = await publisher.publish("t", n, keep=Keep(3, 60))
            page = await backend.history("t", position._replace(offset=7))
            assert [m.data for m in page.messages] == [b"7", b"8", b"9"]
            assert (await backend.history("t", position._replace(offset=6))).gap

    run(main())


@pytest.mark.parametrize(
    ("topic", "event", "error"),
    [
        ("", 1, ValueError),
        ("7", 1, ValueError),
        ("@u:ann", 1, ValueError),
        ("t/@presence", 1, ValueError),
        ("\ud800", 1, ValueError),
        ("t", object(), Unserialisable),
        ("t", float("nan"), Unserialisable),
        ("t", "x" * 2000, ValueError),
    ],
)
def test_what_cannot_be_published_is_told(topic, event, error, run):
    async def main():
        async with Publisher(MemoryBackend(), max_event_bytes=1000) as publisher:
            with pytest.raises(error):
                await publisher.publish(topic, event)

    run(main())


@pytest.mark.parametrize("error", [Unavailable, Uncertain])
def test_a_broker_that_does_not_do_it_is_told_of(error, run):
    class Broken(MemoryBackend):
        async def publish(self, *arguments, **options):
            raise error("no")

    async def main():
        async with Publisher(Broken()) as publisher:
            with pytest.raises(error):
                await publisher.publish("t", 1, timeout=0.01)
            with pytest.raises(error):
                await publisher.user("ann").push("news")

    run(main())


def test_the_backend_of_a_router_is_not_taken_away(run):
    async def main():
        backend = MemoryBackend()
        router = SocketRouter(backend=backend)
        router.topic("t")(lambda: True)
        async with router.subscribe("t") as events, Publisher(backend) as publisher:
            with pytest.raises(RuntimeError, match="in use"):
                await publisher.publish("t", 1)
            await router.publish("t", 2)
            assert await anext(events) == 2
        await router.aclose()

    run(main())

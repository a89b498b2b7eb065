"""Who is there: `$hello`, `$auth`, and what holds before, between and after them."""

import asyncio
from typing import Annotated

import pytest
from fastapi import Depends, HTTPException, WebSocketException
from starlette.authentication import UnauthenticatedUser
from starlette.websockets import WebSocket

from fastapi_observable_socket import Authenticated, Connection, SignatureError, SocketRouter
from fastapi_observable_socket._identity import identity_of
from fastapi_observable_socket.testing import SocketClosed, SocketTestClient

USERS = {"a-token": "ann", "another": "ann", "b-token": "bob"}


async def by_token(token: str):
    return USERS.get(token)


def guarded(authenticate=by_token, **options) -> SocketRouter:
    router = SocketRouter(authenticate=authenticate, **options)

    @router.route("who", ordered=False)
    async def who(ws: WebSocket, headers, payload):
        return ws.user

    return router


async def hello(client, token=None, **members):
    said = {"protocol": 1, **members}
    if token is not None:
        said["token"] = token
    return await client.request("$hello", said, uuid="hello")


async def closed_with(client) -> tuple[int, str]:
    with pytest.raises(SocketClosed) as closed:
        await client.receive()
    return closed.value.code, closed.value.reason


# --- hello


def test_hello_tells_what_the_server_can_do(run):
    async def main():
        async with SocketTestClient(SocketRouter(max_in_flight=3, idle_timeout=90)) as client:
            answer = await hello(client, token="of no use here")
            assert answer.status == 200
            session = answer.payload.pop("session")
            assert isinstance(session, str)
            assert len(session) >= 12
            assert answer.payload.pop("contract").keys() == {"version", "hash"}
            assert answer.payload == {
                "protocol": 1,
                "features": ["cancel", "timeout", "stream", "progress", "push", "calls"],
                "heartbeat": 30,
                "limits": {
                    "message_bytes": 262144,
                    "in_flight": 3,
                    "streams": 128,
                    "window": 1024,
                },
            }

    run(main())


@pytest.mark.parametrize("payload", [None, [], "1", {}, {"protocol": 2}, {"protocol": "1"}])
def test_a_hello_that_is_none_is_refused_and_may_be_said_again(payload, run):
    async def main():
        async with SocketTestClient(SocketRouter()) as client:
            assert (await client.request("$hello", payload)).status == 400
            assert (await hello(client)).status == 200

    run(main())


def test_a_second_hello_is_a_duplicate(run):
    async def main():
        async with SocketTestClient(guarded()) as client:
            assert (await hello(client, "a-token")).ok
            assert (await hello(client, "b-token")).status == 409
            assert (await client.request("who")).payload == "ann"

    run(main())


@pytest.mark.parametrize("features", [None, "calls", {"calls": 1}, [], ["other"], [["calls"]]])
def test_only_a_list_with_calls_in_it_says_calls(features, run):
    async def main():
        router = SocketRouter()
        async with SocketTestClient(router) as client:
            await hello(client, features=features)
            assert not next(iter(router.connections)).takes_calls

    run(main())


# --- tokens


def test_a_good_token_makes_the_user(run):
    async def main():
        router = guarded()
        async with SocketTestClient(router) as client:
            answer = await hello(client, "a-token")
            assert answer.payload["expires_in"] is None
            assert answer.payload["features"][-1] == "auth"
            assert (await client.request("who")).payload == "ann"
            assert [c.user for c in router.connections.of("ann")] == ["ann"]

    run(main())


@pytest.mark.parametrize("token", [None, "wrong", 7, ""])
def test_a_token_that_is_not_good_is_told_and_the_socket_closed_for_good(token, run):
    async def main():
        async with SocketTestClient(guarded()) as client:
            answer = await hello(client, token)
            assert (answer.status, answer.payload["code"]) == (401, "unauthorized")
            assert (await closed_with(client))[0] == 1008

    run(main())


def test_what_follows_hello_is_judged_after_it(run):
    """Pipelined: nothing waits for the answer."""

    async def main():
        async def slow(token):
            await asyncio.sleep(0.01)
            return USERS.get(token)

        async with SocketTestClient(guarded(slow)) as client:
            await client.push("$hello", {"protocol": 1, "token": "a-token"}, uuid="hello")
            await client.push("who", uuid="who")
            assert (await client.receive())["uuid"] == "hello"
            assert (await client.receive())["payload"] == "ann"

    run(main())


def test_nobody_is_served_before_a_good_token(run):
    async def main():
        async with SocketTestClient(guarded()) as client:
            for route in ("who", "no-such-route"):
                refused = await client.request(route)
                assert (refused.status, refused.payload["code"]) == (401, "unauthorized")
            await client.push("PING", uuid="p")
            assert (await client.receive())["route"] == "PONG"
            assert (await client.request("$auth", {"token": "a-token"})).ok
            assert (await client.request("who")).payload == "ann"

    run(main())


def test_who_brings_no_token_in_time_is_closed_for_good(run):
    async def main():
        async with SocketTestClient(guarded(auth_timeout=0.02)) as client:
            assert await closed_with(client) == (1008, "no token came")

    run(main())


def test_anonymous_peers_are_served_where_they_may_be(run):
    async def main():
        router = guarded(allow_anonymous=True, auth_timeout=0.01)
        async with SocketTestClient(router) as client:
            assert (await client.request("who")).payload is None
            assert (await hello(client)).ok
            await asyncio.sleep(0.03)
            assert (await client.request("$auth", {"token": "wrong"})).status == 401
            assert (await client.request("who")).payload is None
            assert (await client.request("$auth", {"token": "b-token"})).ok
            assert (await client.request("who")).payload == "bob"

    run(main())


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (HTTPException(401, "stale"), 401, 1008),
        (HTTPException(403, "banned"), 403, 1008),
        (HTTPException(404, "who"), 401, 1008),
        (HTTPException(503, "busy"), 503, 1013),
        (HTTPException(429, "slow down"), 503, 1013),
        (LookupError("a secret"), 503, 1013),
    ],
)
def test_what_authenticate_raises_has_its_answer_and_its_close(error, status, code, run):
    async def main():
        async def authenticate(token):
            raise error

        async with SocketTestClient(guarded(authenticate)) as client:
            answer = await hello(client, "a-token")
            assert answer.status == status
            assert "secret" not in str(answer.payload)
            assert (await closed_with(client))[0] == code

    run(main())


def test_authenticate_that_takes_too_long_is_given_up(run):
    async def main():
        async def never(token):
            await asyncio.Event().wait()

        async with SocketTestClient(guarded(never, auth_timeout=0.02)) as client:
            await client.push("$hello", {"protocol": 1, "token": "a-token"}, uuid="hello")
            codes = []
            try:
                while True:
                    codes.append((await client.receive())["status"])
            except SocketClosed as closed:
                codes.append(closed.code)
            assert codes in ([503, 1013], [1008])

    run(main())


def test_authenticate_may_have_dependencies_the_socket_and_no_async(run):
    async def main():
        events = []

        async def database():
            events.append("open")
            try:
                yield {"t": "dora"}
            finally:
                events.append("closed")

        def authenticate(
            token: str, ws: WebSocket, db: Annotated[dict, Depends(database)], c: Connection
        ):
            assert ws.url.path == "/ws"
            assert c.ws is ws
            return db.get(token)

        async with SocketTestClient(guarded(authenticate)) as client:
            assert (await hello(client, "t")).ok
            assert events == ["open", "closed"]
            assert (await client.request("who")).payload == "dora"

    run(main())


def test_the_dependencies_of_a_failed_authenticate_see_why(run):
    async def main():
        seen = []

        async def database():
            try:
                yield
            except HTTPException as error:
                seen.append(error.status_code)
                raise

        async def authenticate(token, db: Annotated[None, Depends(database)]):
            raise HTTPException(403, "no")

        async with SocketTestClient(guarded(authenticate)) as client:
            assert (await hello(client, "t")).status == 403
            assert seen == [403]

    run(main())


@pytest.mark.parametrize(
    "authenticate", [lambda: None, lambda a, b, c: None, 7, lambda *, token: None]
)
def test_a_hook_that_can_never_be_called_is_refused(authenticate):
    with pytest.raises((SignatureError, TypeError), match="authenticate"):
        SocketRouter(authenticate=authenticate)


# --- refreshing and expiring


def expiring(seconds):
    async def authenticate(token):
        user = USERS.get(token)
        return user and Authenticated(user, expires_in=seconds)

    return authenticate


def test_a_session_that_ends_is_closed_so_that_the_client_comes_back(run):
    async def main():
        async with SocketTestClient(guarded(expiring(0.03))) as client:
            assert (await hello(client, "a-token")).payload["expires_in"] == 0.03
            assert (await client.request("who")).payload == "ann"
            assert await closed_with(client) == (4401, "session expired")

    run(main())


def test_a_client_without_hello_cannot_come_back_with_a_new_token(run):
    async def main():
        async with SocketTestClient(guarded(expiring(0.03))) as client:
            answer = await client.request("$auth", {"token": "a-token"})
            assert answer.payload == {"expires_in": 0.03}
            assert (await closed_with(client))[0] == 1008

    run(main())


def test_a_renewed_session_goes_on(run):
    async def main():
        async with SocketTestClient(guarded(expiring(0.3))) as client:
            assert (await hello(client, "a-token")).ok
            loop = asyncio.get_running_loop()
            began = loop.time()
            while loop.time() - began < 0.5:
                await asyncio.sleep(0.05)
                assert (await client.request("$auth", {"token": "another"})).ok
            assert (await client.request("who")).payload == "ann"
            assert (await closed_with(client))[0] == 4401

    run(main())


def test_a_bad_token_leaves_the_session_as_it_was(run):
    async def main():
        async with SocketTestClient(guarded(expiring(60))) as client:
            await hello(client, "a-token")
            for token, status in (("wrong", 401), (None, 401), ("b-token", 403)):
                assert (await client.request("$auth", {"token": token})).status == status
            assert (await client.request("$auth", "no object")).status == 400
            assert (await client.request("who")).payload == "ann"

    run(main())


def test_a_server_without_tokens_takes_none(run):
    async def main():
        async with SocketTestClient(SocketRouter()) as client:
            assert (await client.request("$auth", {"token": "t"})).status == 400

    run(main())


# --- identities


@pytest.mark.parametrize(
    ("user", "identity"),
    [
        ("ann", "ann"),
        (7, 7),
        ({"id": 7}, 7),
        ({"sub": "x"}, "x"),
        ({"name": "?"}, None),
        (object(), None),
        (UnauthenticatedUser(), None),
    ],
)
def test_users_of_the_usual_kinds_have_an_identity(user, identity):
    assert identity_of(user) == identity


def test_identify_says_by_what_a_user_is_found(run):
    async def main():
        router = guarded(identify=lambda user: user.upper())
        async with SocketTestClient(router) as client:
            await hello(client, "a-token")
            assert [c.user for c in router.connections.of("ANN")] == ["ann"]

    run(main())


# --- what must not be served, and to whom


def test_nothing_is_pushed_to_who_has_not_said_who_is_there(run):
    async def main():
        router = guarded()
        async with SocketTestClient(router) as client:
            assert router.connections.push("secret", 1) == 0
            assert len(router.connections) == 0
            await client.request("$auth", {"token": "a-token"})
            assert router.connections.push("news", 1) == 1
            assert (await client.receive())["route"] == "news"

    run(main())


@pytest.mark.parametrize("found", [None, False, Authenticated(None, 900), Authenticated(False)])
def test_a_hook_that_says_no_in_any_way_is_heard(found, run):
    async def main():
        async def authenticate(token):
            return found

        async with SocketTestClient(guarded(authenticate)) as client:
            assert (await hello(client, "t")).status == 401

    run(main())


def test_users_without_a_name_are_told_apart_all_the_same(run):
    class User:
        def __init__(self, email):
            self.email = email

        def __eq__(self, other):
            return self.email == other.email

        __hash__ = None

    async def main():
        async def authenticate(token):
            return User(token)

        router = SocketRouter(authenticate=authenticate)
        async with SocketTestClient(router) as client:
            assert (await hello(client, "ann@x")).ok
            assert (await client.request("$auth", {"token": "ann@x"})).ok
            assert (await client.request("$auth", {"token": "bob@x"})).status == 403

    run(main())


def test_a_token_that_came_in_time_may_be_judged_longer(run):
    async def main():
        async def slow(token):
            await asyncio.sleep(0.15)
            return USERS.get(token)

        router = guarded(slow, auth_timeout=0.2)
        async with SocketTestClient(router) as client:
            await asyncio.sleep(0.1)
            assert (await hello(client, "a-token")).ok
            assert (await client.request("who")).payload == "ann"

    run(main())


def test_a_hook_that_hangs_lets_its_clients_come_back(run):
    async def main():
        async def hangs(token):
            await asyncio.Event().wait()

        async with SocketTestClient(guarded(hangs, auth_timeout=0.05)) as client:
            assert (await hello(client, "a-token")).status == 503
            assert (await closed_with(client))[0] == 1013

    run(main())


def test_another_users_token_does_not_save_a_session_that_is_over(run):
    async def main():
        async def slowly(token):
            if token == "b-token":
                await asyncio.sleep(0.1)
            return Authenticated(USERS[token], 0.05)

        async with SocketTestClient(guarded(slowly)) as client:
            await hello(client, "a-token")
            assert (await client.request("$auth", {"token": "b-token"})).status == 403
            assert (await closed_with(client))[0] == 4401

    run(main())


def test_a_renewal_holds_up_nobody(run):
    async def main():
        judging = asyncio.Event()

        async def slow(token):
            if token == "another":
                await judging.wait()
            return USERS.get(token)

        async with SocketTestClient(guarded(slow)) as client:
            await hello(client, "a-token")
            await client.push("$auth", {"token": "another"}, uuid="renewal")
            assert (await client.request("who")).payload == "ann"
            again = await client.request("$auth", {"token": "a-token"})
            assert again.status == 409
            judging.set()
            assert (await client.receive())["status"] == 200

    run(main())


def test_a_banned_user_is_closed_for_good_by_the_codes_of_sockets_too(run):
    async def main():
        async def authenticate(token):
            raise WebSocketException(1008, "banned")

        async with SocketTestClient(guarded(authenticate)) as client:
            assert (await hello(client, "t")).status == 403
            assert (await closed_with(client))[0] == 1008

    run(main())


def test_a_hook_or_a_name_that_fails_is_the_servers_fault(run):
    async def main():
        def no_name(user):
            raise AttributeError("no id")

        async def cancelled(token):
            raise asyncio.CancelledError

        for router in (
            guarded(identify=no_name),
            guarded(cancelled),
            guarded(lambda token: Authenticated(token, "soon")),
        ):
            async with SocketTestClient(router) as client:
                assert (await hello(client, "a-token")).status == 503
                assert (await closed_with(client))[0] == 1013
        router = SocketRouter(identify=no_name)
        async with SocketTestClient(router, scope={"user": UnauthenticatedUser()}) as client:
            assert (await hello(client)).ok

    run(main())

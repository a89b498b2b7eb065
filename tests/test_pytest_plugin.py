"""The fixture, in a test of its own."""

import pytest

from fastapi_observable_socket import SocketRouter
from fastapi_observable_socket.pytest_plugin import socket_client  # noqa: F401
from fastapi_observable_socket.testing import SocketRejected


def test_it_opens_as_many_sockets_as_a_test_asks_for(socket_client):  # noqa: F811
    router = SocketRouter(lambda ws: ws.headers.get("x-key") == "open", deny="http")

    @router.route("echo")
    async def echo(payload):
        return payload

    first = socket_client(router, headers={"x-key": "open"})
    second = socket_client(router, "/other", headers={"x-key": "open"})
    assert first.request("echo", 1).payload == 1
    assert second.request("echo", 2).payload == 2
    with pytest.raises(SocketRejected):
        socket_client(router)

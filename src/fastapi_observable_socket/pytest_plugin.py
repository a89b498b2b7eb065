"""
A fixture for pytest: `pytest_plugins = ["fastapi_observable_socket.pytest_plugin"]`.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from .testing import SyncSocketTestClient

__all__ = ["socket_client"]


@pytest.fixture
def socket_client() -> Iterator[Callable[..., SyncSocketTestClient]]:
    """Opens sockets, with the arguments of `SocketTestClient`; they end with the test.

    def test_sums(socket_client):
        assert socket_client(app, "/ws").request("math/sum", [1, 2]).ok
    """
    with ExitStack() as stack:

        def connect(*arguments: object, **options: object) -> SyncSocketTestClient:
            client = SyncSocketTestClient(*arguments, **options)  # type: ignore[arg-type]
            return stack.enter_context(client)

        yield connect

"""Both backends keep every rule of the contract."""

import pytest

from fastapi_observable_socket.backends import MemoryBackend
from fastapi_observable_socket.backends.redis import RedisBackend
from fastapi_observable_socket.testing import BACKEND_RULES


@pytest.mark.parametrize("kind", ["memory", "redis"])
@pytest.mark.parametrize("rule", BACKEND_RULES, ids=lambda rule: rule.__name__)
def test_a_backend_keeps_the_rule(kind, rule, run, shared_redis):
    make = MemoryBackend if kind == "memory" else lambda: RedisBackend(shared_redis.url)
    run(rule(make))

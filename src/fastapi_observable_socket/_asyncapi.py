from typing import Any


def asyncapi(contract: Any, path: Any, servers: Any) -> dict[str, Any]:
    raise NotImplementedError

from typing import Any


class Change: ...


def compare(old: Any, new: Any) -> list[Change]:
    raise NotImplementedError

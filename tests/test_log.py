"""What an operator reads: one line for each failure, that no peer can forge or flood."""

import io
import logging
import re

import pytest

from fastapi_observable_socket import SocketRouter
from fastapi_observable_socket._log import LONGEST, escaped, failure, logger
from fastapi_observable_socket.testing import SocketTestClient


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("not even that")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain text", "plain text"),
        (7, "7"),
        (None, "None"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\x1b[31mred\x00\x7f", "\\x1b[31mred\\x00\\x7f"),
        ("ü€𝄞", "\\xfc\\u20ac\\U0001d11e"),
        ("\u2028\u202e\ud800", "\\u2028\\u202e\\ud800"),
        ("back\\slash", "back\\\\slash"),
        ("x" * LONGEST, "x" * LONGEST),
        ("x" * (LONGEST + 1), "x" * LONGEST + "…"),
        ("\n" * LONGEST, "\\n" * (LONGEST // 2) + "…"),
        (Unprintable(), "<Unprintable>"),
        (ValueError("a\nb"), "a\\nb"),
    ],
)
def test_a_value_is_shown_on_one_line_and_cut(value, shown):
    assert escaped(value) == shown


def test_a_long_value_costs_no_more_than_it_shows():
    assert len(escaped("ü" * 10_000_000)) == LONGEST + 1


def fail(error):
    try:
        raise error
    except BaseException as raised:
        return raised


@pytest.fixture
def lines():
    """What a handler of the standard library writes, formatted as by default."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s:%(name)s:%(message)s"))
    logger.addHandler(handler)
    yield lambda: stream.getvalue().splitlines()
    logger.removeHandler(handler)


def test_a_failure_is_one_line_with_its_facts_and_a_traceback_below(lines):
    error_id = failure("handler failed", fail(ValueError("no row")), route="a/b", uuid=7)
    first, second, *_, last = lines()
    assert first == (
        "ERROR:fastapi_observable_socket:handler failed: ValueError: no row "
        f"route=a/b uuid=7 error_id={error_id}"
    )
    assert second == "Traceback (most recent call last):"
    assert last == "ValueError: no row"
    assert re.fullmatch("[0-9a-f]{8}", error_id)


def test_each_failure_has_an_id_of_its_own():
    assert len({failure("x", ValueError()) for _ in range(50)}) == 50


def test_a_record_says_where_the_failure_was_told(caplog):
    failure("x", fail(ValueError()))
    [record] = caplog.records
    assert record.pathname == __file__
    assert record.exc_info is not None
    assert record.exc_info[0] is ValueError


@pytest.mark.parametrize(
    "evil", ["a\nCRITICAL:root:forged", "a\r\nb", "a\u2028b", "%s %(x)s", "\x1b"]
)
def test_no_peer_can_write_a_line_of_its_own(lines, evil):
    cause = fail(KeyError(evil))
    error = ValueError(evil)
    error.__cause__ = cause
    failure("handler failed", fail(error), route=evil, uuid=evil)
    assert not any("forged" in line and line.startswith("CRITICAL") for line in lines())
    assert all(line.isprintable() for line in lines())
    assert sum(line.startswith("ERROR:") for line in lines()) == 1


def test_a_chain_of_exceptions_is_told_from_its_beginning(lines):
    try:
        try:
            raise KeyError("first")
        except KeyError as first:
            raise ValueError("second") from first
    except ValueError as second:
        failure("x", second)
    text = "\n".join(lines())
    assert text.index("KeyError: 'first'") < text.index("followed by") < text.rindex("ValueError")


def test_a_suppressed_context_stays_so(lines):
    try:
        try:
            raise KeyError("first")
        except KeyError:
            raise ValueError("second") from None
    except ValueError as second:
        failure("x", second)
    assert "first" not in "\n".join(lines())


def test_a_chain_without_end_is_cut(lines):
    error = ValueError("0")
    for number in range(1, 100):
        outer = ValueError(str(number))
        outer.__context__ = error
        error = outer
    circle = KeyError("circle")
    circle.__context__ = error.__context__
    error.__context__.__context__ = circle  # type: ignore[union-attr]
    failure("x", error)
    assert 1 <= "\n".join(lines()).count("followed by") <= 4


def test_nothing_is_written_where_the_logger_is_off(caplog):
    with caplog.at_level(logging.CRITICAL, logger=logger.name):
        assert failure("x", ValueError())
    assert caplog.records == []


def test_payloads_and_headers_are_never_logged(run, caplog):
    router = SocketRouter()

    @router.route("r")
    async def handler(payload: dict):
        raise ValueError

    @router.route("typed")
    async def typed(payload) -> int:
        return payload

    async def talk():
        async with SocketTestClient(router, headers={"cookie": "secret"}) as client:
            for route in ("r", "typed"):
                answer = await client.request(route, {"password": "secret"}, {"token": "secret"})
                assert answer.status == 500

    run(talk())
    assert len(caplog.records) == 2
    assert "secret" not in caplog.text


def test_a_route_and_a_uuid_chosen_by_a_peer_are_escaped(run, caplog):
    router = SocketRouter()

    @router.route("a\nb")
    async def handler(payload):
        raise ValueError

    async def talk():
        async with SocketTestClient(router) as client:
            await client.request("a\nb", uuid="1\n2")

    run(talk())
    assert "route=a\\nb uuid=1\\n2 " in caplog.text

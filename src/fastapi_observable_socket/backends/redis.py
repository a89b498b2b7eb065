"""
Topics on Redis (6.2 or newer, or Valkey): live events over pub/sub, history in a stream, and
offset, history and publication in one atomic step.

redis-py finds the server, opens TLS and signs in; from there the frames are ours: one
pipelined connection for commands and one for what is subscribed, however many publish.
"""

import asyncio
import hashlib
import random
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from fastapi_observable_socket._log import failure, logger

from ._backend import Keep, Message, Page, Position, Receipt, Unavailable, Uncertain

try:
    import hiredis
    from redis.asyncio import sentinel
    from redis.asyncio.connection import ConnectionPool, parse_url
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    from ._redis_link import Link, Lost, PushLink, drop
    from ._redis_presence import PresenceOnRedis
    from ._redis_scripts import ANNOUNCE, BEAT, COUNT, HISTORY, MEMBERS, PUBLISH, REAP
except ModuleNotFoundError as missing:
    raise ImportError(
        f"no module {missing.name!r}: install fastapi-observable-socket[redis]"
    ) from missing

SCRIPTS = {
    script: hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
    for script in (PUBLISH, HISTORY, BEAT, ANNOUNCE, REAP, MEMBERS, COUNT)
}

AWAY = "the broker is away"

COMMAND_TIMEOUT = 3.0
"""Seconds of silence, with an answer due, after which a connection counts as dead."""

PROBE_EVERY = 5.0
"""Seconds between two tests of the way: a connection that TCP holds for good may be deaf."""

META_TTL_MS = 24 * 3600 * 1000
ID_TTL_MS = 5 * 60 * 1000

FIRST_WAIT, LAST_WAIT = 0.05, 2.0
"""Seconds before a new attempt to connect: after the first failure, and after many."""

STEADY = 1.0
"""Seconds for which a connection has to hold, for the next loss to be a first one again."""

NOT_ALIKE = 3
"""Attempts in a row whose connections lead to different servers, before that is believed. During
a failover it happens once."""

NOT_DONE = ("LOADING", "READONLY", "OOM", "NOAUTH", "MASTERDOWN", "CLUSTERDOWN", "MISCONF", "BUSY")
"""Error words of a server that did nothing: a script's first write is refused, or none."""

ELSEWHERE = ("READONLY", "NOAUTH", "MASTERDOWN")
"""Error words after which another server is the one to ask, or another sign-in."""


class RedisBackend(PresenceOnRedis):
    """Topics of many processes, over one Redis.

        SocketRouter(backend=RedisBackend("redis://localhost:6379/0"))

    `url` is redis-py's (`redis://`, `rediss://`, `unix://`), `options` are its connection's; with
    `sentinels`, addresses as `(host, port)`, it is that of the master named `master`, found anew
    after each loss, and `url` gives the credentials; what the sentinels themselves ask for, such as
    a `password`, is in `sentinel_options`. `prefix` begins all keys and channels.

    A restarted server may have an older history than its clients: every topic then begins a
    new epoch, so that clients are told of a gap. `incarnation_check=False` trusts the server's
    persistence instead (one node, `appendonly yes`): a restart is no gap then, and a crash of the
    machine may lose in silence what was not on disk. It is for all processes or for none, and has
    to be off where a proxy leads each connection to a server of its own.
    """

    remote = True

    def __init__(
        self,
        url: str = "redis://localhost:6379/0",
        *,
        prefix: str = "fos:",
        sentinels: Sequence[tuple[str, int]] = (),
        master: str = "mymaster",
        sentinel_options: Mapping[str, Any] | None = None,
        incarnation_check: bool = True,
        command_timeout: float = COMMAND_TIMEOUT,
        probe_every: float = PROBE_EVERY,
        **options: Any,
    ) -> None:
        self._url = url
        self._prefix = prefix
        self._sentinels = [(host, port) for host, port in sentinels]
        self._master = master
        self._sentinel_options = dict(sentinel_options or {})
        self._options = options
        self._checks = incarnation_check
        self._timeout = command_timeout
        self._probe_every = probe_every
        self._on_message: Callable[[Message], None] = lambda _: None
        self._on_state: Callable[[bool], None] = lambda _: None
        self._task: asyncio.Task[None] | None = None
        self._tried: asyncio.Future[None] | None = None
        self._links: list[Link] = []
        self._commands: Link | None = None
        self._pushes: PushLink | None = None
        self._incarnation = "-"
        self._meta_ttl_ms = META_TTL_MS
        self._not_alike = 0
        self._said = ""
        # Redis has channels for all its databases together, keys in each.
        database = parse_url(url).get("db", options.get("db", 0))
        self._channels = f"{prefix}c{database}:".encode()
        self._probe = f"{prefix}probe:{secrets.token_hex(8)}".encode()

    # --- beginning and ending

    async def start(
        self, on_message: Callable[[Message], None], on_state: Callable[[bool], None]
    ) -> None:
        self._on_message, self._on_state = on_message, on_state
        self._links, self._commands, self._pushes = [], None, None
        self._tried = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._keep_connected())
        # Long enough for a server that is there: the first to publish finds it open.
        await asyncio.wait([self._tried], timeout=self._timeout)

    async def close(self) -> None:
        task, self._task = self._task, None
        if task is not None and task.get_loop() is asyncio.get_running_loop():
            task.cancel()
            await asyncio.wait([task])

    async def _keep_connected(self) -> None:
        loop = asyncio.get_running_loop()
        wait = FIRST_WAIT
        while True:
            began = loop.time()
            why = await self._connected()
            if why != self._said:
                logger.warning("redis: %s", why)
                self._said = why
            if loop.time() - began > STEADY:
                wait = FIRST_WAIT
            await asyncio.sleep(wait * random.uniform(0.5, 1))
            wait = min(2 * wait, LAST_WAIT)

    async def _connected(self) -> str:
        """Connect and stay so; why that has come to its end."""
        try:
            async with asyncio.timeout(3 * self._timeout):
                commands, pushes = await self._connect()
            self._commands, self._pushes = commands, pushes
            self._said = ""
            self._on_state(True)
            self._settle()
            return await self._watch(commands, pushes)
        except Exception as error:
            return str(error) if isinstance(error, Lost) else f"{type(error).__name__}: {error}"
        finally:
            self._settle()
            await self._disconnect()

    def _settle(self) -> None:
        """The first attempt is over: whoever starts need not wait for more."""
        if self._tried is not None and not self._tried.done():
            self._tried.set_result(None)

    async def _connect(self) -> tuple[Link, PushLink]:
        where = await self._find_master() if self._sentinels else {}
        commands = Link(await self._opened(where), self._timeout)
        self._links.append(commands)
        if self._sentinels and not await self._is_primary(commands):
            raise Lost("not the primary any more")
        pushes = PushLink(await self._opened(where), self._timeout, self._pushed)
        self._links.append(pushes)
        self._incarnation = await self._which(commands, pushes)
        for script in SCRIPTS:
            await commands.send("SCRIPT", "LOAD", script)
        await pushes.subscribe([self._probe])
        return commands, pushes

    async def _opened(self, where: dict[str, Any]) -> Any:
        """A connection that is open and signed in."""
        bounds = {"socket_connect_timeout": self._timeout, "socket_timeout": self._timeout}
        pool = ConnectionPool.from_url(self._url, **{**bounds, **self._options})
        pool.connection_kwargs |= {"protocol": 2, **where}
        connection: Any = pool.connection_class(**pool.connection_kwargs)
        try:
            await connection.connect()
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise asyncio.CancelledError  # it got lost in there, where `wait_for` is used
        except BaseException:
            await drop(connection)
            raise
        return connection

    async def _find_master(self) -> dict[str, Any]:
        """Where the sentinels say that the primary is: the first that answers is believed."""
        make: Any = sentinel.Sentinel
        bounds = {"socket_connect_timeout": self._timeout, "socket_timeout": self._timeout}
        # Asked once: redis-py would try one that is gone for longer than we have.
        options = {**bounds, "retry": Retry(NoBackoff(), 0), **self._sentinel_options}
        those = make(self._sentinels, sentinel_kwargs=options)
        # Should the first be one that keeps silent, the next attempt begins with another.
        self._sentinels.append(self._sentinels.pop(0))
        try:
            host, port = await those.discover_master(self._master)
            first = those.sentinels[0].connection_pool.connection_kwargs
            self._sentinels.sort(key=lambda each: each != (first["host"], first["port"]))
            return {"host": host, "port": port}
        finally:
            for each in those.sentinels:
                await each.aclose()

    async def _is_primary(self, commands: Link) -> bool:
        """Sentinels may speak of one that was. True where the server does not tell."""
        try:
            role: list[Any] = await commands.send("ROLE")
            return bool(role[0] == b"master")
        except hiredis.ReplyError as refused:
            if _says(str(refused), NOT_DONE):
                raise
            return True

    async def _which(self, commands: Link, pushes: Link) -> str:
        """Which run of which server this is. Not checked where that cannot be told."""
        if not self._checks:
            return "-"
        # In this order, and the first twice: it was there all the time the second was.
        ids = {await self._run_id(link) for link in (commands, pushes, commands)}
        self._not_alike = self._not_alike + 1 if len(ids) > 1 else 0
        if 0 < self._not_alike < NOT_ALIKE:
            raise Lost("two connections lead to two servers")
        if self._not_alike or not all(ids):
            self._checks = False
            logger.error(
                "redis: the server's run_id %s, so a restart with an older history goes unnoticed "
                "from now on: use incarnation_check=False in all processes",
                "differs between connections" if self._not_alike else "cannot be read",
            )
            return "-"
        return ids.pop()

    async def _run_id(self, link: Link) -> str:
        """Empty where it is not told."""
        try:
            info = (await link.send("INFO", "server")).decode()
        except hiredis.ReplyError as refused:
            if _says(str(refused), NOT_DONE):
                raise
            return ""
        found = [line[7:].strip() for line in info.splitlines() if line.startswith("run_id:")]
        return found[0] if found else ""

    async def _disconnect(self) -> None:
        was_up, links = self._commands is not None, self._links
        self._links, self._commands, self._pushes = [], None, None
        for link in links:
            link.end("closed")
        if was_up:
            self._on_state(False)
        await asyncio.gather(*(link.ended() for link in links))

    async def _watch(self, commands: Link, pushes: PushLink) -> str:
        """Until the way is lost, or is found to be deaf; why."""
        while True:
            done, _ = await asyncio.wait(
                {commands.lost, pushes.lost},
                timeout=self._probe_every,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if done:
                return done.pop().result()
            pushes.probing = True
            await commands.send("PUBLISH", self._probe, b"")

    # --- what comes

    def _pushed(self, channel: bytes, text: bytes) -> None:
        if channel == self._probe:
            if self._pushes is not None:
                self._pushes.probing = False
            return
        try:
            offset, prev, epoch, data = text.split(b" ", 3)
            topic = channel[len(self._channels) :].decode()
            message = Message(topic, data, epoch.decode(), int(offset), int(prev))
        except ValueError as error:
            failure("redis: a message is none of ours", error)
            return
        self._on_message(message)

    # --- the verbs

    async def publish(
        self, topic: str, data: bytes, *, keep: Keep | None, message_id: str = ""
    ) -> Receipt:
        channel = self._channel(topic)
        if keep is None:
            receivers = await self._ask(
                lambda link: link.send("PUBLISH", channel, b"0 0  " + data), changes=True
            )
            return Receipt(None, receivers)
        epoch, offset, receivers = await self._ask(
            lambda link: self._run(
                link,
                PUBLISH,
                [*self._keys(topic), self._id_key(topic, message_id)],
                channel,
                data,
                max(1, keep.size),
                max(1, int(keep.ttl * 1000)),
                secrets.token_hex(8),
                self._incarnation,
                META_TTL_MS,
                ID_TTL_MS if message_id else "",
            ),
            changes=True,
        )
        known = None if receivers < 0 else receivers
        return Receipt(Position(epoch.decode(), offset), known)

    async def subscribe(self, topics: Sequence[str]) -> None:
        if self._pushes is None:
            raise Unavailable(AWAY)
        if not topics:
            return
        try:
            await self._pushes.subscribe([self._channel(topic) for topic in topics])
        except (Lost, hiredis.ReplyError) as error:
            raise Unavailable(str(error)) from None

    async def unsubscribe(self, topics: Sequence[str]) -> None:
        if self._pushes is not None and topics:
            self._pushes.write(("UNSUBSCRIBE", *(self._channel(topic) for topic in topics)))

    async def history(self, topic: str, since: Position | None) -> Page:
        reply = await self._ask(lambda link: self._run(link, *self._history(topic, since)))
        epoch, offset = reply[0].decode(), reply[1]
        position = Position(epoch, offset)
        if since is None:
            return Page(position, [])
        if reply[2]:
            return Page(position, [], gap=True)
        first = offset - (len(reply) - 3) + 1
        return Page(
            position,
            [Message(topic, data, epoch, n, n - 1) for n, data in enumerate(reply[3:], first)],
        )

    async def positions(self, topics: Sequence[str]) -> list[Position]:
        async def ask(link: Link) -> list[Any]:
            questions = [self._history(topic, None) for topic in topics]
            # Not a task for each: these may be many.
            asked = [self._sent(link, *question) for question in questions]
            answers = await asyncio.gather(*asked, return_exceptions=True)
            return [
                await self._run(link, *question) if isinstance(answer, Exception) else answer
                for answer, question in zip(answers, questions, strict=True)
            ]

        return [Position(e.decode(), o) for e, o in await self._ask(ask)]

    def _history(self, topic: str, since: Position | None) -> tuple[Any, ...]:
        return (
            HISTORY,
            self._keys(topic),
            since.epoch or "?" if since else "",
            since.offset if since else 0,
            secrets.token_hex(8),
            self._incarnation,
            META_TTL_MS,
        )

    # --- asking

    async def _ask(self, ask: Callable[[Link], Awaitable[Any]], changes: bool = False) -> Any:
        """The answer. `changes`: not to have one is `Uncertain` where it may have been done."""
        link = self._commands
        if link is None:
            raise Unavailable(AWAY)
        try:
            return await ask(link)
        except Lost as lost:
            raise (Uncertain if changes and lost.sent else Unavailable)(str(lost)) from None
        except hiredis.ReplyError as refused:
            why = str(refused)
            if _says(why, ELSEWHERE):
                link.end(why)
            halfway = "user_script" in why and not _says(why, NOT_DONE)
            raise (Uncertain if changes and halfway else Unavailable)(why) from None

    async def _run(self, link: Link, script: str, keys: Sequence[str], *arguments: Any) -> Any:
        try:
            return await self._sent(link, script, keys, *arguments)
        except hiredis.ReplyError as refused:
            if not str(refused).startswith("NOSCRIPT"):
                raise
            return await link.send("EVAL", script, len(keys), *keys, *arguments)

    def _sent(
        self, link: Link, script: str, keys: Sequence[str], *arguments: Any
    ) -> "asyncio.Future[Any]":
        return link.send("EVALSHA", SCRIPTS[script], len(keys), *keys, *arguments)

    def _channel(self, topic: str) -> bytes:
        return self._channels + topic.encode()

    def _keys(self, topic: str) -> list[str]:
        # In braces: what belongs to a topic must be one slot, should this ever be a cluster.
        return [f"{self._prefix}s:{{{topic}}}", f"{self._prefix}m:{{{topic}}}"]

    def _id_key(self, topic: str, message_id: str) -> str:
        # With the length: clients choose ids, and none may be that of another topic.
        return f"{self._prefix}i:{len(topic)}:{{{topic}}}{message_id}"


def _says(refusal: str, words: Sequence[str]) -> bool:
    return any(word in refusal for word in words)

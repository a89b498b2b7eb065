"""
Topics on Redis (6.2 or newer, or Valkey): live events over pub/sub, history in a stream, and
offset, history and publication in one atomic step.

redis-py finds the server, opens TLS and signs in; from there the frames are ours: one
pipelined connection for commands and one for what is subscribed, however many publish.
"""

import asyncio
import contextlib
import random
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from .._log import failure, logger
from ._backend import Keep, Message, Page, Position, Receipt, Uncertain, Unavailable

try:
    import hiredis
    import redis.asyncio as aioredis
    from redis.asyncio.sentinel import Sentinel
except ModuleNotFoundError as missing:
    raise ImportError(
        f"no module {missing.name!r}: install fastapi-observable-socket[redis]"
    ) from missing

PUBLISH = """
local known = ARGV[8] ~= '' and redis.call('GET', KEYS[3])
if known then
  local epoch, offset = string.match(known, '^(%S+) (%d+)$')
  return {epoch, tonumber(offset), -1}
end
local epoch, incarnation = unpack(redis.call('HMGET', KEYS[2], 'e', 'i'))
if not epoch or incarnation ~= ARGV[6] then
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[2], 'e', ARGV[5], 'i', ARGV[6], 'o', 0)
  epoch = ARGV[5]
end
local offset = redis.call('HINCRBY', KEYS[2], 'o', 1)
redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[3], offset .. '-0', 'd', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('PEXPIRE', KEYS[2], ARGV[7])
if ARGV[8] ~= '' then redis.call('SET', KEYS[3], epoch .. ' ' .. offset, 'PX', ARGV[8]) end
local heard = redis.call('PUBLISH', ARGV[1], offset .. ' ' .. (offset - 1) .. ' ' .. epoch .. ' ' .. ARGV[2])
return {epoch, offset, heard}
"""
"""KEYS: stream, meta, message id. ARGV: channel, data, size, ttl ms, new epoch, incarnation,
meta ttl ms, id ttl ms ('' without an id)."""

HISTORY = """
local epoch, incarnation, offset = unpack(redis.call('HMGET', KEYS[2], 'e', 'i', 'o'))
if not epoch or incarnation ~= ARGV[4] then
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[2], 'e', ARGV[3], 'i', ARGV[4], 'o', 0)
  redis.call('PEXPIRE', KEYS[2], ARGV[5])
  epoch, offset = ARGV[3], 0
end
offset = tonumber(offset)
if ARGV[1] == '' then return {epoch, offset} end
local since = tonumber(ARGV[2])
if ARGV[1] ~= epoch or since > offset then return {epoch, offset, 1} end
if since == offset then return {epoch, offset, 0} end
local entries = redis.call('XRANGE', KEYS[1], (since + 1) .. '-0', '+')
if #entries ~= offset - since then return {epoch, offset, 1} end
local reply = {epoch, offset, 0}
for _, entry in ipairs(entries) do reply[#reply + 1] = entry[2][2] end
return reply
"""
"""KEYS: stream, meta. ARGV: since epoch ('' for the position alone), since offset, new epoch,
incarnation, meta ttl ms. Gives epoch, offset, whether there is a gap, and the events."""

COMMAND_TIMEOUT = 3.0
"""Seconds in which an answer must come; else the connection counts as dead."""

PROBE_EVERY = 5.0
"""Seconds between two tests of the way: a connection that TCP holds for good may be deaf."""

META_TTL_MS = 24 * 3600 * 1000
ID_TTL_MS = 5 * 60 * 1000

NOT_NOW = ("LOADING", "READONLY", "OOM", "NOAUTH", "MASTERDOWN", "CLUSTERDOWN", "MISCONF", "BUSY")
"""Error words of a server that did nothing, and may do it later or elsewhere."""


class Lost(Exception):
    """The connection ended; `sent`: what was asked may have been done."""

    def __init__(self, why: str, sent: bool = True) -> None:
        super().__init__(why)
        self.sent = sent


class Link:
    """One pipelined connection. Answers come in the order of the commands; what is pushed to
    subscribers goes to `on_push`. `lost` is resolved with the reason when it ends."""

    def __init__(self, connection: Any, on_push: Callable[[list[Any]], None] | None = None) -> None:
        self._connection = connection
        self._reader: asyncio.StreamReader = connection._reader
        self._writer: asyncio.StreamWriter = connection._writer
        self._parser = hiredis.Reader(notEnoughData=_NOTHING)
        self._on_push = on_push
        self._pending: deque[asyncio.Future[Any]] = deque()
        self._out: list[bytes] = []
        self._loop = asyncio.get_running_loop()
        self.lost: asyncio.Future[str] = self._loop.create_future()
        self.heard_at = self._loop.time()
        self._reading = self._loop.create_task(self._read())

    def send(self, *command: Any) -> "asyncio.Future[Any]":
        """Write a command; the future is its answer. Many of one turn leave in one write."""
        answer: asyncio.Future[Any] = self._loop.create_future()
        if self.lost.done():
            answer.set_exception(Lost(self.lost.result(), sent=False))
            return answer
        self._pending.append(answer)
        self.write(command)
        return answer

    def write(self, command: Sequence[Any]) -> None:
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(hiredis.pack_command(tuple(command)))

    def _flush(self) -> None:
        out, self._out = self._out, []
        if not self.lost.done():
            try:
                self._writer.write(b"".join(out))
            except Exception as error:
                self.end(str(error))

    async def _read(self) -> None:
        why = "the server closed the connection"
        try:
            while data := await self._reader.read(256 * 1024):
                self.heard_at = self._loop.time()
                self._parser.feed(data)
                while (reply := self._parser.gets()) is not _NOTHING:
                    self._take(reply)
        except asyncio.CancelledError:
            why = "closed"
            raise
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
        finally:
            self.end(why)

    def _take(self, reply: Any) -> None:
        if self._on_push is not None and isinstance(reply, list):
            self._on_push(reply)
        elif self._pending:
            answer = self._pending.popleft()
            if answer.done():
                return
            if isinstance(reply, hiredis.ReplyError):
                answer.set_exception(reply)
            else:
                answer.set_result(reply)

    def end(self, why: str) -> None:
        """Drop it at once; what was asked is lost."""
        if self.lost.done():
            return
        self.lost.set_result(why)
        self._writer.transport.abort()
        if self._reading is not asyncio.current_task():
            self._reading.cancel()
        for answer in self._pending:
            if not answer.done():
                answer.set_exception(Lost(why))
                answer.exception()  # whoever still waits is told; others need not hear of it
        self._pending.clear()

    async def ended(self) -> None:
        """Until nothing of it is left."""
        self.end("closed")
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await asyncio.wait([self._reading])
        with contextlib.suppress(Exception):
            await self._connection.disconnect(nowait=True)


_NOTHING: Any = object()


class RedisBackend:
    """Topics of many processes, over one Redis.

        SocketRouter(backend=RedisBackend("redis://localhost:6379/0"))

    `url` is redis-py's (`redis://`, `rediss://`, `unix://`); with `sentinels`, addresses as
    `(host, port)`, it is that of the master named `master`, found anew after each loss, and
    `url` gives the credentials. `prefix` begins all keys and channels.

    A restarted server may have an older history than its clients: every topic then begins a
    new epoch, so that clients are told of a gap. `incarnation_check=False` trusts the server's
    persistence instead (one node, `appendonly yes`): a restart is no gap then, and a crash of the
    machine may lose in silence what was not on disk.
    """

    remote = True

    def __init__(
        self,
        url: str = "redis://localhost:6379/0",
        *,
        prefix: str = "fos:",
        sentinels: Sequence[tuple[str, int]] = (),
        master: str = "mymaster",
        incarnation_check: bool = True,
        command_timeout: float = COMMAND_TIMEOUT,
        probe_every: float = PROBE_EVERY,
        **options: Any,
    ) -> None:
        self._url = url
        self._prefix = prefix
        self._sentinels = list(sentinels)
        self._master = master
        self._options = options
        self._checks = incarnation_check
        self._timeout = command_timeout
        self._probe_every = probe_every
        self._on_message: Callable[[Message], None] = lambda _: None
        self._on_state: Callable[[bool], None] = lambda _: None
        self._commands: Link | None = None
        self._pushes: Link | None = None
        self._confirming: dict[bytes, asyncio.Future[None]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._scripts: dict[str, bytes] = {}
        self._incarnation = "-"
        self._probe = f"{prefix}probe:{secrets.token_hex(8)}".encode()
        self._channels = f"{prefix}c:".encode()
        self._probed: asyncio.Future[None] | None = None
        self._first: asyncio.Future[None] | None = None

    # --- beginning and ending

    async def start(
        self, on_message: Callable[[Message], None], on_state: Callable[[bool], None]
    ) -> None:
        self._on_message, self._on_state = on_message, on_state
        self._commands = self._pushes = None
        self._first = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._keep_connected())
        self._tasks = {task}
        with contextlib.suppress(TimeoutError):
            # Long enough for a server that is there: the first to publish finds it open.
            await asyncio.wait_for(asyncio.shield(self._first), self._timeout)

    async def close(self) -> None:
        tasks, self._tasks = self._tasks, set()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _keep_connected(self) -> None:
        wait = 0.05
        while True:
            connected = False
            try:
                await self._connect()
                connected = True
                wait = 0.05
                self._tell(True)
                await self._watch()
            except asyncio.CancelledError:
                raise
            except Exception as error:
                logger.warning("redis: %s: %s", type(error).__name__, error)
            finally:
                await self._disconnect(connected)
            await asyncio.sleep(wait * random.uniform(0.5, 1))
            wait = min(2 * wait, 2.0)

    def _tell(self, up: bool) -> None:
        self._on_state(up)
        if self._first is not None and not self._first.done():
            self._first.set_result(None)

    async def _connect(self) -> None:
        async with asyncio.timeout(max(self._timeout, 5.0)):
            commands = Link(await self._opened())
            self._commands = commands
            pushes = self._pushes = Link(await self._opened(), self._pushed)
            run_ids = [await self._run_id(commands), ""]
            for name, script in (("publish", PUBLISH), ("history", HISTORY)):
                self._scripts[name] = await commands.send("SCRIPT", "LOAD", script)
            self._incarnation = run_ids[0] or "-"
            await self._subscribe_link(pushes, [self._probe])

    async def _opened(self) -> Any:
        """A connection that is open and signed in."""
        options = {"socket_connect_timeout": self._timeout, "retry": None, **self._options}
        if self._sentinels:
            host, port = await self._find_master()
            options |= {"host": host, "port": port}
        client = aioredis.Redis.from_url(self._url, protocol=2, **options)
        pool = client.connection_pool
        pool.connection_kwargs |= {k: v for k, v in options.items() if k in ("host", "port")}
        connection = pool.make_connection()
        try:
            await connection.connect()
        except aioredis.RedisError as error:
            raise Unavailable(str(error)) from error
        return connection

    async def _find_master(self) -> tuple[str, int]:
        sentinel = Sentinel(self._sentinels, socket_timeout=self._timeout)
        try:
            host, port = await sentinel.discover_master(self._master)
            return str(host), int(port)
        finally:
            for each in sentinel.sentinels:
                await each.aclose()

    async def _run_id(self, link: Link) -> str:
        if not self._checks:
            return ""
        try:
            info = (await link.send("INFO", "server")).decode()
        except hiredis.ReplyError as refused:
            logger.warning("redis: INFO is refused, restarts go unnoticed: %s", refused)
            return ""
        found = [line[7:].strip() for line in info.splitlines() if line.startswith("run_id:")]
        return found[0] if found else ""

    async def _disconnect(self, was_up: bool) -> None:
        links = [link for link in (self._commands, self._pushes) if link is not None]
        self._commands = self._pushes = None
        if was_up:
            self._on_state(False)
        for waiting in self._confirming.values():
            if not waiting.done():
                waiting.set_exception(Unavailable("the broker is away"))
                waiting.exception()
        self._confirming.clear()
        for link in links:
            await link.ended()

    async def _watch(self) -> None:
        """Until the way is lost, or is found to be deaf."""
        commands, pushes = self._commands, self._pushes
        assert commands is not None
        assert pushes is not None
        while True:
            done, _ = await asyncio.wait(
                {commands.lost, pushes.lost},
                timeout=self._probe_every,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if done:
                raise Unavailable(next(iter(done)).result())
            self._probed = asyncio.get_running_loop().create_future()
            async with asyncio.timeout(self._timeout):
                await commands.send("PUBLISH", self._probe, b"?")
                await self._probed

    # --- what comes

    def _pushed(self, reply: list[Any]) -> None:
        kind, channel = reply[0], reply[1]
        if kind == b"message":
            if channel == self._probe:
                if self._probed is not None and not self._probed.done():
                    self._probed.set_result(None)
                return
            self._received(channel, reply[2])
        elif kind == b"subscribe":
            waiting = self._confirming.pop(channel, None)
            if waiting is not None and not waiting.done():
                waiting.set_result(None)

    def _received(self, channel: bytes, text: bytes) -> None:
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
        if keep is None:
            receivers = await self._ask(
                lambda link: link.send("PUBLISH", self._channel(topic), b"0 0 - " + data), True
            )
            return Receipt(None, receivers)
        epoch, offset, receivers = await self._ask(
            lambda link: self._run(
                link,
                "publish",
                PUBLISH,
                [*self._keys(topic), f"{self._prefix}{{{topic}}}:i:{message_id}"],
                self._channel(topic),
                data,
                max(1, keep.size),
                max(1, int(keep.ttl * 1000)),
                secrets.token_hex(8),
                self._incarnation,
                META_TTL_MS,
                ID_TTL_MS if message_id else "",
            ),
            True,
        )
        known = None if receivers < 0 else receivers
        return Receipt(Position(epoch.decode(), offset), known)

    async def subscribe(self, topics: Sequence[str]) -> None:
        link = self._pushes
        if link is None:
            raise Unavailable("the broker is away")
        try:
            async with asyncio.timeout(self._timeout):
                await self._subscribe_link(link, [self._channel(topic) for topic in topics])
        except TimeoutError:
            link.end("no answer to SUBSCRIBE")
            raise Unavailable("the broker does not answer") from None

    async def _subscribe_link(self, link: Link, channels: Sequence[bytes]) -> None:
        waiting = []
        loop = asyncio.get_running_loop()
        for channel in channels:
            if channel not in self._confirming:
                self._confirming[channel] = loop.create_future()
            waiting.append(self._confirming[channel])
        link.write(("SUBSCRIBE", *channels))
        for each in waiting:
            await asyncio.shield(each)

    async def unsubscribe(self, topics: Sequence[str]) -> None:
        if self._pushes is not None and topics:
            self._pushes.write(("UNSUBSCRIBE", *(self._channel(topic) for topic in topics)))

    async def history(self, topic: str, since: Position | None) -> Page:
        reply = await self._ask(lambda link: self._history(link, topic, since), False)
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
            return await asyncio.gather(*(self._history(link, topic, None) for topic in topics))

        return [Position(e.decode(), o) for e, o, *_ in await self._ask(ask, False)]

    def _history(self, link: Link, topic: str, since: Position | None) -> Awaitable[Any]:
        return self._run(
            link,
            "history",
            HISTORY,
            self._keys(topic),
            since.epoch or "?" if since else "",
            since.offset if since else 0,
            secrets.token_hex(8),
            self._incarnation,
            META_TTL_MS,
        )

    # --- asking

    async def _ask(self, ask: Callable[[Link], Awaitable[Any]], changes: bool) -> Any:
        """The answer. `changes`: not to have one is `Uncertain` where it may have been done."""
        link = self._commands
        if link is None:
            raise Unavailable("the broker is away")
        try:
            async with asyncio.timeout(self._timeout):
                return await ask(link)
        except TimeoutError:
            link.end("no answer in time")
            raise (Uncertain if changes else Unavailable)("the broker does not answer") from None
        except Lost as lost:
            kind = Uncertain if changes and lost.sent else Unavailable
            raise kind(str(lost)) from None
        except hiredis.ReplyError as refused:
            word = str(refused).partition(" ")[0]
            if word in ("READONLY", "NOAUTH", "MASTERDOWN"):
                link.end(str(refused))  # another server is the one to ask, or another sign-in
            raise Unavailable(str(refused)) from None

    async def _run(
        self, link: Link, name: str, script: str, keys: Sequence[str], *arguments: Any
    ) -> Any:
        try:
            return await link.send("EVALSHA", self._scripts[name], len(keys), *keys, *arguments)
        except hiredis.ReplyError as refused:
            if not str(refused).startswith("NOSCRIPT"):
                raise
            return await link.send("EVAL", script, len(keys), *keys, *arguments)

    def _channel(self, topic: str) -> bytes:
        return self._channels + topic.encode()

    def _keys(self, topic: str) -> list[str]:
        # In braces: what belongs to a topic must be one slot, should this ever be a cluster.
        return [f"{self._prefix}{{{topic}}}:s", f"{self._prefix}{{{topic}}}:m"]

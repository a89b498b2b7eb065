"""The seed's own examples run as they stand."""

import asyncio
import re
import sys
import types
from pathlib import Path

import pytest
from sqlalchemy import ForeignKey
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from fastapi_observable_socket.testing import SocketTestClient

SEED = (Path(__file__).parent / "seed.md").read_text(encoding="utf-8", errors="replace")
BLOCKS = re.findall(r"```python\n(.*?)```", SEED, re.DOTALL)


def load(name: str, code: str) -> types.ModuleType:
    module = types.ModuleType(name)
    module.__package__ = name.rpartition(".")[0]
    sys.modules[name] = module
    exec(compile(code, f"{name}.py", "exec"), vars(module))
    return module


def test_the_seed_has_the_two_examples_we_think_of():
    assert len(BLOCKS) == 2


def test_the_quickstart_runs_as_it_stands(run):
    quickstart = load("seed_quickstart", BLOCKS[0])

    async def talk():
        async with SocketTestClient(quickstart.app, "/ws") as client:
            answer = await client.request("math/sum", [1, 2, 3, 4], {"x-user": "42"})
            assert (answer.status, answer.payload) == (200, {"sum": 10})
            assert (await client.request("math/sum")).payload == {"sum": 0}
            assert (await client.request("math/div")).status == 404

    run(talk())


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Article(Base):
    __tablename__ = "articles"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    content: Mapped[str]
    access: Mapped[str]
    author_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    author: Mapped[User] = relationship(lazy="joined")


@pytest.fixture
def articles(tmp_path):
    """The seed's second example in a package of its own, on a real database."""
    package = types.ModuleType("seed_articles")
    package.__path__ = []
    sys.modules["seed_articles"] = package
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/articles.sqlite3")
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    models, db = types.ModuleType("seed_articles.models"), types.ModuleType("seed_articles.db")
    models.Article = Article  # type: ignore[attr-defined]
    db.get_async_db = lambda: sessions  # type: ignore[attr-defined]
    sys.modules |= {"seed_articles.models": models, "seed_articles.db": db}
    module = load("seed_articles.app", BLOCKS[1])
    yield module, engine, sessions
    for name in [n for n in sys.modules if n.startswith("seed_articles")]:
        del sys.modules[name]


async def fill(engine, sessions):
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with sessions() as session:
        ada, bob = User(id=1, name="Ada"), User(id=2, name="Bob")
        kinds = {1: "PUBLIC", 2: "MEMBERS", 3: "PRIVATE"}
        session.add_all(
            Article(id=n, title=f"title {n}", content=f"body {n}", access=access, author=ada)
            for n, access in kinds.items()
        )
        session.add(bob)
        await session.commit()
        return ada, bob


def asked(number):
    return {"headers": {"article": number}}


def shown(number):
    return {"title": f"title {number}", "author": "Ada", "body": f"body {number}"}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_articles_example_runs_as_it_stands(articles, run):
    module, engine, sessions = articles

    async def talk():
        _, bob = await fill(engine, sessions)
        async with sessions() as session:
            scope = {"db": session, "user": bob}
            async with SocketTestClient(module.app, "/ws", scope=scope) as client:

                async def get(number):
                    return await client.request("get-article", headers={"article": number})

                assert (await get("1")).payload == shown(1)
                assert (await get(2)).payload == shown(2)
                assert (await get(3)).status == 403
                missing = await get(99)
                assert (missing.status, missing.payload) == (404, {"message": "not found"})
                assert (await get("x")).status == 400
                assert (await client.request("get-article")).status == 400
        await engine.dispose()

    run(talk())


def test_eight_calls_in_one_burst_share_one_session_in_order(articles, run):
    module, engine, sessions = articles

    async def talk():
        await fill(engine, sessions)
        await engine.dispose()  # a cold pool, where sharing a session at one time would fail
        async with sessions() as session:
            scope = {"db": session, "user": None}
            async with SocketTestClient(module.app, "/ws", scope=scope) as client:
                answers = await asyncio.gather(
                    *(client.request("get-article", headers={"article": 1}) for _ in range(8))
                )
                assert [a.payload for a in answers] == [shown(1)] * 8
                anonymous = await client.request("get-article", headers={"article": 2})
                assert anonymous.status == 403
        await engine.dispose()

    run(talk())


def test_every_status_of_the_seeds_table_is_there():
    from fastapi_observable_socket import Status

    rows = re.findall(r"^\| (\d{3}) \| ([A-Z_]+) \|$", SEED, re.MULTILINE)
    assert len(rows) == 6
    for code, name in rows:
        assert Status[name] == int(code)

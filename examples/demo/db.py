"""The newsroom's database: a SQLite file, made and filled at the first start."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

from fastapi import Depends
from models import Article, Base, Person
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

FILE = os.environ.get("NEWSROOM_DB") or Path(__file__).with_name("newsroom.sqlite3")

engine = create_async_engine(f"sqlite+aiosqlite:///{FILE}")
sessions = async_sessionmaker(engine, expire_on_commit=False)


async def get_db() -> AsyncIterator[AsyncSession]:
    """A session for one message: opened when it is first needed, closed after the answer."""
    async with sessions() as db:
        yield db


Database = Annotated[AsyncSession, Depends(get_db)]


async def prepare() -> None:
    """Make the tables, and fill them where they are still empty."""
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with sessions() as db:
        if await db.scalar(select(Person).limit(1)) is None:
            db.add_all(first_edition())
            await db.commit()


def first_edition() -> list[Article | Person]:
    ada, ben, cleo = Person(name="Ada"), Person(name="Ben"), Person(name="Cleo")
    return [
        cleo,
        Article(
            title="Harbour ferry is back after nine years",
            body="The first ferry left at six this morning, with more bicycles than people on "
            "board. The crossing takes eleven minutes and costs nothing until spring.\n\n"
            "The town had voted twice on what to do with the old pier. Both times it "
            "voted to decide later.",
            access="PUBLIC",
            author=ada,
        ),
        Article(
            title="The library lends tools now",
            body="Drills, ladders, a cider press: whatever is needed twice a year and stands in "
            "the way for the rest of it. The cider press is booked until November.",
            access="PUBLIC",
            author=ben,
        ),
        Article(
            title="What the council said behind closed doors",
            body="Members of the newsroom can read this one. The minutes run to forty pages, and "
            "the word “bench” appears on thirty-one of them.",
            access="MEMBERS",
            author=ben,
        ),
        Article(
            title="Notes on the mayor’s garden",
            body="A draft, and nobody’s business but Ada’s. Three witnesses, two versions of the "
            "hedge, and one very large pumpkin.",
            access="AUTHOR",
            author=ada,
        ),
    ]

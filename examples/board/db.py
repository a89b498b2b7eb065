"""The board's database: one SQLite file, which several processes may share."""

import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends
from sqlalchemy import delete, event
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.schema import CreateTable

FILE = os.environ.get("BOARD_DB") or Path(__file__).with_name("board.sqlite3")

# Who finds another process writing waits for its turn.
engine = create_async_engine(f"sqlite+aiosqlite:///{FILE}", connect_args={"timeout": 15})
sessions = async_sessionmaker(engine, expire_on_commit=False)

A_DAY = 24 * 3600


class Base(DeclarativeBase):
    pass


class NoteRow(Base):
    __tablename__ = "note"

    id: Mapped[str] = mapped_column(primary_key=True)
    board: Mapped[str] = mapped_column(index=True)
    text: Mapped[str] = mapped_column(default="")
    colour: Mapped[str]
    x: Mapped[float]
    y: Mapped[float]

    # What was taken off stays for a day: news of it that come late must not bring it back.
    gone: Mapped[bool] = mapped_column(default=False)
    changed: Mapped[float] = mapped_column(default=time.time, onupdate=time.time)

    # Counts the changes of the note, and how many of them the others were told.
    version: Mapped[int] = mapped_column(default=1)
    told: Mapped[int] = mapped_column(default=0)


@event.listens_for(engine.sync_engine, "connect")
def read_while_another_writes(connection: Any, _: Any) -> None:
    connection.execute("PRAGMA journal_mode=WAL")


async def get_db() -> AsyncIterator[AsyncSession]:
    """A session for one message: opened when it is first needed, closed after the answer."""
    async with sessions() as db:
        yield db


Database = Annotated[AsyncSession, Depends(get_db)]


async def prepare() -> None:
    """Make the table and the first notes, where another process has not done so already."""
    async with engine.begin() as connection:
        await connection.execute(CreateTable(NoteRow.__table__, if_not_exists=True))  # type: ignore[arg-type]
        old = NoteRow.changed < time.time() - A_DAY
        await connection.execute(delete(NoteRow).where(NoteRow.gone, old))
        await connection.execute(insert(NoteRow).values(first_notes()).on_conflict_do_nothing())


def first_notes() -> list[dict[str, Any]]:
    texts = {
        "yellow": "Drag me by the dots. Every window sees it while you do.",
        "green": "Write here: it is kept as you type.",
        "blue": "Stop the server, change things, start it again.",
    }
    return [
        {"id": f"welcome-{n}", "board": "main", "text": text, "colour": colour, "told": 1}
        | {"x": 0.1 + 0.35 * n, "y": 0.15 + 0.2 * n}
        for n, (colour, text) in enumerate(texts.items())
    ]

"""
A board of sticky notes that many look at, in one process or in several.

    python -m fastapi_observable_socket serve app:app --app-dir examples/board

With REDIS_URL=redis://localhost:6379/0 in its environment it may have --workers 2.

Read it from top to bottom: what goes over the socket, the two topics, changes, the page.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Literal, Self

from db import Database, NoteRow, engine, prepare, sessions
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from sqlalchemy import func, select, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.middleware.base import RequestResponseEndpoint

from fastapi_observable_socket import SocketRouter
from fastapi_observable_socket.backends import MemoryBackend, Unavailable, Uncertain
from fastapi_observable_socket.backends.redis import RedisBackend

STATIC = Path(__file__).with_name("static")
CLIENT = Path(__file__).parents[2] / "js" / "dist"
REDIS = os.environ.get("REDIS_URL")
MAX_NOTES = 200
TELL_AGAIN_EVERY = 1.0


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    await prepare()
    telling = asyncio.create_task(tell_what_nobody_was_told())
    yield
    telling.cancel()
    await asyncio.wait([telling])
    await engine.dispose()


app = FastAPI(title="The Board", lifespan=lifespan)

# The one line in which one process and many differ.
router = SocketRouter(backend=RedisBackend(REDIS) if REDIS else MemoryBackend())


# --- What goes over the socket

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,40}$")]
Id = Annotated[str, StringConstraints(pattern=r"^[\w-]{1,40}$")]
Text = Annotated[str, StringConstraints(max_length=500)]
Colour = Literal["yellow", "green", "blue", "pink"]
Share = Annotated[float, Field(ge=0, le=1)]  # of the board's width or height


class Note(BaseModel):
    """A note as it is. Of two, the one with the higher version is the newer."""

    model_config = ConfigDict(from_attributes=True)

    id: Id
    text: Text
    colour: Colour
    x: Share
    y: Share
    gone: bool
    version: int


class Board(BaseModel):
    notes: list[Note]


class Which(BaseModel):
    board: Name
    id: Id  # chosen by the page: an `add` that is sent twice adds one note


class Fresh(Which):
    text: Text = ""
    colour: Colour = "yellow"
    x: Share
    y: Share


class Change(Which):
    text: Text | None = None
    colour: Colour | None = None
    x: Share | None = None
    y: Share | None = None

    @model_validator(mode="after")
    def changes_something(self) -> Self:
        if not self.fields():
            raise ValueError("nothing is changed")
        return self

    def fields(self) -> dict[str, str | float]:
        return self.model_dump(exclude={"board", "id"}, exclude_none=True)


class Hand(BaseModel):
    """Where somebody's pointer is, and what they hold."""

    who: Annotated[str, StringConstraints(min_length=1, max_length=20)]
    x: Share
    y: Share
    holds: Id | None = None


# --- The topics.
# --- The first has a state: a page gets all notes together with the subscription, and from then on
# --- each note that changes, whole. Events say what is so, not what to do: one that comes twice,
# --- or late, does no harm. Notes that are gone are among them, for the same reason.


@router.topic("boards/{board}", event=Note)
async def notes_of(board: Name, db: Database) -> Board:
    rows = await db.scalars(
        select(NoteRow).where(NoteRow.board == board).order_by(NoteRow.changed, NoteRow.id)
    )
    return Board(notes=[Note.model_validate(row) for row in rows])


# Pointers are worthless a second later: nothing of them is kept, and pages publish them themselves.
@router.topic("boards/{board}/hands", event=Hand, keep=False, publish=True)
async def hands_of(board: Name) -> bool:
    return True


# --- Changes.
# --- Each is kept in the database first, and then told. A process may be killed, or lose its
# --- broker, between the two: what was not told is found there, and told by whoever is left. Under
# --- its id an event is stored once, however many find it.


async def tell(row: NoteRow) -> None:
    topic, event_id = f"boards/{row.board}", f"{row.id} {row.version}"
    try:
        await router.publish(topic, Note.model_validate(row), message_id=event_id, timeout=2)
    except (Unavailable, Uncertain):
        return
    async with sessions.begin() as db:
        this = (NoteRow.id == row.id, NoteRow.told < row.version)
        await db.execute(
            update(NoteRow).where(*this).values(told=row.version, changed=NoteRow.changed)
        )


async def tell_what_nobody_was_told() -> None:
    while True:
        try:
            async with sessions() as db:
                untold = await db.scalars(select(NoteRow).where(NoteRow.told < NoteRow.version))
            for row in untold.all():
                await tell(row)
        except Exception:
            logging.getLogger("board").exception("what was changed could not be told yet")
        await asyncio.sleep(TELL_AGAIN_EVERY)


async def kept(db: AsyncSession, which: Which, **fields: str | float | bool) -> Note:
    """The note, once it is changed and all were told. One that is gone stays so."""
    this = (NoteRow.id == which.id, NoteRow.board == which.board)
    row = await db.scalar(
        update(NoteRow)
        .where(*this, ~NoteRow.gone)
        .values(**fields, version=NoteRow.version + 1)
        .returning(NoteRow)
    )
    await db.commit()
    if row is not None:
        await tell(row)
    else:
        row = await db.scalar(select(NoteRow).where(*this))
    if row is None:
        raise HTTPException(404, "there is no such note")
    return Note.model_validate(row)


@router.route("add")
async def add(fresh: Fresh, db: Database) -> Note:
    await db.execute(insert(NoteRow).values(**fresh.model_dump()).on_conflict_do_nothing())
    row = await db.get(NoteRow, fresh.id)
    if row is None or row.board != fresh.board:
        raise HTTPException(409, "this id is taken")
    there = select(func.count()).where(NoteRow.board == fresh.board, ~NoteRow.gone)
    if (await db.scalar(there) or 0) > MAX_NOTES:
        raise HTTPException(409, f"a board has room for {MAX_NOTES} notes")
    await db.commit()
    await tell(row)
    return Note.model_validate(row)


@router.route("change")
async def change(change: Change, db: Database) -> Note:
    return await kept(db, change, **change.fields())


@router.route("remove")
async def remove(which: Which, db: Database) -> Note:
    return await kept(db, which, gone=True, text="")


@router.route("about")
async def about() -> dict[str, str | int]:
    """Which process this is, and by what it hears of the others."""
    return {"process": os.getpid(), "broker": "Redis" if REDIS else "memory"}


# --- The page and its socket

router.mount(app, "/ws")


@app.middleware("http")
async def ask_again(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """Browsers keep files for a while, unasked. These are here to be changed."""
    response = await call_next(request)
    response.headers["Cache-Control"] = "no-cache"
    return response


app.mount("/static", StaticFiles(directory=STATIC), name="static")
if CLIENT.exists():  # else the page says what is missing
    app.mount("/client", StaticFiles(directory=CLIENT), name="client")


@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    return FileResponse(STATIC / "index.html")

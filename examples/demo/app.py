"""
A small newsroom: one page, one socket, and the routes behind it.

    python -m fastapi_observable_socket serve app:app --app-dir examples/demo

Read it from top to bottom: who is asking, who may read what, then the routes.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from db import Database, engine, prepare, sessions
from fastapi import Body, Cookie, FastAPI, HTTPException, Request, Response, WebSocket
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from models import (
    Article,
    Byline,
    Draft,
    Finding,
    Headline,
    Me,
    Nap,
    Person,
    Story,
    Sum,
    Text,
    Title,
)
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from starlette.middleware.base import RequestResponseEndpoint

from fastapi_observable_socket import (
    HandlerResult,
    MessageData,
    MessageHeader,
    PerConnection,
    SocketRouter,
    Status,
)

STATIC = Path(__file__).with_name("static")
CLIENT = Path(__file__).parents[2] / "js" / "dist"


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    await prepare()
    yield
    await engine.dispose()


app = FastAPI(title="Newsroom", lifespan=lifespan)
router = SocketRouter()


# --- Who is asking: chosen on the page, and kept in a cookie as a real sign-in would.
# --- There are no passwords: this is a demo.

signed_in: dict[str, int] = {}


@app.post("/sign-in", status_code=204)
async def sign_in(
    response: Response,
    db: Database,
    person: Annotated[int | None, Body(embed=True, lt=2**31)] = None,
    newsroom: Annotated[str | None, Cookie()] = None,
) -> None:
    """Become a person, or nobody. The page then opens its socket anew, with the new cookie."""
    signed_in.pop(newsroom or "", None)
    if person is None:
        response.delete_cookie("newsroom")
        return
    if await db.get(Person, person) is None:
        raise HTTPException(404, "nobody has this number")
    session = secrets.token_urlsafe()
    signed_in[session] = person
    response.set_cookie("newsroom", session, httponly=True, samesite="strict")


async def current_user(newsroom: Annotated[str | None, Cookie()] = None) -> Person | None:
    """Cookies come with the handshake, so the answer holds for as long as the socket."""
    async with sessions() as db:
        return await db.get(Person, signed_in.get(newsroom or "", 0))


CurrentUser = Annotated[Person | None, PerConnection(current_user)]


@router.route("me")
async def me(db: Database, user: CurrentUser) -> Me:
    people = await db.scalars(select(Person).order_by(Person.name))
    return Me(
        user=Byline.model_validate(user) if user else None,
        people=[Byline.model_validate(person) for person in people],
    )


# --- Who may read what: the hooks. `local` goes from hook to hook and on to the handler, so
# --- an article is fetched once.


async def data_check_article(message: MessageData, local: dict[str, Any]) -> bool:
    """The header `article` must be a number; else 400, and the database is not even opened."""
    try:
        article_id = int(message.headers.get("article", ""))
    except (TypeError, ValueError):
        return False
    local["article_id"] = article_id
    return 0 < article_id < 2**31


async def access_article(
    _ws: WebSocket, _message: MessageData, local: dict[str, Any], db: Database, user: CurrentUser
) -> bool:
    article = await db.get(Article, local["article_id"])
    local["value"] = article
    if article is None:
        return True  # the handler says so
    if article.access == "PUBLIC":
        return True
    if article.access == "MEMBERS":
        return user is not None
    return user is not None and article.author_id == user.id


async def access_own_article(
    _ws: WebSocket, _message: MessageData, local: dict[str, Any], db: Database, user: CurrentUser
) -> bool:
    article = await db.get(Article, local["article_id"])
    local["value"] = article
    return article is None or (user is not None and article.author_id == user.id)


async def access_signed_in(_ws: WebSocket, _message: MessageData, user: CurrentUser) -> bool:
    return user is not None


async def article_to_story(article: Article) -> Story:
    """Asked for 2xx answers only. Its type is what the contract says of the result."""
    return Story(
        id=article.id,
        title=article.title,
        author=article.author.name,
        access=article.access,
        body=article.body,
    )


# --- Reading


@router.route("list-articles")
async def list_articles(db: Database) -> list[Headline]:
    articles = await db.scalars(select(Article).order_by(Article.id.desc()))
    return [Headline.model_validate(article) for article in articles]


# Routes whose hooks take the socket wait for each other, since people keep things on it that
# bear only one user at a time. Ours keep none: every message has a session of its own.
@router.route(
    "get-article",
    options={
        "data_check": data_check_article,
        "access": access_article,
        "dehydrate": article_to_story,
    },
    ordered=False,
)
async def get_article(local: dict[str, Any]) -> HandlerResult:
    if local["value"] is None:
        return {"status": Status.NOT_FOUND, "payload": {"message": "there is no such article"}}
    return {"status": Status.OK, "payload": local["value"]}


# --- Writing


@router.route(
    "add-article",
    options={"access": access_signed_in, "dehydrate": article_to_story},
    ordered=False,
)
async def add_article(payload: Draft, db: Database, user: CurrentUser) -> Any:
    """A draft that does not fit is answered with 400, and with what is wrong in which field."""
    assert user is not None  # access_signed_in
    article = Article(**payload.model_dump(), author_id=user.id)
    db.add(article)
    await commit(db)
    await db.refresh(article, ["author"])
    return {"status": Status.CREATED, "payload": article}


@router.route(
    "edit-article",
    options={
        "data_check": data_check_article,
        "access": access_own_article,
        "dehydrate": article_to_story,
    },
    ordered=False,
)
async def edit_article(article: Article | None, payload: Draft, db: Database) -> Any:
    """`article` is what the access hook left in `local["value"]`, still in this session."""
    if article is None:
        raise HTTPException(404, "there is no such article")
    for field, value in payload:
        setattr(article, field, value)
    await commit(db)
    return {"payload": article}


TITLE_TAKEN = "There is an article with this title"


async def commit(db: Database) -> None:
    """Save; the one thing that only the database knows is told like any other misfit."""
    try:
        await db.commit()
    except IntegrityError:
        detail = [{"type": "title_taken", "loc": ["payload", "title"], "msg": TITLE_TAKEN}]
        raise HTTPException(409, detail) from None


# --- The live form: every field is checked while it is typed

FIELDS = {"title": TypeAdapter(Title), "body": TypeAdapter(Text)}


@router.route("check-field")
async def check_field(
    field: Literal["title", "body"],
    value: str,
    db: Database,
    article: Annotated[int | None, MessageHeader()] = None,
) -> Finding:
    """`field` and `value` are keys of the payload; the header says which article is edited."""
    try:
        value = FIELDS[field].validate_python(value)
    except ValidationError as error:
        return Finding(field=field, message=error.errors()[0]["msg"])
    if field == "title":
        taken = await db.scalar(select(Article.id).where(Article.title == value))
        if taken not in (None, article):
            return Finding(field=field, message=TITLE_TAKEN)
    return Finding(field=field)


# --- A quick one and a slow one: the quick ones overtake


@router.route("math/sum")
async def add_up(payload: list[float]) -> Sum:
    return Sum(sum=sum(payload))


@router.route("slow")
async def slow(payload: Nap) -> Nap:
    await asyncio.sleep(payload.seconds)
    return payload


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

"""
Tokens that stream, a button that stops them, and others who read along.

    python -m fastapi_observable_socket serve app:app --app-dir examples/llm

Read it from top to bottom: what goes over the socket, the model, the two streams, the page.
"""

import os
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Annotated

from babbler import Babbler, of_the_sea
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from generation import Generation, Shelf, State
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.middleware.base import RequestResponseEndpoint

from fastapi_observable_socket import Progress, SocketRouter

STATIC = Path(__file__).with_name("static")
CLIENT = Path(__file__).parents[2] / "js" / "dist"

app = FastAPI(title="The Babbler")
router = SocketRouter()


# --- What goes over the socket


class Ask(BaseModel):
    prompt: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
    words: int = Field(80, ge=1, le=400)
    temperature: float = Field(0.8, ge=0, le=2)
    seed: int | None = Field(None, ge=0, lt=2**31)  # without one, a new text each time


class Token(BaseModel):
    text: str
    index: int  # the number of its first word: who comes late gets many words as one token


class About(BaseModel):
    """A generation, without its text."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    prompt: str
    seed: int
    state: State


class News(BaseModel):
    generation: About
    running: int


router.pushes("generation", News)  # for the contract: pushes need no declaration to be sent


class Overview(BaseModel):
    generations: list[About]
    running: int
    watching: int


# --- The model: a dependency, so that a test can bring its own

babbler = of_the_sea(float(os.environ.get("LLM_TOKENS_PER_SECOND", "12")))


async def get_model() -> Babbler:
    return babbler


Model = Annotated[Babbler, Depends(get_model)]


# --- Who generates, and who watches: all of it in this process. With several workers this would
# --- be in Redis or the like, and the routes below would stay as they are.

MAX_RUNNING = 8
shelf = Shelf(keep=10)
watching = 0


def tell(generation: Generation) -> None:
    """Every page hears that one has begun or ended. Nobody waits for a page that is slow."""
    news = News(generation=About.model_validate(generation), running=shelf.running)
    router.connections.push("generation", news)


@contextmanager
def begun(prompt: str, seed: int) -> Iterator[Generation]:
    """A generation that is over when this is: by its end, a failure, or because it is cancelled."""
    if shelf.running >= MAX_RUNNING:
        raise HTTPException(429, "too many are being written just now; watch one of them")
    generation = shelf.begin(prompt, seed)
    tell(generation)
    try:
        yield generation
        generation.end("done")
    finally:
        generation.end("stopped")  # which changes nothing where it is done
        tell(generation)


# --- The one who asks.
# --- The model writes as part of this handler, at the pace of the one who asked. When they stop
# --- it, close the page or lose the connection, the handler is cancelled where it stands: the
# --- `with` blocks end, the model with them. Nobody pays for tokens that nobody asked for.


@router.route("generate", timeout=600)  # no model is held for longer than this
async def generate(ask: Ask, model: Model, progress: Progress[About]) -> AsyncIterator[Token]:
    seed = secrets.randbelow(2**31) if ask.seed is None else ask.seed
    with begun(ask.prompt, seed) as generation:
        # Progress is told apart from the items: it says which of the generations this one is.
        await progress(About.model_validate(generation))
        async with aclosing(
            model.write(ask.prompt, temperature=ask.temperature, seed=seed)
        ) as words:
            async for word in words:
                generation.add(word)
                yield Token(text=f" {word}", index=len(generation.words) - 1)
                if len(generation.words) == ask.words:
                    break


# --- Those who watch.
# --- The text so far comes at once, as one token, and then what is new. One who reads slowly is
# --- held at the `yield` by their own window, and finds all that came meanwhile in the next token.
# --- When a watcher leaves, this handler ends, and nothing else.


@router.route("watch")
async def watch(id: str) -> AsyncIterator[Token]:
    global watching
    generation = shelf.find(id)
    if generation is None:
        raise HTTPException(404, "there is no such generation, or not any more")
    watching += 1
    try:
        read = 0
        while words := await generation.after(read):
            yield Token(text="".join(f" {word}" for word in words), index=read)
            read += len(words)
    finally:
        watching -= 1


# --- What a page asks for when it opens, or comes back


@router.route("overview")
async def overview() -> Overview:
    return Overview(
        generations=[About.model_validate(generation) for generation in shelf],
        running=shelf.running,
        watching=watching,
    )


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

"""What stands beside a socket over plain HTTP."""

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel
from starlette.applications import Starlette

from fastapi_observable_socket import SocketRouter
from fastapi_observable_socket.contract import contract_of
from fastapi_observable_socket.testing import SocketTestClient

DOCUMENTS = ("", "/contract.json", "/asyncapi.json", "/routes.ts")


class Sum(BaseModel):
    sum: int


def calculator(**settings):
    router = SocketRouter(title="Sums", **settings)

    @router.route("math/sum")
    async def add(payload: list[int]) -> Sum:
        return Sum(sum=sum(payload))

    return router


def get(run, app, path, headers=None):
    async def main():
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://test"
        ) as http:
            return await http.get(path, headers=headers)

    return run(main())


def mounted(path="/ws", app=None, **options):
    app = app or FastAPI(title="Shop", version="3.1")
    calculator().mount(app, path, **options)
    return app


def test_the_address_of_a_socket_is_its_console_in_a_browser(run):
    app = mounted()
    page = get(run, app, "/ws")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]

    async def main():
        async with SocketTestClient(app) as client:
            return (await client.request("math/sum", [1, 2])).payload

    assert run(main()) == {"sum": 3}


def test_the_contract_is_there_in_each_notation(run):
    app = mounted()
    contract = get(run, app, "/ws/contract.json").json()
    assert contract == contract_of(app).as_json()
    assert (contract["title"], contract["version"], contract["path"]) == ("Sums", "3.1", "/ws")
    assert get(run, app, "/ws/asyncapi.json").json()["asyncapi"] == "3.0.0"
    types = get(run, app, "/ws/routes.ts")
    assert types.headers["content-type"].startswith("text/plain")
    assert "'math/sum'" in types.text


@pytest.mark.parametrize("path", ["/ws", "/ws/", "/a/b/", "/"])
@pytest.mark.parametrize("outer", [FastAPI, Starlette])
def test_the_contract_says_where_the_socket_is_to_the_last_slash(run, path, outer):
    """A socket at `/ws/` is not at `/ws`: nothing redirects a WebSocket."""
    app = mounted(path, outer(), docs=True)
    shown = get(run, app, f"{path.rstrip('/')}/contract.json").json()
    assert shown["path"] == path == contract_of(app).path


def test_it_is_sent_once_while_it_stays_the_same(run):
    router, app = calculator(), FastAPI()
    router.mount(app, "/ws")
    first = get(run, app, "/ws/contract.json")
    known = {"if-none-match": first.headers["etag"]}
    assert get(run, app, "/ws/contract.json", known).status_code == 304
    router.route("more")(lambda payload: payload)
    again = get(run, app, "/ws/contract.json", known)
    assert (again.status_code, "more" in again.json()["routes"]) == (200, True)


@pytest.mark.parametrize("document", DOCUMENTS)
@pytest.mark.parametrize(
    "app",
    [
        mounted(docs=False),
        mounted(app=FastAPI(openapi_url=None)),
        mounted(app=FastAPI(openapi_url="")),
    ],
    ids=["docs are off", "the app has none", "nor by a variable"],
)
def test_where_documentation_is_off_there_is_none(run, app, document):
    assert get(run, app, "/ws" + document).status_code == 404


def test_they_may_be_on_where_the_apps_own_are_off(run):
    app = mounted(app=FastAPI(openapi_url=None), docs=True)
    assert get(run, app, "/ws").status_code == 200


@pytest.mark.parametrize("document", DOCUMENTS)
def test_one_guard_covers_all_of_them(run, document):
    async def staff(x_key: str = Header("")):
        if x_key != "k":
            raise HTTPException(403)

    app = mounted(docs_dependencies=[Depends(staff)])
    assert get(run, app, "/ws" + document).status_code == 403
    assert get(run, app, "/ws" + document, {"x-key": "k"}).status_code == 200


def test_they_follow_the_socket_wherever_it_is_included(run):
    inner = APIRouter(prefix="/v1")
    inner.include_router(calculator().api_router("/socket"))
    outer, app = FastAPI(), FastAPI()
    outer.include_router(inner, prefix="/api")
    app.mount("/below", outer)
    assert get(run, app, "/below/api/v1/socket").status_code == 200
    contract = get(run, app, "/below/api/v1/socket/contract.json").json()
    assert contract["path"] == "/below/api/v1/socket"


@pytest.mark.parametrize("path", ["/", "/ws/", "/rooms/{room}"])
def test_any_path_has_its_pages(run, path):
    app = mounted(path)
    address = path.replace("{room}", "7")
    assert get(run, app, address).status_code == 200
    assert get(run, app, address.rstrip("/") + "/contract.json").status_code == 200


def test_without_fastapi_they_are_there_too_but_not_guarded(run):
    quiet, app = Starlette(), Starlette()
    mounted(app=quiet)
    assert get(run, quiet, "/ws/contract.json").status_code == 404
    mounted(app=app, docs=True)
    assert get(run, app, "/ws/contract.json").json()["title"] == "Sums"
    with pytest.raises(TypeError, match="docs_dependencies need a FastAPI app"):
        mounted(app=Starlette(), docs_dependencies=[Depends(lambda: None)])


def test_the_apps_documentation_shows_the_socket():
    app = mounted("/socket")
    inner = APIRouter(prefix="/v1")
    inner.include_router(calculator().api_router("/other"))
    app.include_router(inner)
    paths = app.openapi()["paths"]
    assert list(paths) == ["/socket", "/v1/other"]
    for path in paths:
        assert paths[path]["get"]["summary"] == "Sums"
    # As seen from the page at /docs, also where something stands before both.
    assert "(./socket)" in paths["/socket"]["get"]["description"]


def test_types_without_a_schema_are_told_and_end_nothing(run, caplog):
    router, app = SocketRouter(), FastAPI()

    class Odd:
        @classmethod
        def __get_pydantic_core_schema__(cls, source, handler):
            from pydantic_core import core_schema

            return core_schema.no_info_plain_validator_function(lambda value: value)

    async def odd(payload: Odd):
        return payload

    odd.__annotations__["payload"] = Odd
    router.route("odd")(odd)
    router.mount(app, "/ws")
    answer = get(run, app, "/ws/contract.json")
    assert answer.status_code == 500
    assert "route 'odd': its payload" in answer.json()["message"]

"""The code that readers copy runs as it stands."""

import inspect
import re
from pathlib import Path

import pytest

from fastapi_observable_socket.testing import SocketTestClient

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def load(page: Path) -> dict:
    """All blocks of a page, one after the other, in one module."""
    names = {"__name__": f"page_{page.stem}"}
    for number, block in enumerate(blocks(page)):
        exec(compile(block, f"{page.name}, block {number}", "exec"), names)
    return names


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p)], ids=lambda page: page.stem)
def test_the_pages_code_runs_and_its_tests_pass(page, run):
    names = load(page)
    for name, value in list(names.items()):
        if name.startswith("test_"):
            result = value()
            if inspect.iscoroutine(result):
                run(result)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_readmes_app_answers_as_the_readme_says(run):
    names = load(ROOT / "README.md")

    async def talk():
        for path in ("/ws", "/api/ws", "/ws2", "/ws3", "/ws4", "/rooms/tea"):
            async with SocketTestClient(names["app"], path) as client:
                answer = await client.request("orders/place", {"item": "tea", "count": 2})
                assert answer.payload == {"item": "tea", "total": 5.0}
                assert (await client.request("orders/place", {"item": "rum"})).status == 404
                wrong = await client.request("orders/place", {"item": "tea", "count": "two"})
                assert wrong.status == 400
                assert wrong.payload["detail"][0]["loc"] == ["payload", "count"]
                read = await client.request("articles/read", headers={"article": "1"})
                assert (read.status, read.payload) == (200, "On tea")
                assert (
                    await client.request("articles/read", headers={"article": "2"})
                ).status == 403
                assert (await client.request("articles/read")).status == 404

    run(talk())


@pytest.mark.parametrize("page", [*PAGES, ROOT / "PROTOCOL.md"], ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", prose):
        assert (page.parent / target).exists(), target

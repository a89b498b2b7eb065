"""The console's page as the server sends it: one file, small, under a policy that lets nothing
else run. What it does is tried in a browser, in `js/tests/browser/console.test.ts`."""

import base64
import gzip
import hashlib
import re
from html.parser import HTMLParser

import pytest

from fastapi_observable_socket.console import page, policy

RAW = 60_000
COMPRESSED = 20_000


@pytest.fixture(name="html", scope="module")
def page_as_text() -> str:
    return page()[0].decode()


class Reader(HTMLParser):
    """Everything that has to do with the policy, in one page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inside: dict[str, list[str]] = {"script": [], "style": []}
        self._open = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open = tag if tag in self.inside else ""

    def handle_data(self, data: str) -> None:
        if self._open:
            self.inside[self._open].append(data)

    def handle_endtag(self, tag: str) -> None:
        self._open = ""


def directives(text: str) -> dict[str, str]:
    return dict(part.partition(" ")[::2] for part in text.split("; "))


def test_it_is_small():
    body, _ = page()
    assert len(body) <= RAW
    assert len(gzip.compress(body, 9)) <= COMPRESSED


def test_the_policy_names_the_scripts_and_styles_that_are_there_and_nothing_else(html):
    reader = Reader(html)
    allowed = directives(page()[1]["Content-Security-Policy"])
    assert allowed["default-src"] == "'none'"
    for tag, name in (("script", "script-src"), ("style", "style-src")):
        text = "".join(reader.inside[tag])
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert allowed[name] == f"'sha256-{digest}'"
        assert [t for t, _ in reader.tags].count(tag) == 1
    assert "unsafe" not in str(allowed)


def test_nothing_in_it_needs_what_the_policy_forbids(html):
    for tag, attributes in Reader(html).tags:
        assert not {"style", "src", "action"} & attributes.keys()
        assert not [name for name in attributes if name.startswith("on")]
        if "href" in attributes:
            assert tag == "link"
            assert str(attributes["href"]).startswith("data:")
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|\beval\(|Function\(", html)


def test_it_names_no_other_site(html):
    known = {"http://www.w3.org/2000/svg", "https://example.com/"}
    assert set(re.findall(r"https?://[\w./-]+", html)) <= known


def test_the_headers_keep_it_to_itself():
    headers = page()[1]
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert re.fullmatch(r'"[0-9a-f]{32}"', headers["ETag"])
    assert directives(headers["Content-Security-Policy"])["frame-ancestors"] == "'none'"


def test_each_part_has_a_hash_of_its_own():
    allowed = directives(policy("<style>a{}</style><script>1</script><script>2</script>"))
    assert len(set(allowed["script-src"].split())) == 2
    assert len(allowed["style-src"].split()) == 1

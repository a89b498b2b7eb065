"""
The console: the page that is to a socket what Swagger UI is to HTTP.

One file that fetches nothing but the contract beside it; built from `js/console`. How it is
served is decided elsewhere.
"""

import base64
import hashlib
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

__all__ = ["page"]


@cache
def page() -> tuple[bytes, Mapping[str, str]]:
    """The page, and the headers to send it with.

    The policy among them lets nothing run but the page's own script, wherever its texts come
    from; whoever changes the bytes on their way breaks it. It needs no cookies, and works at
    any path whose `contract.json` is one level below.
    """
    html = files(__name__).joinpath("index.html").read_text(encoding="utf-8")
    body = html.encode()
    headers = {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": policy(html),
        "ETag": f'"{hashlib.sha256(body).hexdigest()[:32]}"',
        "Cache-Control": "no-cache",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
    }
    return body, headers


def policy(html: str) -> str:
    """The Content-Security-Policy for a page with these scripts and styles, and no others."""
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {_hashes(html, 'script')}",
            f"style-src {_hashes(html, 'style')}",
            # Not every browser takes a WebSocket of the page's own site for 'self'.
            "connect-src 'self' ws: wss:",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        ]
    )


def _hashes(html: str, tag: str) -> str:
    inside = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
    return " ".join(f"'sha256-{_hash(text)}'" for text in inside)


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

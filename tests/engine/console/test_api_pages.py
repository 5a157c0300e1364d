"""The console's files: nonces, policies, caching."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from engine.console.pages import Pages
from tests.engine.console.desk import desk


@pytest.fixture
def built(tmp_path: Path) -> Path:
    folder = tmp_path / "static"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text('<meta name="csp-nonce" content="{{nonce}}"><style nonce="{{nonce}}"></style>')
    (folder / "assets" / "app-0A1B2C3D.js").write_text("hello()")
    (folder / "assets" / "app-0A1B2C3D.js.gz").write_bytes(gzip.compress(b"hello()"))
    (folder / "assets" / "plain.css").write_text("a{}")
    (folder / "secret.txt").write_text("secret")
    return folder


async def fetch(folder: Path, path: str, **headers: str) -> tuple[int, str, dict[str, str]]:
    app = web.Application()
    app.add_routes(Pages(folder).definitions())
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        url = f"http://127.0.0.1:{runner.addresses[0][1]}{path}"
        async with aiohttp.ClientSession() as http, http.get(url, headers=headers, allow_redirects=False) as answer:
            return answer.status, await answer.text(), dict(answer.headers)
    finally:
        await runner.cleanup()


async def test_the_page_has_a_nonce_of_its_own_each_time(built: Path) -> None:
    nonces = set()
    for path in ("/console/", "/console/calls/1.2", "/console/index.html"):
        status, text, headers = await fetch(built, path)
        assert status == 200
        (nonce,) = set(re.findall(r'(?:content|nonce)="([^"]+)"', text))
        assert f"style-src 'self' 'nonce-{nonce}'" in headers["Content-Security-Policy"]
        assert "script-src 'self';" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
        nonces.add(nonce)
    assert len(nonces) == 3


async def test_assets_are_kept_for_ever_and_sent_compressed(built: Path) -> None:
    status, text, headers = await fetch(built, "/console/assets/app-0A1B2C3D.js")
    assert (status, text) == (200, "hello()")
    assert headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert headers["Content-Type"].startswith("text/javascript")
    assert headers["Content-Encoding"] == "gzip"
    status, text, headers = await fetch(built, "/console/assets/app-0A1B2C3D.js", **{"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in headers
    _, _, headers = await fetch(built, "/console/assets/plain.css")
    assert headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize("name", ["app-0A1B2C3D.js.gz", "none.js", "..%2Fsecret.txt", "%2e%2e%2fsecret.txt", "%00"])
async def test_nothing_else_is_served(name: str, built: Path) -> None:
    status, text, _ = await fetch(built, f"/console/assets/{name}")
    assert status == 404
    assert "secret" not in text


async def test_the_way_to_the_page(built: Path) -> None:
    for path in ("/", "/console"):
        status, _, headers = await fetch(built, path)
        assert (status, headers["Location"]) == (307, "/console/")


async def test_without_a_page_it_says_so(tmp_path: Path) -> None:
    status, text, _ = await fetch(tmp_path, "/console/")
    assert (status, "make console" in text) == (200, True)


async def test_every_answer_of_the_api_is_guarded(tmp_path: Path) -> None:
    async with desk(tmp_path) as house, aiohttp.ClientSession() as http:
        headers = {"Authorization": f"Bearer {house.tokens['admin']}"}
        for method, path, status in (
            ("GET", "/calls", 200), ("GET", "/none", 404), ("PUT", "/calls", 405), ("GET", "/openapi.json", 200),
            ("GET", "/calls/none", 404), ("HEAD", "/calls", 200),
        ):  # fmt: skip
            async with http.request(method, house.api + path, headers=headers) as answer:
                assert answer.status == status, path
                assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert answer.headers["Cache-Control"] == "no-store"
                if status >= 400:
                    assert answer.content_type == "application/problem+json"
                if status == 405:
                    assert answer.headers["Allow"] == "GET"

"""The YAML language server that VS Code and most other editors use, spoken to over stdio (LSP 3.17)."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

SERVER = Path(__file__).parents[2] / "var/node/node_modules/yaml-language-server/bin/yaml-language-server"
ANSWERS_WITHIN = 30.0  # seconds; it takes tenths when the machine is idle

Place = tuple[int, int]  # line and column, from 1 as `hookflash check` counts


class Editor:
    """An editor with one folder open."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path, settings: dict[str, Any]) -> None:
        self._process = process
        self._folder = folder
        self._settings = settings
        self._ids = count(1)

    async def start(self) -> None:
        """Introduce ourselves."""
        able = {
            "textDocument": {"completion": {}, "hover": {"contentFormat": ["markdown"]}},
            "workspace": {"configuration": True},
        }
        await self._ask("initialize", processId=None, rootUri=self._folder.as_uri(), capabilities=able)
        self._send(method="initialized", params={})
        self._send(method="workspace/didChangeConfiguration", params={"settings": {"yaml": self._settings}})

    async def open(self, name: str, text: str) -> list[tuple[Place, str]]:
        """Open a file; returns the problems that the editor underlines."""
        uri = (self._folder / name).as_uri()
        document = {"uri": uri, "languageId": "yaml", "version": 1, "text": text}
        self._send(method="textDocument/didOpen", params={"textDocument": document})
        found = await self._until(
            lambda message: (
                message.get("method") == "textDocument/publishDiagnostics" and message["params"]["uri"] == uri
            )
        )
        starts = [(one["range"]["start"], one["message"]) for one in found["params"]["diagnostics"]]
        return [((start["line"] + 1, start["character"] + 1), message) for start, message in starts]

    async def completed(self, name: str, line: int, column: int) -> list[str]:
        """What the editor offers at a place."""
        result = await self._ask("textDocument/completion", **self._at(name, line, column))
        return [item["label"] for item in result["items"]]

    async def hover(self, name: str, line: int, column: int) -> str:
        """What the editor shows of the word at a place."""
        result = await self._ask("textDocument/hover", **self._at(name, line, column))
        return str(result["contents"]["value"]) if result else ""

    def _at(self, name: str, line: int, column: int) -> dict[str, Any]:
        place = {"line": line - 1, "character": column - 1}
        return {"textDocument": {"uri": (self._folder / name).as_uri()}, "position": place}

    async def _ask(self, method: str, **params: Any) -> Any:
        id_ = next(self._ids)
        self._send(id=id_, method=method, params=params)
        answer = await self._until(lambda message: message.get("id") == id_ and "method" not in message)
        assert "error" not in answer, answer
        return answer["result"]

    async def _until(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        async with asyncio.timeout(ANSWERS_WITHIN):
            while not wanted(message := await self._receive()):
                if "method" in message and "id" in message:
                    self._answer(message)
            return message

    def _answer(self, request: dict[str, Any]) -> None:
        result = None
        if request["method"] == "workspace/configuration":
            items = request["params"]["items"]
            result = [self._settings if item.get("section") == "yaml" else {} for item in items]
        self._send(id=request["id"], result=result)

    def _send(self, **message: Any) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self._process.stdin is not None
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))

    async def _receive(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        length = 0
        while header := (await self._process.stdout.readline()).strip():
            name, _, value = header.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        assert length, "the language server has ended"
        message: dict[str, Any] = json.loads(await self._process.stdout.readexactly(length))
        return message


@asynccontextmanager
async def editor(folder: Path, settings: dict[str, Any]) -> AsyncIterator[Editor]:
    """An editor on a folder, with the settings that VS Code has under ``yaml.``."""
    node = shutil.which("node")
    assert node is not None, "there is no node: install Node.js 20 or newer with npm (apt-get install nodejs npm)"
    assert SERVER.exists(), "there is no yaml-language-server: make editor"
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(node, str(SERVER), "--stdio", stdin=pipe, stdout=pipe)
    try:
        opened = Editor(process, folder, settings)
        await opened.start()
        yield opened
    finally:
        process.kill()
        await process.wait()

"""A small language model's server, as the load's target: it streams as many tokens as it is allowed and draws, and tells them at the end.

``python -m bench.budget.upstream PORT FILE``: what it has told in all stands in FILE, as JSON, whenever it has changed.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp import web

PAUSE_S = 0.1
BYTES_PER_TOKEN = 4


class Server:
    def __init__(self, file: Path, seed: int = 7) -> None:
        self._file, self._draw = file, random.Random(seed)
        self.told = {"answers": 0, "prompt_tokens": 0, "completion_tokens": 0, "most_at_once": 0, "max_tokens": 0}
        self._at_once = 0

    async def chat(self, request: web.Request) -> web.StreamResponse:
        from aiohttp import web

        body = await request.read()
        asked = json.loads(body)
        prompt, tokens = len(body) // BYTES_PER_TOKEN, self._draw.randint(1, int(asked.get("max_tokens") or 512))
        usage = {"prompt_tokens": prompt, "completion_tokens": tokens, "total_tokens": prompt + tokens}
        self.told["max_tokens"] = int(asked.get("max_tokens") or 0)
        self._at_once += 1
        self.told["most_at_once"] = max(self.told["most_at_once"], self._at_once)
        try:
            if not asked.get("stream"):
                choice = {"index": 0, "message": {"role": "assistant", "content": "x" * tokens}, "finish_reason": "stop"}
                self._tell(prompt, tokens)
                return web.json_response({"id": "x", "object": "chat.completion", "choices": [choice], "usage": usage})
            answer = web.StreamResponse(headers={"content-type": "text/event-stream"})
            await answer.prepare(request)
            for number in range(tokens):
                await answer.write(_event({"choices": [{"index": 0, "delta": {"content": "x"}}]}))
                if number % 16 == 0:
                    await asyncio.sleep(PAUSE_S)
            self._tell(prompt, tokens)
            await answer.write(_event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}))
            await answer.write(_event({"choices": [], "usage": usage}) + b"data: [DONE]\n\n")
            return answer
        finally:
            self._at_once -= 1

    def _tell(self, prompt: int, tokens: int) -> None:
        self.told["answers"] += 1
        self.told["prompt_tokens"] += prompt
        self.told["completion_tokens"] += tokens
        self._file.write_text(json.dumps(self.told))


def _event(fields: dict[str, object]) -> bytes:
    return f"data: {json.dumps({'id': 'x', 'object': 'chat.completion.chunk', **fields})}\n\n".encode()


def main(port: int, file: Path) -> None:
    from aiohttp import web

    application = web.Application()
    application.router.add_post("/v1/chat/completions", Server(file).chat)
    web.run_app(application, host="127.0.0.1", port=port, access_log=None, print=None)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))

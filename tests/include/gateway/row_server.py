"""A small server of KServe v2 over HTTP: a model that says whether the numbers of a row add up to more than 10, scaled by its wrapper."""

from __future__ import annotations

from typing import Any

from include.gateway.endpoint import Endpoint
from tests.include.gateway.small_server import SmallHandler, SmallServer


class RowServer(SmallServer):
    """``scale`` is what its wrapper makes of the inputs; requests for rows of ``refuses`` in their first number are answered 500."""

    def __init__(self, scale: float = 1.0) -> None:
        self.scale, self.refuses = scale, set[float]()
        self.asked: list[dict[str, Any]] = []
        super().__init__(_Handler)

    def endpoint(self, model: str, revision: str) -> Endpoint:
        return Endpoint(model, revision, self.server_port)


class _Handler(SmallHandler):
    server: RowServer

    def do_GET(self) -> None:
        self._answer(200, {})

    def do_POST(self) -> None:
        body = self.asked()
        self.server.asked.append(body)
        [tensor] = body["inputs"]
        rows, width = tensor["shape"]
        values = [tensor["data"][number * width : (number + 1) * width] for number in range(rows)]
        if values[0][0] in self.server.refuses:
            return self._answer(500, {"error": "no answer"})
        labels = [int(sum(row) * self.server.scale > 10) for row in values]
        self._answer(200, {"outputs": [{"name": "label", "datatype": "INT64", "shape": [rows, 1], "data": labels}]})

"""The outermost layer of the application: every exception becomes an answer, and none is told twice in the log."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Callable

from starlette.requests import Request
from starlette.responses import Response


class Explained:
    """An ASGI layer that turns exceptions of `app` into what `explain` makes of them."""

    def __init__(self, app: Any, explain: Callable[[Request, Exception], Awaitable[Response]]) -> None:
        self._app, self._explain = app, explain

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def watched(message: Any) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:
            reply = await self._explain(Request(scope, receive), error)
            if not begun:
                await reply(scope, receive, send)

"""JSON-RPC, WebSocket and server-sent events: the same calls, answered in each one's frame."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final

import trio
from fastapi import APIRouter, Request, WebSocket
from starlette.responses import JSONResponse, Response
from starlette.websockets import WebSocketDisconnect

from medsync_calimero.answers import Answered, CallError, answered
from medsync_node.api.streaming import Stream
from medsync_protocol.applications.interface import text_of
from medsync_protocol.errors import MedSyncError

if TYPE_CHECKING:
    from medsync_calimero.auth import Auth
    from medsync_calimero.context_calls import ContextCalls
    from medsync_calimero.events import Events, Follower

MAX_REQUEST: Final = 1 << 20  # bytes of one JSON-RPC request
KEEP_ALIVE_SECONDS: Final = 15.0


class Rpc:
    """See the module. `auth` None: proxy mode."""

    def __init__(self, contexts: ContextCalls, events: Events, auth: Auth | None) -> None:
        self._contexts, self._events, self._auth = contexts, events, auth
        self._sessions: dict[str, Follower] = {}

    async def answer(self, request: Any, token: str | None) -> dict[str, Any]:
        """One request's answer: `result`, or `error` with a type and data. Never raises for what a client sends."""
        if not isinstance(request, dict) or not isinstance(request.get("params"), dict):
            return {"error": {"type": "ParseError", "data": "a request is an object with method and params"}}
        params = request["params"]
        try:
            if request.get("method") == "execute":
                self._permit(token, params)
                output = await self._contexts.execute(params.get("contextId"), params.get("method"), params.get("argsJson") or {})
                return {"result": {"output": output}}
            if request.get("method") == "sync_status":
                if self._auth is not None:
                    self._auth.require(token, f"context:sync[{params.get('contextId')}]")
                return {"result": self._contexts.sync_status(params.get("contextId"))}
        except CallError as error:
            return {"error": {"type": "FunctionCallError", "data": error.data if isinstance(error.data, str) else text_of(error.data)}}
        except Answered as error:
            return {"error": {"type": _TYPES.get(error.status, "ServerError"), "data": error.sentence}}
        except MedSyncError as error:
            return {"error": {"type": "FunctionCallError", "data": answered(error).sentence}}
        return {"error": {"type": "MethodNotFound", "data": "a method is execute or sync_status"}}

    def _permit(self, token: str | None, params: dict[str, Any]) -> None:
        if self._auth is not None:
            parts = (params.get("contextId"), params.get("executorPublicKey") or "", params.get("method"))
            self._auth.require(token, f"context:execute[{','.join(str(part) for part in parts)}]")

    # -- carriers ---------------------------------------------------------------------------------------------

    def routes(self) -> APIRouter:
        """`/jsonrpc`, `/ws`, `/sse`."""
        router = APIRouter()
        router.add_api_route("/jsonrpc", self._jsonrpc, methods=["POST"], response_model=None)
        router.add_api_route("/sse", self._sse, methods=["GET"], response_model=None)
        router.add_api_route("/sse/subscription", self._sse_subscription, methods=["POST"], response_model=None)
        router.add_api_route("/sse/session/{session}", self._sse_session, methods=["GET"], response_model=None)
        router.add_api_websocket_route("/ws", self._websocket)
        return router

    async def _jsonrpc(self, request: Request) -> Response:
        """Calls of contexts; an application's error is status 200."""
        raw = await request.body()
        try:
            asked = json.loads(raw) if len(raw) <= MAX_REQUEST else None
        except ValueError:
            asked = None
        answer = await self.answer(asked, bearer(request.headers.get("authorization")))
        status = {"Unauthorized": 401, "Forbidden": 403}.get(answer.get("error", {}).get("type"), 200)
        id_ = asked.get("id") if isinstance(asked, dict) else None
        return JSONResponse({"jsonrpc": "2.0", "id": id_, **answer}, status)

    async def _websocket(self, socket: WebSocket) -> None:
        token = socket.query_params.get("token")
        if self._auth is not None:
            try:
                self._auth.require(token, "context:subscribe")
            except Answered as error:
                await socket.close(4401 if error.status == 401 else 4403, error.sentence)
                return
        await socket.accept()
        with self._events.follower() as follower:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._push, socket, follower)
                try:
                    while True:
                        await socket.send_text(json.dumps(await self._framed(await socket.receive_text(), follower, token)))
                except WebSocketDisconnect:
                    nursery.cancel_scope.cancel()

    async def _framed(self, text: str, follower: Follower, token: str | None) -> dict[str, Any]:
        try:
            asked = json.loads(text) if len(text) <= MAX_REQUEST else None
        except ValueError:
            asked = None
        id_ = asked.get("id") if isinstance(asked, dict) else None
        if isinstance(asked, dict) and asked.get("method") in ("subscribe", "unsubscribe"):
            try:
                return {"id": id_, "result": follower.subscribe(asked["method"], asked.get("params"))}
            except Answered as error:
                return {"id": id_, "error": {"type": "ParseError", "data": error.sentence}}
        return {"id": id_, **await self.answer(asked, token)}

    @staticmethod
    async def _push(socket: WebSocket, follower: Follower) -> None:
        async for event in follower.receive:
            await socket.send_text(json.dumps({"id": None, "result": event}))
        await socket.close(1013, "too slow: events were lost, subscribe again")

    async def _sse(self, request: Request) -> Response:
        """A stream: `connect` with the session's id, then `message` for each event."""
        return Stream(self._stream(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    async def _stream(self) -> AsyncIterator[str]:
        async with AsyncExitStack() as stack:
            follower = stack.enter_context(self._events.follower())
            session = secrets.token_urlsafe(16)
            self._sessions[session] = follower
            stack.callback(self._sessions.pop, session)
            yield f"event: connect\ndata: {json.dumps({'session_id': session})}\n\n"
            while True:
                text = ": still here\n\n"
                try:
                    with trio.move_on_after(KEEP_ALIVE_SECONDS):
                        text = f"event: message\ndata: {json.dumps({'result': await follower.receive.receive()})}\n\n"
                except trio.EndOfChannel:
                    yield "event: close\ndata: {}\n\n"
                    return
                yield text

    async def _sse_subscription(self, request: Request) -> Response:
        """{id: session, method, params}."""
        try:
            asked = json.loads(await request.body())
            follower = self._sessions[str(asked["id"])]
        except (ValueError, KeyError, TypeError):
            return JSONResponse({"error": "no such session: open /sse first"}, 404)
        try:
            return JSONResponse({"result": follower.subscribe(asked.get("method"), asked.get("params"))})
        except Answered as error:
            return JSONResponse({"error": error.sentence}, error.status)

    async def _sse_session(self, session: str) -> Response:
        """What a session follows."""
        found = self._sessions.get(session)
        if found is None:
            return JSONResponse({"error": "no such session"}, 404)
        return JSONResponse({"result": {"ids": sorted(one.hex() for one in found.ids)}})


_TYPES: Final = {401: "Unauthorized", 403: "Forbidden", 404: "ContextNotFound", 400: "InvalidRequest"}


def bearer(header: str | None) -> str | None:
    """The token of an Authorization header."""
    kind, _, token = (header or "").partition(" ")
    return token.strip() if kind.lower() == "bearer" and token.strip() else None

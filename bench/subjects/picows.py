"""picows and msgspec: frames go through C, and each is answered in the callback that brings it.

No application server is around it: `python -m subjects.picows PORT`.
"""

import sys
from typing import Any

import msgspec
import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_create_server


class Request(msgspec.Struct):
    uuid: int | str
    route: str
    headers: dict[str, Any] | None = None
    payload: Any = None


class Response(msgspec.Struct):
    uuid: int | str
    status: int
    headers: dict[str, Any]
    payload: Any


decode = msgspec.json.Decoder(Request).decode
encode = msgspec.json.Encoder().encode


def add(payload: Any) -> Any:
    return {"sum": sum(payload)}


def echo(payload: Any) -> Any:
    return payload


HANDLERS = {"math/sum": add, "echo": echo}


class Socket(WSListener):
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type != WSMsgType.TEXT:
            if frame.msg_type == WSMsgType.CLOSE:
                transport.send_close()
                transport.disconnect()
            return
        request = decode(frame.get_payload_as_memoryview())
        handler = HANDLERS.get(request.route)
        if handler:
            response = Response(request.uuid, 200, {}, handler(request.payload))
        else:
            response = Response(request.uuid, 404, {}, None)
        transport.send(WSMsgType.TEXT, encode(response))


async def main(port: int) -> None:
    server = await ws_create_server(lambda _: Socket(), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))

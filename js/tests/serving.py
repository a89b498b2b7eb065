"""How the servers of these tests are run: on the port that is given, on the lane unless UVICORN_WS says otherwise."""

import os
import sys

import uvicorn
from fastapi import FastAPI


def serve(app: FastAPI) -> None:
    # 0.0.0.0: also by names that are no localhost, as an insecure origin has.
    uvicorn.run(
        app,
        host="0.0.0.0",
        port=int(sys.argv[1]),
        log_level="warning",
        ws=os.environ.get("UVICORN_WS", "fastapi_observable_socket.uvicorn:Protocol"),
        ws_per_message_deflate=False,
    )

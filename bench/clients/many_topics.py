"""
A socket that listens to many topics of this package's server, and says nothing more.

    python -m clients.many_topics PORT TOPICS

Prints READY once it listens to all of them; ends when stdin is closed.
"""

import asyncio
import json
import sys

from websockets.asyncio.client import connect

AT_ONCE = 1000  # topics of one frame, at most


async def main(port: int, topics: int) -> None:
    url = f"ws://127.0.0.1:{port}/ws"
    async with connect(url, compression=None, max_size=None) as ws:
        for first in range(0, topics, AT_ONCE):
            names = [f"topic-{n}" for n in range(first, min(first + AT_ONCE, topics))]
            payload = {"topics": [{"topic": name} for name in names]}
            await ws.send(json.dumps({"uuid": first, "route": "$sub", "payload": payload}))
            answer = json.loads(await ws.recv())["payload"]
            if any(topic["status"] != 200 for topic in answer["topics"]):
                raise ValueError(f"a topic could not be joined: {answer}")
        print("READY", flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))

"""Stock service: answers from memory; one article breaks it.

Contains no OpenTelemetry code: `opentelemetry-instrument` adds it from outside. Binds a free port and
says which on stdout.
"""

import json
import logging
import signal
import socket
import sys

import uvicorn
from fastapi import FastAPI, HTTPException

log = logging.getLogger("shop.stock")
app = FastAPI(title="shop-stock")

ARTICLES = {"rope": 12, "net": 3}


@app.get("/stock/{sku}")
def stock(sku: str):
    """How many of an article there are."""
    if sku == "broken":
        log.error("stock table is damaged sku=%s", sku)
        raise RuntimeError("stock table is damaged")
    if sku not in ARTICLES:
        raise HTTPException(status_code=404, detail="no such article")
    log.info("stock read sku=%s", sku)
    return {"sku": sku, "in_stock": ARTICLES[sku]}


def main():
    logging.getLogger().setLevel(logging.INFO)
    # uvicorn raises the signal again once it has shut down; this makes that an ordinary exit, so
    # that the exporters' exit hooks send what they still hold.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    listener = socket.create_server(("127.0.0.1", 0))
    print(json.dumps({"listening": f"127.0.0.1:{listener.getsockname()[1]}"}), flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])


if __name__ == "__main__":
    sys.exit(main())

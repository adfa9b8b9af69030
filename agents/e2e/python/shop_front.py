"""Order service: PostgreSQL, Redis and a call to the stock service.

Contains no OpenTelemetry code: `opentelemetry-instrument` adds it from outside. Takes its addresses
from DATABASE_URL, REDIS_URL and STOCK_URL, binds a free port, and says which on stdout.
"""

import json
import logging
import os
import signal
import sys
import threading

import psycopg
import redis
import requests
from flask import Flask, jsonify
from werkzeug.serving import make_server

log = logging.getLogger("shop.front")
app = Flask("shop-front")

cache = redis.Redis.from_url(os.environ["REDIS_URL"])
database = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
database_lock = threading.Lock()


@app.post("/orders/<sku>")
def place_order(sku):
    """Counts the visit, asks for stock, writes the order."""
    visits = cache.incr(f"visits:{sku}")
    answer = requests.get(f"{os.environ['STOCK_URL']}/stock/{sku}", timeout=10)
    if answer.status_code == 404:
        log.warning("no such article sku=%s", sku)
        return jsonify(error="no such article"), 404
    answer.raise_for_status()
    with database_lock:
        row = database.execute(
            "INSERT INTO orders (sku, visits) VALUES (%s, %s) RETURNING id", (sku, visits)
        ).fetchone()
        (total,) = database.execute("SELECT count(*) FROM orders WHERE sku = %s", (sku,)).fetchone()
    cache.set(f"last:{sku}", row[0])
    log.info("order placed sku=%s id=%s", sku, row[0])
    return jsonify(id=row[0], orders_of_sku=total, in_stock=answer.json()["in_stock"])


def main():
    logging.getLogger().setLevel(logging.INFO)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    # Exit by the ordinary way, so that the exporters' exit hooks send what they still hold.
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(json.dumps({"listening": f"127.0.0.1:{server.server_port}"}), flush=True)
    server.serve_forever()
    server.server_close()
    database.close()


if __name__ == "__main__":
    sys.exit(main())

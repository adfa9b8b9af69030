"""The instrumented shop: gateway (Node) → order service (Flask) → stock service (FastAPI)."""

import sys
import urllib.error
import urllib.request
from pathlib import Path

from .processes import Child

HERE = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent


class Shop:
    """The three services, exporting to one collector over one protocol."""

    def __init__(self, endpoint, protocol, environment, logs, database_url, redis_url, stable_names):
        self._common = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_METRICS_EXPORTER": "otlp",
            "OTEL_LOGS_EXPORTER": "otlp",
            "OTEL_METRIC_EXPORT_INTERVAL": "1000",
            "OTEL_METRIC_EXPORT_TIMEOUT": "900",
            "OTEL_BSP_SCHEDULE_DELAY": "200",
            "OTEL_BLRP_SCHEDULE_DELAY": "200",
            "OTEL_RESOURCE_ATTRIBUTES": f"deployment.environment.name={environment}",
            # Cloud detectors would ask the network and hold the first export back.
            "OTEL_NODE_RESOURCE_DETECTORS": "env,host,process",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }
        if stable_names:
            self._common["OTEL_SEMCONV_STABILITY_OPT_IN"] = "http,database"
        self._logs = logs
        self._suffix = environment
        self.children = []
        try:
            stock = self._python("shop-stock", "shop_stock.py", {})
            front = self._python(
                "shop-front", "shop_front.py",
                {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "STOCK_URL": stock},
            )
            self.gateway = self._node("shop-gateway", {"ORDERS_URL": front})
        except BaseException:
            self.stop()
            raise

    def _python(self, service, script, env):
        command = [BIN / "opentelemetry-instrument", sys.executable, HERE / "python" / script]
        return self._start(service, command, env)

    def _node(self, service, env):
        register = "@opentelemetry/auto-instrumentations-node/register"
        return self._start(service, ["node", "--require", register, "gateway.js"], env, cwd=HERE / "node")

    def _start(self, service, command, env, **options):
        env = {**self._common, "OTEL_SERVICE_NAME": service, **env}
        child = Child(f"{service}-{self._suffix}", command, self._logs, env, **options)
        self.children.append(child)
        return f"http://{child.first_json()['listening']}"

    def buy(self, sku):
        """One purchase through the gateway; returns the status."""
        request = urllib.request.Request(f"{self.gateway}/buy/{sku}", b"", method="POST")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                answer.read()
                return answer.status
        except urllib.error.HTTPError as error:
            error.read()
            return error.code

    def stop(self):
        """Ends the services, callers first, so that each flushes; returns their exit codes."""
        return {child.name: child.stop() for child in reversed(self.children)}

"""Takes from OTLP requests what other systems' telemetry lacks, so that a verdict can be asked of less.

Spans are changed with the Python package opentelemetry-proto.
"""

# What can be lacking.
LACKS = {
    "kinds": "spans do not say whether they serve, call or work",
    "attributes": "spans say nothing but their name, time and parent, and whether they failed",
    "status": "spans do not say that they failed",
    "hosts": "spans say their service and instance, not where that runs",
    "roots": "what lets requests in sends no spans",
    "metrics": "nothing is measured beside requests",
    "logs": "nothing is logged",
}

# Attributes of resources that say who sends.
WHO = ("service.name", "service.instance.id", "k8s.pod.name")


def poorer(signal, body, lacks):
    """The request without what it is to lack; None if nothing of it is left."""
    if signal in lacks:
        return None
    if signal != "traces" or not lacks & {"kinds", "attributes", "status", "hosts", "roots"}:
        return body
    # Who sends all there is needs no package.
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2  # pylint: disable=import-outside-toplevel

    request = trace_service_pb2.ExportTraceServiceRequest.FromString(body)
    for block in request.resource_spans:
        if "hosts" in lacks:
            kept = [one for one in block.resource.attributes if one.key in WHO]
            del block.resource.attributes[:]
            block.resource.attributes.extend(kept)
        for scope in block.scope_spans:
            if "roots" in lacks:
                kept = [span for span in scope.spans if span.parent_span_id]
                del scope.spans[:]
                scope.spans.extend(kept)
            for span in scope.spans:
                _less(span, lacks)
    return request.SerializeToString()


def _less(span, lacks):
    if "kinds" in lacks:
        span.kind = 0
    if "attributes" in lacks:
        for name in ("attributes", "events", "links"):
            span.ClearField(name)
    if "status" in lacks:
        span.ClearField("status")

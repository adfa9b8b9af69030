"""Reading what SQL answers hold."""

import json


def attributes(value):
    """An attribute map as a dictionary of decoded values, whichever JSON shape it came in."""
    if value is None:
        return {}
    if isinstance(value, str):
        value = json.loads(value)
    if isinstance(value, list):
        pairs = [(v["key"], v["value"]) if isinstance(v, dict) else v for v in value]
        value = dict(pairs)
    return {key: decoded(text) for key, text in value.items()}


def decoded(value):
    """A canonical attribute value: JSON text inside a string, or JSON already."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def trace_ids(answer):
    """The ids of a trace search's answer, sorted."""
    return sorted(trace["trace_id"] for trace in answer["traces"])

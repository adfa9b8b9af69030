"""Reading what SQL answers hold."""

import json


def attributes(value):
    """Attributes as a dictionary: a map column is a JSON object, a resource or scope its text."""
    if value is None:
        return {}
    return json.loads(value) if isinstance(value, str) else value


def trace_ids(answer):
    """The ids of a trace search's answer, sorted."""
    return sorted(trace["trace_id"] for trace in answer["traces"])

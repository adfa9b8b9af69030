"""What an answer of the verdict is worth against the label of a scenario, and the tables of many."""

import math
from collections import Counter, defaultdict

# Causes of an answer that a label's cause is.
CAUSES = {
    "statement": {"statement"}, "lock": {"lock"}, "cpu": {"cpu"}, "gc": {"garbage_collection"},
    "external": {"external"}, "network": {"network"}, "pool": {"pool"}, "version": {"release"},
    "n_plus_one": {"release", "more_calls"}, "traffic": {"load"}, "neighbour": {"noisy_neighbour"}, "memory": {"memory"},
    "disk": {"disk"},
}
# Actions of an answer that a label's action is.
ACTIONS = {
    "scale out": {"scale_out"}, "raise limit": {"raise_limit"}, "throttle caller": {"throttle_caller"},
    "degrade dependency": {"degrade_dependency"}, "fix statement": {"fix_statement"}, "roll back": {"roll_back"},
    "repair": {"repair"}, "wait for external": {"wait_for_external"}, "none": {"none"},
}
# A share is right if it is this close to the planted one.
CLOSE = 0.1
# Shares of time are compared where the faults add at least this part to the mean request.
LEAST_ADDED = 0.05


def words(text):
    """A name with its separators as spaces."""
    return (text or "").replace("_", " ").replace("-", " ")


def names_peer(address, name):
    """Whether the name of a peer holds the address."""
    return address in (name or "").replace(":", " ").split()


def matches(entity, culprit):
    """Whether a culprit is the entity of a label; of an edge either end counts, since an answer names services."""
    kind, peer = (entity or {}).get("kind"), culprit.get("peer") or ""
    if kind == "host":
        return culprit.get("host") == entity["host"]
    if kind == "peer":
        return names_peer(entity["address"], peer)
    if kind == "statement":
        return culprit.get("statement") in (entity["statement"], entity["text"])
    if kind == "edge":
        return not peer and culprit.get("service") in (entity["caller"], entity["callee"])
    return not peer and bool(culprit) and culprit.get("service") == (entity or {}).get("service")


def lies_at(entity, line):
    """Whether a line of the ledger is time at the entity; a host has no lines."""
    kind = entity["kind"]
    if kind == "statement":
        return line.get("statement") in (entity["statement"], entity["text"])
    if kind == "edge":
        return (line["service"], line["wait"], line.get("to")) == (entity["caller"], "way", entity["callee"])
    if kind == "peer":
        return line["wait"] == "remote" and names_peer(entity["address"], line.get("to"))
    return line["service"] == entity["service"]


def judge(result):
    """What an answer is worth."""
    label, answer = result["label"], result["answer"]
    faults = label["faults"]
    culprits = answer["culprits"] or []
    first = culprits[0] if culprits and answer["confident"] else {}
    named = next((fault for fault in faults if matches(fault["entity"], first)), None)
    fault = named or (faults[0] if faults else {})
    actions = [ACTIONS.get(words(text), set()) for text in (fault.get("action", "none"), *fault.get("also", []))]
    return {
        "case": result["case"], "seconds": result["seconds"], "summary": answer["summary"],
        "fault": "two faults" if len(faults) > 1 else label["fault"] or "healthy",
        "faults": [one["fault"] for one in faults], "shares": [one["share"] for one in faults],
        "entity": fault.get("entity"), "confident": bool(answer["confident"]), "cause": first.get("cause"),
        "wanted": fault.get("cause", "none"), "entity_right": bool(named),
        "cause_right": bool(faults) and first.get("cause") in CAUSES.get(fault["cause"], set()),
        "instance_right": (fault.get("entity") or {}).get("kind") == "instance"
        and first.get("instance") == fault["entity"]["instance"],
        "action": answer["action"], "wanted_action": words(fault.get("action", "none")),
        "action_right": answer["action"] in set().union(*actions), "action_first": answer["action"] in actions[0],
        "found": [any(matches(one["entity"], culprit) for culprit in culprits[:3]) for one in faults],
        "errors": errors(label, answer),
    }


def errors(label, answer):
    """How far shares are from the planted ones, 0 to 1 and more, as far as they can be compared.

    `culprits`: of each fault, the share of the culprit that is it; 0 if none is. `entity`: of each fault with an entity
    that has lines, those lines' part of the ledger. `places`: the worst of all places on the critical paths.
    """
    found = {"culprits": [abs(culprit_share(fault["entity"], answer) - fault["share"]) for fault in label["faults"]]}
    mean, ledger = label["mean"], answer["ledger"]
    if mean["added_ns"] < LEAST_ADDED * mean["reference_ns"] or mean["added_ns"] <= 0:
        return found
    planted, answered = mean["excess_ns"], ledger["excess_ns"] or math.inf
    entities = [fault for fault in label["faults"] if fault["entity_ns"] is not None]
    if entities:
        found["entity"] = [
            abs(fault["entity_ns"] / planted
                - sum(line["added_ns"] for line in ledger["lines"] if lies_at(fault["entity"], line)) / answered)
            for fault in entities
        ]
    wanted, seen = Counter(), Counter()
    for part in mean["parts"]:
        wanted[place(part)] += part["added_ns"] / planted
    for line in ledger["lines"]:
        seen[place(line)] += line["added_ns"] / answered
    found["places"] = [max((abs(wanted[key] - seen[key]) for key in wanted | seen), default=0)]
    return found


def culprit_share(entity, answer):
    """The share of all culprits that are the entity."""
    return sum(culprit["share"] for culprit in answer["culprits"] or [] if matches(entity, culprit))


def place(line):
    """Where a line's time lies. What a remote is called differs, its statement does not."""
    to = line.get("to") if line["wait"] == "way" else None
    return line["service"], line["wait"], to or "", line.get("statement") or ""


def is_right(score):
    """Whether nothing is to be said against an answer."""
    if score["fault"] == "healthy":
        return not score["confident"]
    return score["entity_right"] and score["cause_right"] and score["action_right"]


def line(score):
    """An answer in one line."""
    entity = {key: value for key, value in (score["entity"] or {}).items() if value and key not in ("text", "version")}
    where = " ".join(str(value) for value in entity.values())
    wrong = [name for name in ("entity", "cause", "action") if not score[f"{name}_right"]]
    verdict = "right" if is_right(score) else "wrong" if not score["faults"] else f"wrong {', '.join(wrong)}"
    return (f"{score['case']}: {' and '.join(score['faults']) or 'healthy'} {where}: {verdict}: "
            f"{score['summary']} [{score['action']}]")


def percentage(part, whole):
    """`7 of 10 (70 %)`."""
    return f"{part} of {whole} ({100 * part / whole:.1f} %)" if whole else "none"


def at_most(hits, tries, confidence=0.95):
    """The greatest probability that so few hits leave possible (Clopper and Pearson, Biometrika 1934)."""
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        tail = sum(math.comb(tries, k) * middle**k * (1 - middle) ** (tries - k) for k in range(hits + 1))
        low, high = (middle, high) if tail > 1 - confidence else (low, middle)
    return high


def rank(values, quantile):
    """A percentile by nearest rank."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(quantile * len(ordered)) - 1)]


def by_fault(scores):
    """One row for each kind of fault."""
    groups = defaultdict(list)
    for score in scores:
        groups[score["fault"]].append(score)
    lines = ["| planted | n | blamed | entity | cause | both | action | first action |",
             "|---|--:|--:|--:|--:|--:|--:|--:|"]
    for fault, group in [*sorted(groups.items()), ("all", scores)]:
        counts = [sum(score[key] for score in group) for key in ("confident", "entity_right", "cause_right")]
        counts.append(sum(score["entity_right"] and score["cause_right"] for score in group))
        counts += [sum(score[key] for score in group) for key in ("action_right", "action_first")]
        lines.append(f"| {fault} | {len(group)} | {' | '.join(map(str, counts))} |")
    return lines


def confusion(scores, planted, answered, empty):
    """A matrix: what was planted by what was answered."""
    rows = sorted({score[planted] for score in scores})
    columns = sorted({score[answered] or empty for score in scores})
    counts = Counter((score[planted], score[answered] or empty) for score in scores)
    lines = [f"| planted | {' | '.join(columns)} |", "|---|" + "--:|" * len(columns)]
    return lines + [f"| {row} | {' | '.join(str(counts[row, column] or '') for column in columns)} |" for row in rows]


def shares(scores):
    """How many shares are within ten points of the planted ones."""
    groups = defaultdict(lambda: defaultdict(list))
    for score in scores:
        for what, values in score["errors"].items():
            for fault in (score["fault"], "all"):
                groups[fault][what] += values
    lines = ["| planted | culprit's share | median error | ledger at the entity | median error | ledger, every place | "
             "median error |", "|---|--:|--:|--:|--:|--:|--:|"]
    for fault in [*sorted(fault for fault in groups if fault != "all"), "all"]:
        cells = []
        for what in ("culprits", "entity", "places"):
            values = groups[fault][what]
            close = sum(value <= CLOSE for value in values)
            cells += [f"{close} of {len(values)}", f"{100 * rank(values, 0.5):.1f}"] if values else ["", ""]
        lines.append(f"| {fault} | {' | '.join(cells)} |")
    return lines


def pairs(scores):
    """Scenarios with two faults."""
    both = sum(all(score["found"]) for score in scores)
    either = sum(score["entity_right"] and score["cause_right"] for score in scores)
    greater = sum(score["found"][0] for score in scores)
    return [
        f"{len(scores)} scenarios with two faults: the first culprit is one of them with its cause in "
        f"{percentage(either, len(scores))}, the greater is among the first three in {percentage(greater, len(scores))}, "
        f"both are in {percentage(both, len(scores))}.",
    ]


def report(scores):
    """All tables, as Markdown."""
    if not scores:
        return "No results."
    faulty = [score for score in scores if score["faults"]]
    healthy = [score for score in scores if not score["faults"]]
    single = [score for score in faulty if len(score["faults"]) == 1]
    double = [score for score in faulty if len(score["faults"]) > 1]
    lines = ["### Verdicts", "", *by_fault(scores), ""]
    if single:
        both = sum(score["entity_right"] and score["cause_right"] for score in single)
        wrong = sum(score["confident"] and not (score["entity_right"] and score["cause_right"]) for score in single)
        one = [score for score in single if score["entity"]["kind"] == "instance"]
        lines += [
            f"One fault: entity and cause right in {percentage(both, len(single))}, the action in "
            f"{percentage(sum(score['action_right'] for score in single), len(single))}; blamed and wrong "
            f"{wrong}; of faults of one instance the instance is named in "
            f"{percentage(sum(score['instance_right'] for score in one), len(one))}.", "",
        ]
    lines += [*pairs(double), ""] if double else []
    if healthy:
        alarms = sum(score["confident"] for score in healthy)
        lines += [f"Healthy windows with somebody blamed: {percentage(alarms, len(healthy))}, so with 95 % confidence at "
                  f"most {100 * at_most(alarms, len(healthy)):.1f} %.", ""]
    lines += ["### Causes", "", *confusion(scores, "wanted", "cause", "nobody"), ""]
    lines += ["### Actions", "", *confusion(scores, "wanted_action", "action", "none"), ""]
    if faulty:
        lines += ["### Shares within 10 points", "", *shares(faulty), ""]
    times = [score["seconds"] * 1000 for score in scores]
    lines += [f"{len(scores)} answers: p50 {rank(times, 0.5):.0f} ms, p99 {rank(times, 0.99):.0f} ms, "
              f"slowest {max(times):.0f} ms.", ""]
    lines += ["### Misses", "", *(f"- {line(score)}" for score in scores if not is_right(score))]
    return "\n".join(lines)

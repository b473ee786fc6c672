"""The vectors, run against the core: what a peer in any language must make of what it is given."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from peercoord.errors import UsageError
from peercoord.mailbox import protocol, verbs
from peercoord.membership import liveness
from peercoord.membership.liveness import Silence, Verdict
from peercoord.memory import contribution
from peercoord.memory.document import digest, split_document
from peercoord.memory.merge import merge
from peercoord.memory.textmerge import merger
from peercoord.queue import placement
from peercoord.queue.placement import Location
from peercoord.status import views
from peercoord.store import ids, paths, records
from peercoord.store.paths import Incarnation
from protocol import document, sequences

Given = dict[str, Any]
FILES = sorted(path for path in document.VECTORS.glob("*.json") if not path.name.endswith(".schema.json"))


def loaded() -> list[tuple[str, Given]]:
    return [
        (f"{path.stem}: {vector['description']}", vector)
        for path in FILES
        for vector in json.loads(path.read_text(encoding="utf-8"))["vectors"]
    ]


# -- names -------------------------------------------------------------------------------------------------------


def _shown(value: Any) -> Any:
    return value._asdict() if isinstance(value, Incarnation) else value


def _parsing(parse: Callable[[str], Any], *keys: str) -> Callable[[str], Given | None]:
    """What a parser says of a name, under these keys."""

    def parsed(name: str) -> Given | None:
        found = parse(name)
        if found is None:
            return None
        return dict(zip(keys, map(_shown, found if isinstance(found, tuple) else (found,)), strict=True))

    return parsed


PARSERS = {
    "ticket": _parsing(paths.parse_ticket, "task", "epoch", "done"),
    "new": _parsing(paths.parse_new, "task", "nonce"),
    "incarnation": _parsing(paths.parse_incarnation, "peer", "number", "suffix"),
    "departed": _parsing(paths.parse_departed, "who", "by"),
    "beat": _parsing(paths.parse_beat, "seq", "by"),
    "leader": _parsing(paths.parse_leader, "term"),
    "result": _parsing(paths.parse_result, "task", "epoch", "outcome"),
    "record": _parsing(paths.parse_record, "task"),
    "level": _parsing(lambda name: int(name) if name in paths.LEVELS else None, "level"),
    "block": _parsing(paths.parse_block, "number"),
}


def _id(given: Given) -> Given:
    try:
        return {"id": ids.check(given["value"])}
    except UsageError:
        return {"id": None}


# -- placement, order --------------------------------------------------------------------------------------------


def _place(given: Given) -> Given:
    spot = placement.location_of(records.checked(given["definition"]), given["standing"].__getitem__)
    return {"state": spot.state, "detail": spot.detail} if spot.detail else {"state": spot.state}


def _results(given: Given) -> Given:
    ended = placement.outcomes(given["task"], given["names"])
    return {"attempts": placement.attempts(ended), "highest_epoch": placement.highest_epoch(ended)}


def _cycle(given: Given) -> Given:
    return {"cycle": placement.cycle_through(given["start"], given["dependencies"].__getitem__)}


def _level(given: Given) -> Given:
    try:
        return {"level": records.priority_level(given["priority"])}
    except UsageError:
        return {"level": None}


def _tries(given: Given) -> Given:
    ordered = placement.in_order(given["names"])
    return {"tickets": [str(ticket) for ticket in placement.attempt_order(ordered, given["seed"])]}


def _parsed(name: str) -> paths.Ticket:
    ticket = paths.parse_ticket(name)
    assert ticket
    return ticket


def _progress(given: Given) -> Given:
    return {"progress": records.steps_progress(records.checked(given["definition"]), given["steps_done"])}


# -- folds -------------------------------------------------------------------------------------------------------


def _seen(given: Given) -> list[Location]:
    return [Location(s["task"], s["state"], s["detail"], s["epoch"], s["path"]) for s in given["sightings"]]


def _fold(given: Given) -> Given:
    return {"states": {task: sighting.path for task, sighting in placement.fold(_seen(given)).items()}}


def _row(row: Given) -> views.Row:
    lost = row["state"] == "missing"
    return views.Row(
        row["task"],
        records.define(row["task"], "T"),
        None if lost else Location(row["task"], row["state"], row["detail"], 1, ""),
        holder=row.get("holder", ""),
        entry={"progress": row["progress"]} if "progress" in row else {},
        finished_by=row.get("finished_by", ""),
    )


def _summary(given: Given) -> Given:
    return views.summary(map(_row, given["rows"]))


# -- verdicts ----------------------------------------------------------------------------------------------------


def _process(given: Given) -> Given:
    def among(key: str) -> Callable[[Given], bool]:
        return lambda process: {"pid": process["pid"], "start": process["start"]} in given[key]

    verdict = liveness.by_process(given["record"], given["here"], among("running"), among("stopped"))
    return {"verdict": verdict.state}


def _activity(given: Given) -> Given:
    silence = Silence()
    for look in given["looks"]:
        silence.look(look["at"], look["entries"], given["interval"])
        if look["at"] == given["challenged_at"]:
            silence.challenged_at, silence.challenger = look["at"], paths.parse_incarnation(given["challenger"])
    return {"verdict": liveness.by_activity(silence, given["ttl"], given["patience"]).state}


def _combined(given: Given) -> Given:
    process, activity = (Verdict(given[key], "it was given") for key in ("process", "activity"))
    return {"verdict": liveness.combined({}, process, activity, given["session_runs"]).state}


def _watched(given: Given) -> Given:
    me, leader = paths.parse_incarnation(given["me"]), paths.parse_incarnation(given["leader"] or "")
    assert me
    peers = [peer for peer in map(paths.parse_incarnation, given["peers"]) if peer]
    return {"watched": [str(peer) for peer in liveness.watched(me, peers, leader)]}


# -- the door ----------------------------------------------------------------------------------------------------


def _request(given: Given) -> Given:
    data = "\0".join(given["fields"]).encode() + (b"\0" if given["ended"] else b"")
    found = protocol.parse_request(data, given["number"])
    if found is None:
        return {"request": None}
    assert found.encode() == data or len(found.tickets) < len(given["fields"][3].split()) or not found.pid
    shown = {key: getattr(found, key) for key in ("number", "incarnation", "pid", "parent", "cwd", "words")}
    return {"request": {**shown, "tickets": list(map(str, found.tickets))}}


def _fits(given: Given) -> Given:
    tickets = protocol.parse_tickets(" ".join(given["tickets"]))
    asked = protocol.Request("1", given["words"], incarnation=given["incarnation"], tickets=tickets)
    now = given["now"]
    return {
        "fits": not protocol.outdated(
            asked, verbs.of(asked).task, now["incarnation"], [_parsed(name) for name in now["held"]]
        )
    }


# -- memory ------------------------------------------------------------------------------------------------------


def _merge(given: Given) -> Given:
    whole = given["document"]
    texts = {digest(text.encode()): text.encode() for text in given["texts"]}
    found = [contribution.check(raw) for raw in given["contributions"]]
    with merger() as merge3:
        document_ = None if whole is None else whole.encode()
        outcome = merge(given["file"], document_, found, texts, merge3, settled=given["settled"])
    places = dict.fromkeys(outcome.applied, "applied") | dict.fromkeys(outcome.duplicates, "duplicate")
    places |= dict.fromkeys(outcome.superseded, "superseded") | dict.fromkeys(outcome.waiting, "waiting")
    places |= dict.fromkeys(outcome.rejected, "rejected")
    places |= {member: "candidate" for one in outcome.candidates for member in one.members}
    shown = [
        {"conflict": one.conflict, "contributions": list(one.members), "left": one.left.text, "right": one.right.text}
        for one in outcome.candidates
    ]
    return {"document": outcome.document.decode(), "places": places, "candidates": shown}


def _base(given: Given) -> Given:
    section = split_document(given["document"].encode()).find(tuple(given["section"]))
    return {"base": section.hash if section else None}


def _sections(given: Given) -> Given:
    found = split_document(given["document"].encode()).sections
    return {"sections": [list(section.path) for section in found]}


def _crash(given: Given) -> Given:
    call, end = sequences.rows()[f"{given['sequence']} {given['step']}"]
    return {"call": call, "end": end}


RULES: dict[str, Callable[[Given], Given]] = {
    "parse": lambda given: {"parsed": PARSERS[given["kind"]](given["name"])},
    "shard": lambda given: {"shard": paths.shard(given["id"])},
    "block": lambda given: {"block": paths.ready_shard(given["order"])},
    "public": lambda given: {"json": ids.public(given["id"])},
    "id": _id,
    "place": _place,
    "results": _results,
    "cycle": _cycle,
    "level": _level,
    "in-order": lambda given: {"tickets": [str(ticket) for ticket in placement.in_order(given["names"])]},
    "tries": _tries,
    "claimed": lambda given: {"ticket": str(_parsed(given["ticket"]).claimed())},
    "completed": lambda given: {"ticket": str(_parsed(given["ticket"]).completed())},
    "progress": _progress,
    "fold": _fold,
    "surplus": lambda given: {"goes": [low.path for low in placement.lower_names(_seen(given))]},
    "leader-surplus": lambda given: {"goes": placement.lower_leader_names(given["names"])},
    "summary": _summary,
    "process": _process,
    "activity": _activity,
    "combined": _combined,
    "watched": _watched,
    "merge": _merge,
    "base": _base,
    "sections": _sections,
    "request": _request,
    "fits": _fits,
    "crash": _crash,
    "names-file": lambda given: {"option": verbs.file_option(verbs.read(given["words"])) or None},
}


# -- the tests ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", [pytest.param(vector, id=name) for name, vector in loaded()])
def test_the_core_does_what_the_vector_says(vector: Given) -> None:
    found = RULES[vector["rule"]](vector["given"])
    assert {key: found[key] for key in vector["then"]} == vector["then"]
    for key, value in vector["then"].items():
        assert type(found[key]) is type(value), f"{key}: {found[key]!r} for {value!r}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_of_vectors_is_valid_and_says_everything_once(path: Any) -> None:
    vectors = json.loads(path.read_text(encoding="utf-8"))
    schema = json.loads((document.VECTORS / "vectors.schema.json").read_text(encoding="utf-8"))
    document.Draft202012Validator(schema).validate(vectors)
    said = [vector["description"] for vector in vectors["vectors"]]
    assert len(said) == len(set(said))


def test_every_kind_of_name_and_its_keys_are_described() -> None:
    described = document.table("## Kinds of names", (document.VECTORS / "README.md").read_text(encoding="utf-8"))
    keys = {document.code(row[0]): set(re.findall(r"`([a-z]+)`", row[2])) - {"null"} for row in described}
    parsed = [(v["given"]["kind"], v["then"]["parsed"]) for _, v in loaded() if v["rule"] == "parse"]
    assert {kind for kind, found in parsed if found} == set(keys) == set(PARSERS)
    assert all(set(found) == keys[kind] for kind, found in parsed if found)


def test_every_rule_is_used_and_described() -> None:
    used = {vector["rule"] for _, vector in loaded()}
    described = document.table("## Rules", (document.VECTORS / "README.md").read_text(encoding="utf-8"))
    assert used == set(RULES)
    assert used == {rule for row in described for rule in re.findall(r"`([^`]+)`", row[0])}

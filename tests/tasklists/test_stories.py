"""Stories as files: each file of ``stories/`` holds what people and peers do, and what each sync or import makes of it.

After a change that is meant, write the results again with ``pytest tests/tasklists/test_stories.py --regenerate``.
"""

from __future__ import annotations

import difflib
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import golden
from support.lists import FileLists

from peercoord.errors import PeercoordError
from peercoord.membership.membership import judge
from peercoord.queue.reassign import reassign
from peercoord.queue.renaming import rename
from peercoord.queue.worker import Worker
from peercoord.status import views
from peercoord.status.board import Reader
from peercoord.tasklists.importer import take_in
from peercoord.tasklists.source import read_source

DATA = Path(__file__).parent / "data"
HIDDEN_HERE = ("$schema", "schema_version", "task_id", "source")  # the same in all stories, or shown by ``read``
HIDDEN_THERE = ("instance_progress", "coordination_data")  # for ``ask``
TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'peercoord%' ORDER BY name"
TOKEN = re.compile(r"(\w+)~\d+~\w+")


class Story:
    """One project, its database, and its ``tasks.json`` if the story makes one.

    A file is a title and steps that begin with ``>>>``. What people do: ``plain`` (rows of a plain table), ``sql`` (a
    script for the database), ``file`` (what is written to ``tasks.json``; ``file NAME`` another one), ``do`` (a command
    in each line; what is refused is shown below it; ``put``, ``copy`` and ``drop`` edit ``tasks.json``). What is shown:
    ``sync`` (until nothing is left to do: what was refused, and all that changed on either side), ``read`` (what an
    import finds: in which file, with which tag, of which project) and ``ask`` (a query).
    """

    def __init__(self, home: Path) -> None:
        self.lists = FileLists(home, frozen=True)
        self.lists.path.touch()
        self.workers: dict[str, Worker] = {}
        self.seen = self.state()

    def play(self, text: str) -> str:
        """The file as it is with the results of these steps."""
        written, parts = golden.steps(text)
        for head, body in parts:
            word, _, more = head.partition(" ")
            step: Callable[[str, str], str] = getattr(self, word)
            written += f">>> {head}\n{step(more, body)}"
        return written

    # -- what people do --------------------------------------------------------------------------------------

    def plain(self, _: str, body: str) -> str:
        found = [shlex.split(line) for line in body.splitlines()]
        self.lists.plain(*((int(task), title, "", *more) for task, title, *more in found))
        self.seen = self.state()
        return body

    def sql(self, _: str, body: str) -> str:
        self.lists.make(body)
        self.seen = self.state()
        return body

    def file(self, name: str, body: str) -> str:
        if name:
            (self.lists.home / name).write_text(body)
        else:
            self.lists.write(json.loads(body))
        return body

    def do(self, _: str, body: str) -> str:
        written = ""
        for line in body.splitlines():
            if line.startswith("  !"):
                continue
            try:
                refused = self.command(*shlex.split(line)) or []
            except PeercoordError as error:
                refused = [error.message]
            written += "".join(f"{text}\n" for text in (line, *(self.shown(f"  ! {why}") for why in refused)))
        self.seen = self.state()
        return written

    def command(self, who: str, *words: str) -> list[str] | None:
        """Carry out one line; return what an import refuses."""
        queue, given = self.lists.queue, [word for word in words if not word.startswith("{")]
        more = [json.loads(word) for word in words if word.startswith("{")]
        if who in ("add", "edit", "cancel", "reopen"):
            getattr(self.lists if who == "add" else queue, who)(*given, **(more or [{}])[0])
        elif who in ("rename", "reassign"):
            {"rename": rename, "reassign": reassign}[who](queue, *given)
        elif who in ("put", "copy", "drop"):
            self.rewrite(who, int(given[0]), *more)
        elif who == "import":
            home = None if given[0].startswith("HOME") else self.lists.home  # a full path is noted as it is
            path = self.lists.home / given[0].removeprefix("HOME/")
            found = read_source(str(path), *given[1:], home=home).tasks
            return [f"{what}: {why}" for what, why in take_in(queue, found, **(more or [{}])[0]).refused]
        else:
            self.workers[who] = self.workers.get(who) or self.lists.join(who)
            getattr(self.workers[who], given[0])(*given[1:], *more)
        return None

    def rewrite(self, how: str, task: int, change: dict[str, Any] | None = None) -> None:
        """Change, copy or remove an entry of ``tasks.json``."""
        data = json.loads(self.lists.file.read_text())
        entries = data.get("master", data)["tasks"]
        at, entry = next(each for each in enumerate(entries) if each[1]["id"] == task)
        entries[at : at + 1] = {"put": [{**entry, **(change or {})}], "copy": [entry, {**entry, **(change or {})}]}.get(
            how, []
        )
        self.lists.write(data)

    # -- what is shown ---------------------------------------------------------------------------------------

    def sync(self, options: str, _: str) -> str:
        lists, found = self.lists, dict[str, None]()
        flags = [word[2:].replace("-", "_") for word in options.split() if word.startswith("--")]
        tag = next((word for word in options.split() if not word.startswith("--")), None)
        both: list[Any]
        before, left = lists.file.read_text() if lists.file.exists() else "", []
        try:
            for _ in range(4):
                both = [lists.tasks_file(lists.file, tag), None] if lists.file.exists() else [None]
                done = [
                    lists.sync(one or lists.store(summary=self.summary), **dict.fromkeys(flags, True)) for one in both
                ]
                found |= dict.fromkeys(f"refused: {what}: {why}" for one in done for what, why in one.refused)
                left = [one.task for outcome in done for one in outcome.comparisons]
                if not left:
                    break
        except PeercoordError as error:
            found |= dict.fromkeys([f"fails ({error.code}): {error.message}", f"  hint: {error.hint}"])
        lines = [*found, *([f"still differ: {', '.join(left)}"] if left else []), *self.changes()]
        after = lists.file.read_text() if before else ""
        lines += [line for line in difflib.ndiff(before.splitlines(), after.splitlines()) if line[0] in "+-"]
        return self.shown("".join(f"{line}\n" for line in lines or ["nothing changes"]))

    def read(self, options: str, _: str) -> str:
        name, tag, project = [*options.split(), "", ""][:3]
        path = self.lists.home / name
        try:
            reading = read_source(
                str(path if path.exists() else DATA / name), tag.strip("-") or None, path.parent, project
            )
        except PeercoordError as error:
            return self.shown(f"fails ({error.code}): {error.message}\n  hint: {error.hint}\n")
        lines = [f"refused: {what}: {why}" for what, why in reading.refused]
        for task in reading.tasks:
            raw = shortened(task.definition.raw, HIDDEN_HERE)
            source = {key: value for key, value in task.definition.raw["source"].items() if key in ("tag", "extra")}
            lines.append(f"{task.definition.task} {task.state}{f': {task.reason}' if task.reason else ''}")
            lines += [f"  {key}: {json.dumps(value, ensure_ascii=False)}" for key, value in {**raw, **source}.items()]
        return self.shown("".join(f"{line}\n" for line in lines))

    def ask(self, query: str, _: str) -> str:
        return "".join(f"{' | '.join(map(str, row))}\n" for row in self.lists.sql(query))

    def shown(self, text: str) -> str:
        return text.replace(str(self.lists.home), "HOME").replace(str(DATA), "DATA")

    def summary(self) -> dict[str, Any]:
        return views.summary(Reader(self.lists.queue, lambda who: judge(self.lists.root, who)).board().rows)

    def state(self) -> dict[str, dict[str, Any]]:
        """All that both sides hold, but for what is the same in all stories."""
        found = {}
        for task in sorted(self.lists.queue.all_tasks()):
            state = TOKEN.sub(r"\1", " ".join(self.lists.state(task))).strip()
            found[f"here {task}"] = {"state": state, **shortened(self.lists.raw(task), HIDDEN_HERE)}
        for (table,) in self.lists.sql(TABLES):
            columns = [row[1] for row in self.lists.sql(f"PRAGMA table_info({table})")]
            for row_id, *values in self.lists.sql(f"SELECT rowid, * FROM {table}"):
                found[f"{table} {row_id}"] = shortened(dict(zip(columns, values, strict=True)), HIDDEN_THERE)
        return found

    def changes(self) -> list[str]:
        before, self.seen = self.seen, self.state()
        lines = [f"{what}: gone" for what in before if what not in self.seen]
        for what, now in self.seen.items():
            was = before.get(what, {})
            changed = {key: now.get(key) for key in {**was, **now} if now.get(key) != was.get(key)}
            words = [f"{key} {json.dumps(value, ensure_ascii=False)}" for key, value in changed.items()]
            lines += [f"{what}: {', '.join(words)}"] if words else []
        return lines


def shortened(record: dict[str, Any], hidden: tuple[str, ...]) -> dict[str, Any]:
    return {
        key: value.hex() if isinstance(value, bytes) else value
        for key, value in record.items()
        if key not in hidden and value not in (None, "", [])
    }


@golden.files(Path(__file__).parent / "stories")
def test_a_story_ends_as_its_file_says(path: Path, place: Path, request: pytest.FixtureRequest) -> None:
    golden.check(path, Story(place).play, request)

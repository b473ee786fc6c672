"""Tell the coding agents that a person starts about peercoord, and take it back without a trace.

``peercoord setup`` writes a hook script of its own into the person's data directory, and names it where the agent looks
for hooks: in a file of ours where the agent takes one, otherwise by an insertion into the person's file. What was
inserted is recorded beside the script, so that its removal leaves every other byte as it is.
"""

from __future__ import annotations

import os
import shlex
import shutil
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from peercoord.errors import PeercoordError
from peercoord.foreign import plain
from peercoord.integrations import jsonc, script, settings
from peercoord.integrations.agents import CLAUDE, CODEX, COPILOT, GEMINI, OPENCODE
from peercoord.integrations.person_file import PersonFile
from peercoord.store import records
from peercoord.system import child

if TYPE_CHECKING:
    from collections.abc import Mapping

    from peercoord.foreign import Json
    from peercoord.integrations.agents import CodingAgent

SCRIPT, RECORD = "hook.sh", "setup.json"
BEGIN, END = "<!-- BEGIN peercoord: written and removed by `peercoord setup` -->", "<!-- END peercoord -->"
BLOCK = f"""\
{BEGIN}
## Team

If this checkout has a directory `.claude-instance/`, it is one worktree of a team of coding agents. Tasks are taken and
reported with these commands, typed as they stand here, from the top of the checkout:

- `./.claude-instance/coordinate.sh request-task` hands out the next task and says what it is.
- `./.claude-instance/coordinate.sh report-progress --progress 0.5` says how far it is.
- `./.claude-instance/coordinate.sh report-progress --status done` completes it; `blocked` or `review` are other ends.
- `./.claude-instance/coordinate.sh update-memory --file NAME.md --section TITLE --content "- TEXT"` adds to the memory
  bank, which is read in `memory-bank/` and not edited there.
- `./.claude-instance/coordinate.sh check-status` shows the team.
{END}
"""

COMMITS = """\
# Written by `peercoord setup codex --allow-commits`; it goes with `peercoord setup codex --remove`.
# The sandbox keeps the git directory of a worktree from being written. These commands run outside of it, in every
# project, and with them the hooks of the repository.
prefix_rule(
    pattern = ["git", ["add", "commit", "merge"]],
    decision = "allow",
    match = ["git add .", "git commit -m text"],
    not_match = ["git push", "git -c core.editor=true commit"],
)
"""


class PersonalSetup:
    """What of peercoord is set up for one person.

    Args:
        env: The environment that says where the person's files are.
    """

    def __init__(self, env: Mapping[str, str] | None = None) -> None:
        self._env = os.environ if env is None else env
        self._person = Path(self._env.get("HOME") or Path.home())
        self.home = self._directory("XDG_DATA_HOME", ".local/share") / "peercoord"
        self.script = self.home / SCRIPT

    def target(self, agent: CodingAgent) -> Path:
        """Return the file in which a coding agent looks for a person's hooks."""
        if agent is CLAUDE:
            return self._directory("CLAUDE_CONFIG_DIR", ".claude") / "settings.json"
        if agent is CODEX:
            return self._directory("CODEX_HOME", ".codex") / "hooks.json"
        if agent is GEMINI:
            return self._directory("GEMINI_CLI_HOME", "") / ".gemini" / "settings.json"
        if agent is COPILOT:
            return self._directory("COPILOT_HOME", ".copilot") / "hooks" / "peercoord.json"
        config = self._directory("XDG_CONFIG_HOME", ".config") / "opencode"
        return self._directory("OPENCODE_CONFIG_DIR", str(config)) / "plugins" / "peercoord.js"

    def content(self, agent: CodingAgent) -> str:
        """Return what a file of ours for an agent holds, or what goes into the person's file."""
        if agent is OPENCODE:
            return script.plugin(str(self.script), "")
        return jsonc.extend("", settings.hooks(agent, str(self.script))).text

    @property
    def rules(self) -> Path:
        """The file of ours that lets Codex commit without a question."""
        return self.target(CODEX).parent / "rules" / "peercoord.rules"

    def known(self, agent: CodingAgent) -> Json | None:
        """Return the record of what was inserted for an agent; ``None`` if nothing was."""
        found = _table(self._record(), "agents").get(agent.key)
        return found if isinstance(found, dict) else None

    def set_up(self, agent: CodingAgent, block: Path | None = None, commits: bool = False) -> list[str]:
        """Set an agent up, or bring its hooks up to date.

        Args:
            agent: The coding agent.
            block: A file of instructions that gets a block too.
            commits: Let it commit without a question; for Codex alone, whose sandbox keeps it from that.

        Returns:
            What was written, one line each; nothing if all was there.

        Raises:
            PeercoordError: A file could not be changed; those named before it were.
        """
        known = self.known(agent) or {}
        target = self.target(agent)
        file = PersonFile.read(target, self._by_hand(agent))
        text, pieces = self._with_hooks(agent, file, known)
        done = []
        if made := _make_directories(self.home):
            record = {"schema_version": records.SCHEMA_VERSION, "directories": made}
            PersonFile.read(self.home / RECORD, "remove it").replace(records.encode(record).decode())
        if self._write_script():
            done.append(f"wrote {plain(self.script)}")
        if text != file.text or file.data is None or not known:
            created = file.data is None or bool(known.get("created") and known.get("path") == str(file.path))
            made = [*known.get("directories", []), *_make_directories(file.path.parent)]
            note = {"path": str(file.path), "created": created, "directories": made, "pieces": pieces}
            self._note(agent, {**known, **note})
            if text != file.text:
                file.replace(text)
                done.append(f"wrote {plain(target)}" if created else f"added the hooks to {plain(target)}")
        if commits and self._allow_commits(agent):
            done.append(f"wrote {plain(self.rules)}")
        if block is not None and self._add_block(agent, block):
            done.append(f"added a block to {plain(block)}")
        return done

    def remove(self, agent: CodingAgent) -> list[str]:
        """Take away what was set up for an agent; return what was done, one line each.

        Raises:
            PeercoordError: A file could not be changed; those named before it were.
        """
        known = self.known(agent) or {}
        done = []
        for noted in known.get("blocks", []):
            done += self._remove_block(noted)
        if known.get("blocks"):
            known = {**known, "blocks": []}
            self._note(agent, known)
        path = Path(str(known.get("path") or self.target(agent)))
        file = PersonFile.read(path, "take out by hand what names " + shlex.quote(str(self.script)))
        if file.data is not None:
            text = self._without_hooks(agent, file, known)
            is_empty = not text.strip() or text.split() in (["{}"], ["{", "}"])
            if known.get("created") and is_empty:
                file.remove()
                done.append(f"removed {plain(path)}")
            elif text != file.text:
                file.replace(text)
                done.append(f"took the hooks out of {plain(path)}")
        if agent is CODEX:
            done += self._forbid_commits()
        _remove_directories(known.get("directories", []))
        if self.home.is_dir():
            self._note(agent, None)
            if not _table(self._record(), "agents"):
                done += self._remove_home()
        return done

    def note_team(self, worktree: str, script: str) -> None:
        """Note where the team's own script is, so that the person's script hands a worktree's events to it.

        Args:
            worktree: Absolute path of the worktree, of which the caller knows whose it is.
            script: Absolute path of the team's script.
        """
        place = self._team_note(worktree)
        with suppress(PeercoordError, OSError, ValueError):  # without the note, each event starts Python
            if self.script.exists() and not self.knows_team(worktree, script):
                _make_directories(place.parent)
                PersonFile.read(place, "remove it").replace(f"{script}\n")

    def knows_team(self, worktree: str, script: str) -> bool:
        """Check whether a worktree was noted as that of a team's script."""
        place = self._team_note(worktree)
        return place.exists() and place.read_text() == f"{script}\n"

    def _team_note(self, worktree: str) -> Path:
        return self.home / "at" / worktree.strip("/") / ".hook"

    # -- the hooks in a file ---------------------------------------------------------------------------------------

    def _with_hooks(self, agent: CodingAgent, file: PersonFile, known: Json) -> tuple[str, list[str]]:
        """Return a file's text with our hooks, and the pieces that were put in."""
        if agent in (COPILOT, OPENCODE):
            if file.data is not None and not self._is_ours(file.text):
                raise file.refusal("it is not peercoord's")
            if file.data is not None and not self._is_as_written(agent, file, known):
                raise file.refusal("it was edited since peercoord wrote it")
            text = self.content(agent)
            return text, [text]
        base = self._without_hooks(agent, file, known)
        try:
            edit = jsonc.extend(base, settings.hooks(agent, str(self.script)))
        except jsonc.JsonError as error:
            raise file.refusal(f"it cannot be read as JSON: {error}") from None
        if edit.pieces == known.get("pieces") and all(file.text.count(piece) == 1 for piece in edit.pieces):
            return file.text, edit.pieces  # it is there, wherever the person has put other things since
        return edit.text, edit.pieces

    def _without_hooks(self, agent: CodingAgent, file: PersonFile, known: Json) -> str:
        """Return a file's text without our hooks."""
        pieces = known.get("pieces")
        if agent in (COPILOT, OPENCODE):
            if not self._is_ours(file.text):
                return file.text
            if self._is_as_written(agent, file, known):
                return ""
            if agent is OPENCODE:  # its whole text is code
                raise file.refusal("it was edited since peercoord wrote it")
        if isinstance(pieces, list) and pieces and known.get("path") == str(file.path):
            without = jsonc.take_out(file.text, pieces)
            if without is not None:
                return without
        try:
            return jsonc.prune(file.text, lambda entry: settings.is_handler(entry, str(self.script)))
        except jsonc.JsonError as error:
            raise file.refusal(f"it cannot be read as JSON: {error}") from None

    def _is_as_written(self, agent: CodingAgent, file: PersonFile, known: Json) -> bool:
        return file.text in (*known.get("pieces", ()), self.content(agent))

    def _is_ours(self, text: str) -> bool:
        return str(self.script) in text or "peercoord" in text.split("\n", 1)[0]

    def _by_hand(self, agent: CodingAgent) -> str:
        return f"put in by hand what this prints: peercoord setup {agent.key} --print"

    # -- a block in a file of instructions ---------------------------------------------------------------------------

    def _add_block(self, agent: CodingAgent, named: Path) -> bool:
        file = PersonFile.read(named, f"put this in by hand:\n{BLOCK}")
        if BEGIN in file.text:
            return False
        newline = "\r\n" if "\r\n" in file.text else "\n"
        lead = "" if not file.text else newline if file.text.endswith("\n") else newline * 2
        piece = lead + BLOCK.replace("\n", newline)
        known = self.known(agent) or {}
        noted = {"path": str(file.path), "created": file.data is None, "piece": piece}
        self._note(agent, {**known, "blocks": [*known.get("blocks", []), noted]})
        file.replace(file.text + piece)
        return True

    def _remove_block(self, noted: Json) -> list[str]:
        path = Path(str(noted["path"]))
        file = PersonFile.read(path, f"take out by hand what stands between {BEGIN} and {END}")
        text = jsonc.take_out(file.text, [str(noted["piece"])])
        if text is None:  # someone has edited the block, or what is around it
            before, begin, rest = file.text.partition(BEGIN)
            _, end, after = rest.partition(END)
            if not begin or not end:
                return []
            text = before + after.removeprefix("\r").removeprefix("\n")
        if noted["created"] and not text:
            file.remove()
        else:
            file.replace(text)
        return [f"took the block out of {plain(path)}"]

    # -- commits of Codex --------------------------------------------------------------------------------------------

    def _allow_commits(self, agent: CodingAgent) -> bool:
        file = PersonFile.read(self.rules, "remove it")
        if file.text == COMMITS:
            return False
        if file.data is not None:
            raise file.refusal("it was edited since peercoord wrote it")
        known = self.known(agent) or {}
        self._note(
            agent, {**known, "directories": [*known.get("directories", []), *_make_directories(self.rules.parent)]}
        )
        file.replace(COMMITS)
        return True

    def _forbid_commits(self) -> list[str]:
        file = PersonFile.read(self.rules, "remove it")
        if file.data is None:
            return []
        if file.text != COMMITS:
            raise file.refusal("it was edited since peercoord wrote it")
        file.remove()
        return [f"removed {plain(self.rules)}"]

    # -- our own files -----------------------------------------------------------------------------------------------

    def _write_script(self) -> bool:
        """Write the hook script; ``False`` if it is there."""
        python, flag = child.command()[:2]
        template = files("peercoord.integrations").joinpath("personal.sh").read_text(encoding="utf-8")
        text = template.replace("@PYTHON@", shlex.quote(python)).replace("@FLAG@", flag)
        file = PersonFile.read(self.script, "remove it")
        is_program = file.data is not None and os.access(self.script, os.X_OK)
        if file.data == text.encode() and is_program:
            return False
        file.replace(text)
        self.script.chmod(0o755)
        return True

    def _remove_home(self) -> list[str]:
        """Remove the script, the record and the marks of hooks that fired."""
        directories = self._record().get("directories", [])
        done = [f"removed {plain(self.script)}"] if self.script.exists() else []
        for path in (self.script, self.home / RECORD, *self.home.glob("fired-*")):
            path.unlink(missing_ok=True)
        shutil.rmtree(self.home / "at", ignore_errors=True)
        _remove_directories(directories)
        return done

    def _record(self) -> Json:
        try:
            return records.decode((self.home / RECORD).read_bytes(), RECORD)
        except FileNotFoundError:
            return {}

    def _note(self, agent: CodingAgent, value: Json | None) -> None:
        """Record what was inserted for an agent; nothing any more if ``None``."""
        record = self._record()
        agents = {key: known for key, known in _table(record, "agents").items() if key != agent.key}
        if value is not None:
            agents[agent.key] = value
        record = {"schema_version": records.SCHEMA_VERSION, **record, "agents": agents}
        PersonFile.read(self.home / RECORD, "remove it").replace(records.encode(record).decode())

    def _directory(self, variable: str, otherwise: str) -> Path:
        named = self._env.get(variable, "")
        return Path(named) if os.path.isabs(named) else self._person / otherwise


def _table(record: Json, key: str) -> Json:
    found = record.get(key)
    return found if isinstance(found, dict) else {}


def _remove_directories(made: list[str]) -> None:
    for directory in reversed(made):
        with suppress(OSError):
            os.rmdir(directory)


def _make_directories(path: Path) -> list[str]:
    """Make a directory and those above it; return what was made, outermost first."""
    if path.is_dir():
        return []
    above = _make_directories(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)
    return [*above, str(path)]

"""The coordination directory: made in one step, known by its store id, never made by accident."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.faults import Failing, full
from support.worlds import PROTOCOL, World

from peercoord.errors import BrokenFileError, NotFoundError, PeercoordError, StorageError
from peercoord.store import paths, records
from peercoord.store import root as roots
from peercoord.store.settings import DEFAULT_SETTINGS, EVENTS_BYTES
from peercoord.system.disk import Disk


@pytest.fixture
def root(tmp_path: Path) -> roots.Root:
    return roots.create(f"{tmp_path}/root", "x")


class TestMaking:
    def test_it_has_every_directory_its_settings_and_the_leaders_ticket(self, tmp_path: Path) -> None:
        root = roots.create(f"{tmp_path}/root", "my project", {"max_attempts": 5})
        assert os.listdir(tmp_path) == ["root"]
        assert all((tmp_path / "root" / directory).is_dir() for directory in paths.SKELETON)
        assert root.files.scan(paths.LEADER) == ["leader~0"]
        assert (root.protocol["project"], root.number("max_attempts")) == ("my project", 5)
        assert roots.open_root(f"{tmp_path}/root", root.store_id).store_id == root.store_id
        assert roots.create(f"{tmp_path}/root", "made twice it is the same").store_id == root.store_id
        assert os.listdir(tmp_path) == ["root"]

    def test_of_two_that_make_it_at_once_one_wins_and_both_open_that(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        built = roots.Files(Disk(str(tmp_path)), lambda: "t0ken")
        roots.build(built, "other", {**PROTOCOL, "store_id": "winner"})

        class Beaten(Disk):
            def rename(self, source: str, target: str) -> None:
                if target == "root" and os.path.exists(f"{tmp_path}/other"):
                    os.rename(f"{tmp_path}/other", f"{tmp_path}/root")
                super().rename(source, target)

        monkeypatch.setattr(roots, "Disk", Beaten)
        assert roots.create(f"{tmp_path}/root", "mine").store_id == "winner"
        assert os.listdir(tmp_path) == ["root"]

    def test_a_full_disk_leaves_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def tight(root: str) -> Failing:
            return Failing(Disk(root), lambda call: full(call) if "protocol" in call.path else None)

        monkeypatch.setattr(roots, "Disk", tight)
        with pytest.raises(StorageError, match="the disk is full"):
            roots.create(f"{tmp_path}/root", "x")
        assert os.listdir(tmp_path) == []

    def test_it_replaces_no_file_and_makes_no_project(self, tmp_path: Path) -> None:
        (tmp_path / "root").write_text("precious")
        with pytest.raises(StorageError, match="root"):
            roots.create(f"{tmp_path}/root", "x")
        with pytest.raises(StorageError):
            roots.create(f"{tmp_path}/no/root", "x")
        assert os.listdir(tmp_path) == ["root"]
        assert (tmp_path / "root").read_text() == "precious"


class TestOpening:
    def test_opening_makes_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(NotFoundError, match="is no coordination directory") as caught:
            roots.open_root(f"{tmp_path}/root")
        assert "claude-team-coordinated" in caught.value.hint
        assert os.listdir(tmp_path) == []

    def test_another_store_is_refused(self, tmp_path: Path, root: roots.Root) -> None:
        with pytest.raises(NotFoundError, match=rf"is another store \({root.store_id}\)") as caught:
            roots.open_root(f"{tmp_path}/root", "expected")
        assert caught.value.code == "other-store"

    @pytest.mark.parametrize(
        "data", [b"", b"{", b"[]", b"{}", b'{"protocol": 5}', b'{"protocol": {"least_writer": "1"}}']
    )
    def test_a_broken_protocol_file_is_named_and_kept(self, tmp_path: Path, root: roots.Root, data: bytes) -> None:
        root.files.put(paths.PROTOCOL, data)
        with pytest.raises(BrokenFileError, match=r"root/protocol\.json"):
            roots.open_root(f"{tmp_path}/root")
        assert root.files.read(paths.PROTOCOL) == data

    def test_a_newer_protocol_asks_for_a_newer_program(self, tmp_path: Path, root: roots.Root) -> None:
        newer = {**root.protocol, "protocol": {"version": 9, "least_reader": 1, "least_writer": 9}}
        root.files.put(paths.PROTOCOL, records.encode(newer))
        with pytest.raises(PeercoordError, match="needs protocol version 9") as caught:
            roots.open_root(f"{tmp_path}/root")
        assert caught.value.code == "version"

    @pytest.mark.parametrize("settings", [None, [], "x", 5, {"max_attempts": "3"}, {"max_attempts": 0}])
    def test_unusable_settings_are_the_defaults(self, settings: object) -> None:
        world = World.new()
        world.protocol["settings"] = settings
        assert world.root.number("max_attempts") == DEFAULT_SETTINGS["max_attempts"]
        assert world.root.setting("uncommitted") == "warn"


class TestEvents:
    def test_events_are_lines_in_a_file_that_is_rotated(self) -> None:
        root = World.new().root
        root.event("w", "claimed", task="1")
        root.event("w", "done", text="two\nlines")
        lines = (root.files.read(paths.events("w")) or b"").splitlines()
        assert [records.decode(line, "x")["event"] for line in lines] == ["claimed", "done"]
        root.files.append(paths.events("w"), b"x" * EVENTS_BYTES)
        root.event("w", "one more")
        root.event("w", "after")
        assert sorted(root.files.scan(paths.EVENTS)) == ["w.jsonl", "w.jsonl.1"]
        assert b"after" in (root.files.read(paths.events("w")) or b"")

    def test_an_event_that_cannot_be_written_stops_nothing(self) -> None:
        root = World.new().root
        root.event("w", "odd", text="\udcff")
        root.files.remove_dir(paths.EVENTS)
        root.event("w", "lost")
        assert root.files.scan(paths.EVENTS) == []

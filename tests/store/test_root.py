"""The coordination directory as a whole: made in one step, known by its store id, never made on the way."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest
from support.faults import Crash, Crashing, Failing, full

from peercoord.errors import BrokenFileError, NotFoundError, PeercoordError, StorageError
from peercoord.store import paths, records
from peercoord.store import root as roots
from peercoord.store.settings import DEFAULT_SETTINGS, EVENTS_BYTES
from peercoord.system.disk import Disk


def listed(home: Path) -> list[str]:
    return sorted(os.listdir(home))


def spoil(root: roots.Root, **changes: object) -> None:
    root.files.put(paths.PROTOCOL, records.encode({**root.protocol, **changes}))


class TestMaking:
    def test_it_holds_every_directory_its_settings_and_the_leaders_ticket(self, tmp_path: Path) -> None:
        root = roots.create(f"{tmp_path}/root", "my project", {"max_attempts": 5})
        assert listed(tmp_path) == ["root"]
        assert all((tmp_path / "root" / directory).is_dir() for directory in paths.SKELETON)
        assert root.files.scan(paths.LEADER) == ["leader~0"]
        assert (root.protocol["project"], root.number("max_attempts")) == ("my project", 5)
        assert roots.open_root(f"{tmp_path}/root", root.store_id).store_id == root.store_id

    def test_made_twice_it_is_the_same(self, tmp_path: Path) -> None:
        first = roots.create(f"{tmp_path}/root", "one")
        assert roots.create(f"{tmp_path}/root", "two").store_id == first.store_id
        assert listed(tmp_path) == ["root"]

    def test_of_two_that_make_it_at_once_one_wins_and_both_open_that(self, tmp_path: Path) -> None:
        path = f"{tmp_path}/root"
        built = roots.Files(Disk(str(tmp_path)), lambda: "t0ken")
        roots.build(built, "other", {**_protocol(), "store_id": "winner"})

        class Beaten(Disk):
            def rename(self, source: str, target: str) -> None:
                if target == "root" and os.path.exists(f"{tmp_path}/other"):
                    os.rename(f"{tmp_path}/other", path)
                super().rename(source, target)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(roots, "Disk", Beaten)
            assert roots.create(path, "mine").store_id == "winner"
        assert listed(tmp_path) == ["root"]

    @pytest.mark.parametrize("mode", ["before", "after", "torn"])
    def test_a_crash_leaves_a_whole_one_or_none(self, tmp_path: Path, mode: str) -> None:
        seen = set()
        for at in (*range(1, 12), *range(30, 70)):
            home = tmp_path / f"{mode}{at}"
            home.mkdir()
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(roots, "Disk", lambda root, at=at: Crashing(Disk(root), at, mode))
                with suppress(Crash):
                    roots.create(f"{home}/root", "x")
            there = (home / "root").exists()
            seen.add(there)
            assert roots.create(f"{home}/root", "x").files.scan(paths.LEADER) == ["leader~0"]
        assert seen == {True, False}

    def test_a_full_disk_leaves_nothing(self, tmp_path: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                roots, "Disk", lambda root: Failing(Disk(root), lambda c: full(c) if "protocol" in c.path else None)
            )
            with pytest.raises(StorageError, match="the disk is full"):
                roots.create(f"{tmp_path}/root", "x")
        assert listed(tmp_path) == []

    def test_a_file_in_its_place_is_named_and_kept(self, tmp_path: Path) -> None:
        (tmp_path / "root").write_text("precious")
        with pytest.raises(StorageError, match="root"):
            roots.create(f"{tmp_path}/root", "x")
        assert listed(tmp_path) == ["root"]
        assert (tmp_path / "root").read_text() == "precious"

    def test_it_is_not_made_where_there_is_no_project(self, tmp_path: Path) -> None:
        with pytest.raises(StorageError):
            roots.create(f"{tmp_path}/no/root", "x")
        assert listed(tmp_path) == []


class TestOpening:
    def test_what_is_not_there_is_not_made(self, tmp_path: Path) -> None:
        with pytest.raises(NotFoundError, match="is no coordination directory") as caught:
            roots.open_root(f"{tmp_path}/root")
        assert "claude-team-coordinated" in caught.value.hint
        assert listed(tmp_path) == []

    def test_another_store_is_refused(self, tmp_path: Path) -> None:
        root = roots.create(f"{tmp_path}/root", "x")
        with pytest.raises(NotFoundError, match=rf"is another store \({root.store_id}\)") as caught:
            roots.open_root(f"{tmp_path}/root", "expected")
        assert caught.value.code == "other-store"

    @pytest.mark.parametrize(
        "data", [b"", b"{", b"[]", b"{}", b'{"protocol": 5}', b'{"protocol": {"least_writer": "1"}}']
    )
    def test_a_broken_protocol_file_is_named_and_left_alone(self, tmp_path: Path, data: bytes) -> None:
        root = roots.create(f"{tmp_path}/root", "x")
        root.files.put(paths.PROTOCOL, data)
        with pytest.raises(BrokenFileError, match=r"root/protocol\.json"):
            roots.open_root(f"{tmp_path}/root")
        assert root.files.read(paths.PROTOCOL) == data

    def test_a_newer_protocol_asks_for_a_newer_program(self, tmp_path: Path) -> None:
        root = roots.create(f"{tmp_path}/root", "x")
        spoil(root, protocol={"version": 9, "least_reader": 1, "least_writer": 9})
        with pytest.raises(PeercoordError, match="needs protocol version 9") as caught:
            roots.open_root(f"{tmp_path}/root")
        assert caught.value.code == "version"

    @pytest.mark.parametrize("settings", [None, [], "x", 5, {"max_attempts": "3"}, {"max_attempts": 0}])
    def test_settings_nobody_can_use_are_the_defaults(self, tmp_path: Path, settings: object) -> None:
        spoil(roots.create(f"{tmp_path}/root", "x"), settings=settings)
        root = roots.open_root(f"{tmp_path}/root")
        assert root.number("max_attempts") == DEFAULT_SETTINGS["max_attempts"]
        assert root.setting("uncommitted") == "warn"


class TestEvents:
    def test_they_are_lines_by_one_writer(self, tmp_path: Path) -> None:
        root = roots.create(f"{tmp_path}/root", "x")
        root.event("w", "claimed", task="1")
        root.event("w", "done", text="two\nlines")
        lines = (root.files.read(paths.events("w")) or b"").splitlines()
        assert [records.decode(line, "x")["event"] for line in lines] == ["claimed", "done"]

    def test_a_note_that_cannot_be_written_stops_nothing(self, tmp_path: Path) -> None:
        root = roots.create(f"{tmp_path}/root", "x")
        root.event("w", "odd", text="\udcff")
        root.files.remove_dir(paths.EVENTS)
        root.event("w", "lost")
        assert root.files.scan(paths.EVENTS) == []

    def test_a_long_file_is_rotated(self, tmp_path: Path) -> None:
        root = roots.create(f"{tmp_path}/root", "x")
        root.files.append(paths.events("w"), b"x" * EVENTS_BYTES)
        root.event("w", "one more")
        root.event("w", "after")
        assert sorted(root.files.scan(paths.EVENTS)) == ["w.jsonl", "w.jsonl.1"]
        assert b"after" in (root.files.read(paths.events("w")) or b"")


def _protocol() -> dict[str, object]:
    return {"schema_version": 1, "protocol": {"version": 1, "least_reader": 1, "least_writer": 1}, "store_id": "s"}

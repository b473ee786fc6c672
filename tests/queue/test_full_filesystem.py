"""A real filesystem that is really full: what the faulty disk of the other tests claims about one, tried out."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.tree import check_at_rest, snapshot
from support.worlds import World

from peercoord.errors import StorageError
from peercoord.store import paths
from peercoord.system.disk import Disk

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small filesystem, which only root may"),
]


@pytest.fixture(params=["ext4", "tmpfs"])
def small(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A filesystem of 4 MiB, mounted for one test."""
    home, image = tmp_path / "mounted", tmp_path / "image"
    home.mkdir()
    if request.param == "ext4":
        image.write_bytes(b"\0" * (4 << 20))
        steps = [["mkfs.ext4", "-q", "-b", "1024", str(image)], ["mount", "-o", "loop", str(image), str(home)]]
    else:
        steps = [["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(home)]]
    for words in steps:
        try:
            done = subprocess.run(words, capture_output=True, text=True, check=False)
        except OSError as error:
            pytest.skip(f"{words[0]}: {error}")
        if done.returncode:
            pytest.skip(f"{' '.join(words[:3])}: {done.stderr.strip()}")
    yield home
    subprocess.run(["umount", str(home)], check=True)


def fill(ballast: Path) -> None:
    """Write until the filesystem takes no more."""
    with ballast.open("wb", buffering=0) as handle:
        try:
            while handle.write(b"x" * 512):
                continue
        except OSError as error:
            assert error.errno == errno.ENOSPC  # noqa: PT017


def test_claims_releases_beats_and_evictions_go_on(small: Path) -> None:
    root = small / paths.ROOT
    root.mkdir()
    world = World.new(Disk(str(root)))
    for task in ("1", "2", "3"):
        world.add(task)
    one, two = world.join("one"), world.join("two")
    world.taken(one, "1")
    fill(small / "ballast")
    with pytest.raises(StorageError, match="the disk is full"):
        world.add("4")
    with pytest.raises(StorageError, match="the disk is full"):
        one.complete("1", {"achievements": ["x" * 4000]})
    assert world.state("1") == ("claimed", str(one.me))
    assert one.membership.beat() == 1
    assert one.release("1").startswith("queue/ready/")
    world.taken(two, "1")
    world.taken(one, "2")
    assert world.evict(two.me, one.me)
    assert world.state("1") == ("ready", "2")
    (small / "ballast").unlink()
    world.janitor().tidy()
    assert sorted(world.drained(one)) == ["1", "2", "3"]
    assert all(world.state(task)[0] == "done" for task in ("1", "2", "3"))
    check_at_rest(snapshot(small))

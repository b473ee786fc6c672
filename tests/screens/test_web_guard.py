"""Only the browser of the person who started the page sees it, and only its own forms change something."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from starlette.testclient import TestClient

from peercoord.queue.queue import Queue
from peercoord.screens.web.app import Page
from peercoord.screens.web.guard import Door
from peercoord.screens.web.model import Source
from peercoord.store import paths, records
from peercoord.store import root as roots

PORT = 4711
OWN = f"http://127.0.0.1:{PORT}"
Open = Callable[..., tuple[TestClient, Page]]


@pytest.fixture
def asked() -> list[list[str]]:
    """The command lines that the page asked for."""
    return []


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """A project with one task, which no test here changes."""
    home = tmp_path_factory.mktemp("guarded")
    Queue(roots.create(str(home / paths.ROOT), "app")).add(records.define("1", "First"))
    return Source(str(home), str(home / paths.ROOT))


@pytest.fixture
def page(source: Source, asked: list[list[str]]) -> Open:
    """Makes a page, and a browser that has signed in."""

    def do(words: list[str]) -> tuple[int, str]:
        asked.append(words)
        return 0, "it is done"

    def made(*, acts: bool = False, signed_in: bool = True, codes: list[str] | None = None) -> tuple[TestClient, Page]:
        shown: list[str] = [] if codes is None else codes
        found = Page(source, Door(shown.append), PORT, do if acts else None)
        client = TestClient(found.app, base_url=f"{OWN}{found.door.home}", follow_redirects=False)
        if signed_in:
            assert client.get(f"{OWN}/in/{shown[-1]}").status_code == 303
        return client, found

    return made


def test_the_page_opens_once_for_each_code(page: Open) -> None:
    codes: list[str] = []
    client, found = page(signed_in=False, codes=codes)
    answer = client.get(f"{OWN}/in/{codes[0]}")
    assert answer.headers["location"] == f"{found.door.home}/"
    assert {"HttpOnly", "SameSite=strict"} <= {part.strip() for part in answer.headers["set-cookie"].split(";")}
    assert client.get("/").status_code == 200
    again = client.get(f"{OWN}/in/{codes[0]}")
    assert again.status_code == 403
    assert len(set(codes)) == 2


def test_a_typed_code_opens_the_page(page: Open) -> None:
    codes: list[str] = []
    client, _ = page(signed_in=False, codes=codes)
    wrong = client.post(f"{OWN}/in", data={"code": "nonsense"}, headers={"origin": OWN})
    right = client.post(f"{OWN}/in", data={"code": f" {codes[0].upper()} "}, headers={"origin": OWN})
    assert (wrong.status_code, right.status_code) == (403, 303)


def test_guessing_keeps_nobody_out(page: Open) -> None:
    """Any program of this machine can send wrong codes: the person's stays good, and their terminal stays quiet."""
    codes: list[str] = []
    client, _ = page(signed_in=False, codes=codes)
    for number in range(50):
        assert client.get(f"{OWN}/in/guess{number}").status_code == 403
    assert len(codes) == 1
    assert client.get(f"{OWN}/in/{codes[0]}").status_code == 303


def test_another_server_of_this_machine_gets_no_cookie(page: Open) -> None:
    """A browser sends a cookie to all ports of a host: a person looks at the pages that an agent serves, too."""
    client, found = page()
    for host in (OWN, "http://127.0.0.1:3000", "http://localhost:3000"):
        for path in ("/", "/tasks", "/in", f"{found.door.home}x"):
            assert "cookie" not in client.build_request("GET", f"{host}{path}").headers
    assert "cookie" in client.build_request("GET", "/tasks").headers
    token = client.cookies[found.guard.cookie]
    answer = client.get(f"{OWN}/", headers={"cookie": f"{found.guard.cookie}={token}"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/in"), "the cookie alone opens nothing"


@pytest.mark.parametrize(
    "path", ["/", "/in", "/in/nonsense", "/in/a/b", "/static/none", "/static/", "/do/land", "/live"]
)
def test_nobody_else_learns_where_the_pages_lie(page: Open, path: str) -> None:
    client, found = page(acts=True, signed_in=False)
    answer = client.get(f"{OWN}{path}")
    for told in (answer.text, str(answer.headers)):
        assert found.door.home not in told
        assert found.door.csrf not in told
        assert ">app<" not in told, "the project's name"


@pytest.mark.parametrize("other", ["a/b=1", 'x={"a": 1}', 'n="', "[x]=1", "=", ";;"])
def test_cookies_of_other_servers_do_not_matter(page: Open, other: str) -> None:
    client, found = page()
    token = client.cookies[found.guard.cookie]
    assert client.get("/", headers={"cookie": f"{other}; {found.guard.cookie}={token}"}).status_code == 200


@pytest.mark.parametrize(
    "path", ["/", "/tasks", "/instances", "/timeline", "/progress", "/graph", "/memory", "/task/1"]
)
def test_nothing_is_shown_without_signing_in(page: Open, path: str) -> None:
    client, _ = page(signed_in=False)
    answer = client.get(path)
    assert (answer.status_code, answer.headers["location"]) == (303, "/in")
    assert "First" not in client.get(f"{OWN}/in").text
    assert client.get("/live?page=board").status_code == 401


@pytest.mark.parametrize(
    "host", ["evil.example", f"evil.example:{PORT}", "127.0.0.1", "127.0.0.1:1", f"[::1]:{PORT}", ""]
)
def test_another_host_name_is_refused(page: Open, host: str) -> None:
    """A name of a foreign page that leads to this machine shows nothing (DNS rebinding)."""
    client, _ = page()
    assert client.get("/", headers={"host": host}).status_code == 421
    assert client.get(f"{OWN}/static/page.css", headers={"host": host}).status_code == 421


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": f"https://127.0.0.1:{PORT}"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_another_origin_is_refused(page: Open, headers: dict[str, str]) -> None:
    client, _ = page()
    assert client.get("/", headers=headers).status_code == 403


def test_every_answer_has_the_policy(page: Open) -> None:
    client, _ = page()
    for path in ("/", f"{OWN}/in", f"{OWN}/static/page.js", "/nothing", "/task/404"):
        answer = client.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["x-frame-options"] == "DENY"
    for path in (
        "%2e%2e/app.py",
        "vendor/%2e%2e/%2e%2e/app.py",
        "%2e%2e%2fapp.py",
        "/etc/passwd",
        "%00",
        "..%5capp.py",
    ):
        assert client.get(f"{OWN}/static/{path}").status_code == 404


def test_nothing_can_be_done_unless_it_was_allowed(page: Open, asked: list[list[str]]) -> None:
    client, found = page()
    fields = {"csrf": found.door.csrf, "task": "1"}
    assert client.post("/do/cancel", data=fields, headers={"origin": OWN}).status_code == 404
    assert 'method="post"' not in client.get("/task/1").text
    assert asked == []


@pytest.mark.parametrize(
    ("fields", "headers", "code"),
    [
        ({"csrf": "right"}, {"origin": OWN}, 200),
        ({"csrf": "right"}, {}, 403),
        ({"csrf": "right"}, {"origin": "http://evil.example"}, 403),
        ({"csrf": "right"}, {"origin": OWN, "sec-fetch-site": "cross-site"}, 403),
        ({"csrf": "wrong"}, {"origin": OWN}, 403),
        ({}, {"origin": OWN}, 403),
    ],
)
def test_a_form_needs_the_token_and_the_origin(
    page: Open, asked: list[list[str]], fields: dict[str, str], headers: dict[str, str], code: int
) -> None:
    client, found = page(acts=True)
    sent = {key: found.door.csrf if value == "right" else value for key, value in fields.items()}
    answer = client.post("/do/cancel", data={**sent, "task": "1", "here": "//evil.example"}, headers=headers)
    assert answer.status_code == code
    assert asked == ([["task", "cancel", "--", "1"]] if code == 200 else [])
    assert "evil.example" not in answer.text


def test_a_form_needs_the_cookie(page: Open, asked: list[list[str]]) -> None:
    client, found = page(acts=True, signed_in=False)
    answer = client.post("/do/cancel", data={"csrf": found.door.csrf, "task": "1"}, headers={"origin": OWN})
    assert answer.status_code == 303
    assert asked == []


@pytest.mark.parametrize(
    ("action", "fields", "words"),
    [
        ("answer", {"task": "1", "text": "--help"}, ["task", "answer", "--", "1", "--help"]),
        ("reassign", {"task": "1", "to": "instance-2"}, ["reassign", "--", "1", "instance-2"]),
        ("reopen", {"task": "-1"}, ["task", "reopen", "--", "-1"]),
        ("accept", {"task": "1"}, ["task", "accept", "--", "1"]),
        ("approve", {"id": "k-1", "take": "left"}, ["review", "approve", "--take", "left", "--", "k-1"]),
        ("approve", {"id": "k-1", "take": "--as"}, ["review", "approve", "--", "k-1"]),
        ("reject", {"id": "k-1", "text": "--as x"}, ["review", "reject", "--reason=--as x", "--", "k-1"]),
        ("land", {}, ["land"]),
    ],
)
def test_a_form_becomes_one_fixed_command(
    page: Open, asked: list[list[str]], action: str, fields: dict[str, str], words: list[str]
) -> None:
    """What comes from a form is an argument, never an option."""
    client, found = page(acts=True)
    answer = client.post(f"/do/{action}", data={**fields, "csrf": found.door.csrf}, headers={"origin": OWN})
    assert "it is done" in answer.text
    assert asked == [words]


@pytest.mark.parametrize(
    ("action", "fields"), [("answer", {"task": "1"}), ("reject", {"id": "k-1"}), ("up", {}), ("cancel", {"task": " "})]
)
def test_an_incomplete_form_does_nothing(
    page: Open, asked: list[list[str]], action: str, fields: dict[str, str]
) -> None:
    client, found = page(acts=True)
    answer = client.post(f"/do/{action}", data={**fields, "csrf": found.door.csrf}, headers={"origin": OWN})
    assert "Not done" in answer.text
    assert asked == []

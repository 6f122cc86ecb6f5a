from __future__ import annotations

import stat
from pathlib import Path

import pytest

from edge_runtime.errors import InputError
from edge_runtime.web.access import Access, check_token, new_token, read_token_file

TOKEN = "a-token-of-some-length"


def test_new_tokens_differ_and_may_be_used() -> None:
    tokens = {check_token(new_token()) for _ in range(50)}
    assert len(tokens) == 50
    assert min(map(len, tokens)) >= 32


@pytest.mark.parametrize("token", ["", "short", "with a space in it all", "ü" * 20, "x" * 257])
def test_token_that_is_unsafe_or_breaks_a_header_is_refused_and_not_repeated(token: str) -> None:
    with pytest.raises(InputError, match="16 to 256 letters") as caught:
        check_token(token)
    assert not token or token not in str(caught.value)


@pytest.mark.parametrize(
    ("authorization", "cookies", "known"),
    [
        (f"Bearer {TOKEN}", "", True),
        (f"bearer  {TOKEN} ", "", True),
        ("", f"other=1; edge_token_80={TOKEN}", True),
        (f"Bearer {TOKEN}", "edge_token_80=wrong", True),
        ("", "", False),
        (TOKEN, "", False),
        (f"Basic {TOKEN}", "", False),
        (f"Bearer {TOKEN}x", "", False),
        (f"Bearer {TOKEN[:-1]}", "", False),
        ("Bearer \udcff", "", False),
        ("", f"edge_token_81={TOKEN}", False),
        ("", f"edge_token_80=x{TOKEN}", False),
    ],
)
def test_token_is_taken_from_header_or_cookie(
    authorization: str, cookies: str, known: bool
) -> None:
    assert Access(TOKEN, 80).authorised(authorization, cookies) is known


def test_nobody_is_asked_where_there_is_no_token() -> None:
    assert Access(None, 80).authorised("", "")


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8080", "127.0.0.1:1", "127.9.9.9", "[::1]:8080", "a.localhost"]
)
def test_own_names_are_answered_to(host: str) -> None:
    assert Access(None, 80).host_allowed(host)


@pytest.mark.parametrize(
    "host", ["example.org", "localhost.example.org:80", "127.0.0.1.example.org", "10.0.0.1", ""]
)
def test_foreign_names_are_not_answered_to_without_a_token(host: str) -> None:
    assert not Access(None, 80).host_allowed(host)
    assert Access(TOKEN, 80).host_allowed(host)


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, False),
        ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}, False),
        (
            {
                "Sec-Fetch-Site": "cross-site",
                "Sec-Fetch-Mode": "navigate",
                "Sec-Fetch-Dest": "document",
            },
            True,
        ),
        (
            {
                "Sec-Fetch-Site": "cross-site",
                "Sec-Fetch-Mode": "navigate",
                "Sec-Fetch-Dest": "iframe",
            },
            False,
        ),
    ],
)
def test_other_pages_may_link_but_not_use(headers: dict[str, str], allowed: bool) -> None:
    assert Access.origin_allowed(headers) is allowed


def test_token_file_is_made_for_its_owner_alone_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "token"
    token = read_token_file(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_token_file(path) == token


def test_token_file_with_something_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("secret!\n")
    with pytest.raises(InputError, match="remove the file") as caught:
        read_token_file(path)
    assert "secret" not in str(caught.value)
    assert path.read_text() == "secret!\n"


def test_token_file_in_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written: No such file"):
        read_token_file(tmp_path / "none" / "token")

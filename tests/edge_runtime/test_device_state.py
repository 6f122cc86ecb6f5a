"""What is known of a device whose ``state.json`` is gone, is none, or cannot be read."""

from __future__ import annotations

import dataclasses
import io
import os
import shutil
from pathlib import Path

import pytest

from edge_runtime.device import Receipt, receive, recover, rollback, status
from edge_runtime.device_state import MAX_STATE_BYTES, State, parse_state, state_text
from edge_runtime.device_store import Store
from edge_runtime.errors import DeviceError
from edge_runtime.signature import SignatureError


def take(data: bytes, directory: Path, **options) -> Receipt:
    return receive(io.BytesIO(data), directory, **options)


def everything(directory: Path) -> dict[str, object]:
    """Each name below a folder with what it holds or leads to."""
    return {
        str(path.relative_to(directory)): os.readlink(path)
        if path.is_symlink()
        else path.read_bytes()
        if path.is_file()
        else None
        for path in directory.rglob("*")
    }


def make_pending(directory: Path) -> None:
    """The active model is one that was not confirmed, as after a power cut."""
    store = Store(directory)
    state = store.state()
    new, old, *_ = state.chain
    store.prepare_way_back(old)
    store.save(dataclasses.replace(state, chain=state.chain[1:], pending=new, before=old))


def too_large(directory: Path) -> None:
    (directory / "state.json").write_bytes(b" " * (MAX_STATE_BYTES + 1))


def a_folder(directory: Path) -> None:
    (directory / "state.json").unlink()
    (directory / "state.json").mkdir()


@pytest.mark.parametrize("break_it", [too_large, a_folder])
def test_state_that_cannot_be_read_stops_everything_and_changes_nothing(
    installed, make_bundle, break_it
):
    take(make_bundle("float16", 2), installed)
    make_pending(installed)
    break_it(installed)
    before = everything(installed)
    for attempt in (
        lambda: take(make_bundle("float32", 1), installed),
        lambda: rollback(installed),
        lambda: recover(installed),
    ):
        with pytest.raises(DeviceError, match="it is not known which model was confirmed"):
            attempt()
        assert everything(installed) == before
    assert "it is not known" in status(installed).problem


def test_state_that_the_disk_does_not_give_stops_a_transfer(installed, make_bundle, monkeypatch):
    """EIO, which a folder of a test cannot be made to say."""
    real = Path.stat

    def broken(path: Path, **options: bool) -> os.stat_result:
        if path.name == "state.json":
            raise OSError(5, "Input/output error")
        return real(path, **options)

    before = everything(installed)
    monkeypatch.setattr(Path, "stat", broken)
    with pytest.raises(DeviceError, match=r"Input/output error.*nothing was changed"):
        take(make_bundle("float16", 2), installed)
    monkeypatch.undo()
    assert everything(installed) == before


@pytest.mark.parametrize("content", [None, b"", b"{}x", b'{"chain": 5}', b'{"guessed": true}'])
def test_pending_release_whose_mark_is_lost_is_taken_back_all_the_same(
    installed, make_bundle, content
):
    old = status(installed).active.sha256
    take(make_bundle("float16", 2), installed)
    make_pending(installed)
    (installed / "state.json").unlink()
    if content is not None:
        (installed / "state.json").write_bytes(content)
    assert recover(installed).outcome == "reverted"
    found = status(installed)
    assert (found.active.sha256, found.pending, found.problem) == (old, None, None)


def test_nothing_is_removed_on_a_guess(installed, make_bundle):
    take(make_bundle("float16", 2), installed)
    take(make_bundle("float32", 3), installed)
    (installed / "state.json").unlink()
    done = take(make_bundle("int16x8", 4), installed, keep=1)
    assert done.removed == ()
    assert len(status(installed).releases) == 4


def test_floor_of_a_lost_state_is_the_highest_of_all_releases(installed, make_bundle):
    take(make_bundle("float16", 7, created_at="2031-01-01T00:00:00+00:00"), installed)
    rollback(installed)
    (installed / "state.json").unlink()
    assert status(installed).counter == 7
    assert Store(installed).state().accepted_at == "2031-01-01T00:00:00+00:00"
    with pytest.raises(DeviceError, match="it is older"):
        take(make_bundle("float32", 6), installed)


def test_floor_that_a_newer_bundle_of_the_same_model_raised_outlives_the_state(
    installed, make_bundle
):
    assert take(make_bundle("int8", 50), installed).outcome == "unchanged"
    (installed / "state.json").unlink()
    assert status(installed).counter == 50
    assert status(installed).problem is None


@pytest.mark.parametrize("umask", [0o777, 0o077, 0])
def test_state_can_be_read_whatever_the_umask(installed, umask):
    store = Store(installed)
    before = os.umask(umask)
    try:
        store.save(store.state())
    finally:
        os.umask(before)
    assert (installed / "state.json").stat().st_mode & 0o777 == 0o644


def test_longest_state_can_be_read_again():
    note = {"release": "a" * 64, "reason": "no " * 10**5, "at": "now"}
    long = State(chain=tuple(f"{n:064x}" for n in range(5000)), reverted=note)
    text = state_text(long)
    assert len(text) < MAX_STATE_BYTES
    again = parse_state(text.encode())
    assert len(again.chain) == 101
    assert len(again.reverted["reason"]) == 1000


def test_refused_transfer_touches_nothing_of_a_mistyped_folder(
    tmp_path, installed, make_bundle, make_signer
):
    names = ("back", "incoming-photos", ".state-old.json", "lock", "incoming-link")
    ours, theirs = installed, tmp_path / "home"
    theirs.mkdir()
    for folder in (ours, theirs):
        for name in names:
            (folder / name).write_text("mine")
    (theirs / "active").symlink_to("projects")
    stranger = make_bundle("float16", 2, sign=make_signer("mallory").sign)
    for folder in (ours, theirs, tmp_path / "nowhere"):
        before = everything(folder)
        with pytest.raises(SignatureError):
            take(stranger, folder)
        assert everything(folder) == before
    assert not (tmp_path / "nowhere").exists()
    # Nor does one that is taken.
    take(make_bundle("float16", 2), ours)
    assert all((ours / name).read_text() == "mine" for name in names)
    for verb in (recover, rollback):
        before = everything(theirs)
        try:
            verb(theirs)
        except DeviceError as error:
            assert "there is no previous release" in str(error)
        assert everything(theirs) == before


@pytest.mark.parametrize("name", ["back", "incoming-state", "incoming-link", "lock"])
def test_folder_in_the_place_of_our_own_files_is_no_obstacle(installed, make_bundle, name):
    (installed / ".edge-run" / name / "below").mkdir(parents=True)
    assert take(make_bundle("float16", 2), installed).outcome == "activated"
    assert [path.name for path in (installed / ".edge-run").iterdir()] == ["reserve"]


def test_file_in_the_place_of_a_folder_is_named(installed, make_bundle):
    shutil.rmtree(installed / ".edge-run")
    (installed / ".edge-run").write_text("")
    with pytest.raises(DeviceError, match=r"\.edge-run is in the way .*; move it elsewhere"):
        take(make_bundle("float16", 2), installed)

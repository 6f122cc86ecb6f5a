import errno
import fcntl
import os
import stat

import pytest

from edge_runtime.errors import InputError
from edge_runtime.files import (
    atomic_path,
    exclusive_lock,
    folder_name,
    new_file,
    read_limited,
    writable_folder,
    write_atomic,
)


def test_write_makes_the_folder_and_leaves_nothing_but_the_file(tmp_path):
    path = write_atomic(tmp_path / "new" / "a.txt", "Größe")
    assert path.read_text(encoding="utf-8") == "Größe"
    assert os.listdir(path.parent) == ["a.txt"]


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path):
    path = write_atomic(tmp_path / "a.bin", b"old")
    with pytest.raises(RuntimeError, match="half way"), atomic_path(path) as temporary:
        temporary.write_bytes(b"ne")
        raise RuntimeError("half way")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_the_temporary_file_has_the_suffix_and_the_folder_of_its_target(tmp_path):
    with atomic_path(tmp_path / "plot.png") as temporary:
        assert temporary.suffix == ".png"
        assert temporary.parent == tmp_path
        temporary.write_bytes(b"x")
    assert (tmp_path / "plot.png").read_bytes() == b"x"


def test_written_files_have_the_mode_that_the_umask_gives(tmp_path):
    before = os.umask(0o027)
    try:
        path = write_atomic(tmp_path / "a", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_read_refuses_what_is_missing_too_large_or_no_file(tmp_path):
    (tmp_path / "big").write_bytes(b"12345")
    os.mkfifo(tmp_path / "pipe")
    for name, message in [
        ("none", "none does not exist; a file was expected"),
        ("big", "has 5 bytes; a file of at most 4 bytes was expected"),
        (".", "is a folder; a file was expected"),
        ("pipe", "is not a regular file; a file was expected"),
        ("nul\0", "cannot be read"),
    ]:
        with pytest.raises(InputError, match=message):
            read_limited(tmp_path / name, 4)
    assert read_limited(tmp_path / "big", 5) == b"12345"


@pytest.mark.parametrize(
    ("label", "folder"), [("7", "7"), ("a/b", "a-b"), ("..", "-"), ("C:\\x", "C--x"), ("é", "é")]
)
def test_folder_names_stay_inside_their_folder(label: str, folder: str) -> None:
    assert folder_name(label) == folder


def test_full_disk_is_told_with_the_name_of_the_file_that_was_to_be(tmp_path):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left") as caught, atomic_path(tmp_path / "a.txt"):
        full()
    assert caught.value.filename == str(tmp_path / "a.txt")
    assert os.listdir(tmp_path) == []


def test_writable_folder_is_made_and_left_empty(tmp_path):
    folder = writable_folder(tmp_path / "a" / "b")
    assert folder == tmp_path / "a" / "b"
    assert os.listdir(folder) == []
    assert writable_folder(str(folder)) == folder


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_file_where_a_folder_should_be_is_named_with_the_remedy(tmp_path, name):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError) as caught:
        writable_folder(tmp_path / name)
    assert str(caught.value) == (
        f"{tmp_path / name} is not a folder; a folder that this user may write was expected; "
        "choose another folder with --out"
    )


# Not even root may make a folder in the first; the second is there, and nobody may write in it.
@pytest.mark.parametrize("folder", ["/proc/new", "/proc/self"])
def test_folder_that_takes_no_files_is_named_with_the_remedy(folder):
    with pytest.raises(InputError) as caught:
        writable_folder(folder)
    happened, *rest = str(caught.value).split("; ")
    assert happened.startswith(f"{folder} cannot be written: ")
    assert rest == [
        "a folder that this user may write was expected",
        "choose another folder with --out",
    ]


def test_lock_is_held_once_free_again_and_gone(tmp_path):
    lock = tmp_path / "lock"
    with exclusive_lock(lock), pytest.raises(BlockingIOError), exclusive_lock(lock):
        pass
    with exclusive_lock(lock):
        assert lock.exists()
    assert os.listdir(tmp_path) == []


def test_lock_of_a_process_that_crashed_is_free(tmp_path):
    lock = tmp_path / "lock"
    lock.touch()
    with exclusive_lock(lock):
        pass
    assert not lock.exists()


@pytest.mark.parametrize("made_anew", [False, True])
def test_lock_on_a_file_that_its_holder_removed_is_not_taken_for_the_lock(
    tmp_path, monkeypatch, made_anew
):
    """We open the file, its holder ends and removes it, and another process may lock a new one."""
    lock, flock = tmp_path / "lock", fcntl.flock
    others: list[int] = []

    def after_its_holder(handle, operation):
        monkeypatch.setattr(fcntl, "flock", flock)
        lock.unlink()
        if made_anew:
            others.append(os.open(lock, os.O_RDWR | os.O_CREAT))
            flock(others[0], operation)
        flock(handle, operation)

    monkeypatch.setattr(fcntl, "flock", after_its_holder)
    if made_anew:
        with pytest.raises(BlockingIOError), exclusive_lock(lock):
            pass
        assert lock.exists(), "the other process's lock was removed"
        os.close(others[0])
    else:
        with exclusive_lock(lock), pytest.raises(BlockingIOError), exclusive_lock(lock):
            pass


def test_lock_that_another_process_made_anew_is_left_alone(tmp_path):
    lock = tmp_path / "lock"
    with exclusive_lock(lock):
        lock.rename(tmp_path / "moved")
        lock.touch()
    assert lock.exists()


def test_lock_is_never_taken_through_a_link(tmp_path, deadline):
    (tmp_path / "secret").write_text("untouched")
    (tmp_path / "lock").symlink_to("secret")
    with pytest.raises(OSError, match="symbolic links"), exclusive_lock(tmp_path / "lock"):
        pytest.fail("the lock was taken")
    assert (tmp_path / "secret").read_text() == "untouched"


def test_new_file_can_be_read_by_everybody_whatever_the_umask(tmp_path):
    before = os.umask(0o777)
    try:
        with new_file(tmp_path / "a") as file:
            file.write(b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o644
    with pytest.raises(FileExistsError), new_file(tmp_path / "a"):
        pytest.fail("it was opened")
    assert (tmp_path / "a").read_bytes() == b"x"

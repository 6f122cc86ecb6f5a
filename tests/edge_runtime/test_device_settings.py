from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_runtime import device_settings
from edge_runtime.device_settings import Settings, default_directory, read_settings
from edge_runtime.errors import DeviceError


def test_without_a_file_nobody_may_sign_and_nothing_is_restarted(tmp_path):
    found = read_settings(tmp_path)
    assert found == Settings()
    assert found.allowed_signers is None
    assert not found.allow_unsigned
    assert found.restart == found.health == ()
    assert (found.device_type, found.keep) == ("raspberrypi", 3)


def test_every_setting_is_read_and_paths_are_relative_to_the_file(tmp_path):
    values = {
        "device_type": "zero",
        "allowed_signers": "signers",
        "revoked_keys": "/etc/revoked",
        "allow_unsigned": True,
        "restart": ["sudo", "-n", "systemctl", "restart", "x"],
        "health": ["true"],
        "health_timeout_s": 12.5,
        "keep": 1,
    }
    (tmp_path / "device.json").write_text(json.dumps(values))
    assert read_settings(tmp_path) == Settings(
        "zero",
        tmp_path / "signers",
        Path("/etc/revoked"),
        True,
        ("sudo", "-n", "systemctl", "restart", "x"),
        ("true",),
        12.5,
        1,
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not JSON"),
        ("[" * 20_000, "is not JSON"),
        ("[]", "holds a list; an object"),
        ('{"restrat": []}', "unknown setting 'restrat'; one of allow_unsigned"),
        ('{"restart": "reboot"}', "restart in .* is 'reboot'; a command as a list of words"),
        ('{"restart": ["a", 1]}', "a command as a list of words"),
        ('{"keep": 0}', "keep in .* is 0; a whole number from 1 to 100"),
        ('{"keep": 101}', "keep in .* is 101"),
        ('{"keep": true}', "keep in .* is True"),
        ('{"health_timeout_s": 0}', "1 to 86400 seconds"),
        ('{"health_timeout_s": NaN}', "1 to 86400 seconds"),
        ('{"allow_unsigned": "no"}', "true or false"),
        ('{"allowed_signers": 7}', "a path, or null"),
        ('{"device_type": ""}', "a short name"),
    ],
)
def test_mistake_is_one_line_that_names_the_file(tmp_path, text, message):
    (tmp_path / "device.json").write_text(text)
    with pytest.raises(DeviceError, match=message) as caught:
        read_settings(tmp_path)
    assert "device.json" in str(caught.value)


def test_file_that_anybody_may_write_is_not_believed(tmp_path):
    path = tmp_path / "device.json"
    path.write_text("{}")
    path.chmod(0o666)
    with pytest.raises(DeviceError, match="anybody may write .*chmod o-w"):
        read_settings(tmp_path)


def test_models_live_where_the_variable_the_system_or_the_desktop_says(tmp_path, monkeypatch):
    system = tmp_path / "system"
    monkeypatch.setattr(device_settings, "SYSTEM_DIRECTORY", system)
    monkeypatch.delenv("EDGE_RUNTIME_DIR", raising=False)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert default_directory() == Path.home() / ".local/share/edge-runtime"
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    system.mkdir()
    assert default_directory() == Path("/data/edge-runtime")
    (system / "device.json").write_text("{}")
    assert default_directory() == system
    monkeypatch.setenv("EDGE_RUNTIME_DIR", "/elsewhere")
    assert default_directory() == Path("/elsewhere")

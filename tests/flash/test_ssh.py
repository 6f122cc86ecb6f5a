"""What goes wrong between here and a device, in the words of the person who has to mend it."""

from __future__ import annotations

import dataclasses
import re
import subprocess

import pytest

from flash.errors import FlashError
from flash.ssh import SshTarget


def test_arguments_reach_the_command_there_unchanged(ssh_device):
    awkward = ["a b", "$HOME", "`id`", "'", '"', ";", "*", "", "é", "-x"]
    result = ssh_device.target.run(["printf", "%s\\n", *awkward], timeout_s=30)
    assert result.exit_status == 0
    assert result.stdout.split("\n")[: len(awkward)] == awkward


def test_input_arrives_whole_and_progress_counts_it(ssh_device):
    data = bytes(range(256)) * 1000
    sent: list[int] = []
    result = ssh_device.target.run(["wc", "-c"], data, timeout_s=30, on_sent=sent.append)
    assert int(result.stdout) == len(data)
    assert sent == sorted(sent)
    assert sent[-1] == len(data)


def test_exit_status_and_stderr_of_the_command_come_back(ssh_device):
    lines: list[str] = []
    result = ssh_device.target.run(
        ["sh", "-c", "echo oops >&2; exit 7"],
        b"unread" * 100_000,
        timeout_s=30,
        on_line=lines.append,
    )
    assert result.exit_status == 7
    assert lines == ["oops"]


def test_command_that_hangs_is_given_up(ssh_device):
    with pytest.raises(FlashError, match="did not finish within 2 s"):
        ssh_device.target.run(["sleep", "60"], timeout_s=2)


def test_changed_host_key_is_refused_with_the_command_that_removes_it(ssh_device):
    ssh_device.make_key(ssh_device.folder / "other_key")
    ssh_device.know_host(ssh_device.folder / "other_key.pub")
    with pytest.raises(FlashError, match=r"another host key than before.*: it may") as refused:
        ssh_device.target.run(["true"], timeout_s=30)
    command = str(refused.value).rpartition(" with ")[2]
    assert command == f"ssh-keygen -f {ssh_device.known_hosts} -R pi"
    subprocess.run(command.split(), check=True, capture_output=True)
    with pytest.raises(FlashError, match="host key of pi is not known here"):
        ssh_device.target.run(["true"], timeout_s=30)


def test_key_to_drop_has_the_port_of_the_configuration(ssh_device):
    ssh_device.make_key(ssh_device.folder / "other_key")
    ssh_device.know_host(ssh_device.folder / "other_key.pub")
    config = ssh_device.ssh_config.read_text()
    ssh_device.ssh_config.write_text(config.replace("  HostKeyAlias pi\n", ""))
    place = re.escape(f"-R '[127.0.0.1]:{ssh_device.port}'")
    with pytest.raises(FlashError, match=rf"drop the old key with .* {place}$"):
        ssh_device.target.run(["true"], timeout_s=30)


def test_unknown_host_is_refused(ssh_device):
    ssh_device.known_hosts.write_text("")
    with pytest.raises(
        FlashError, match="host key of pi is not known here.*compare the fingerprint"
    ):
        ssh_device.target.run(["true"], timeout_s=30)
    assert ssh_device.known_hosts.read_text() == ""


LAX = ("StrictHostKeyChecking no", "StrictHostKeyChecking accept-new")


@pytest.mark.parametrize("policy", LAX)
def test_changed_host_key_is_refused_whatever_the_configuration_says(ssh_device, policy):
    ssh_device.make_key(ssh_device.folder / "other_key")
    ssh_device.know_host(ssh_device.folder / "other_key.pub")
    before = ssh_device.known_hosts.read_text()
    with ssh_device.ssh_config.open("a") as config:
        config.write(f"  {policy}\n")
    with pytest.raises(FlashError, match="another host key than before"):
        ssh_device.target.run(["touch", str(ssh_device.folder / "sent")], timeout_s=30)
    assert not (ssh_device.folder / "sent").exists()
    assert ssh_device.known_hosts.read_text() == before


@pytest.mark.parametrize("policy", [*LAX, "NoHostAuthenticationForLocalhost yes"])
def test_unknown_host_is_refused_whatever_the_configuration_says(ssh_device, policy):
    ssh_device.known_hosts.write_text("")
    # A host with an alias is none that ssh takes for this machine.
    config = ssh_device.ssh_config.read_text().replace("  HostKeyAlias pi\n", "")
    ssh_device.ssh_config.write_text(f"{config}  {policy}\n")
    with pytest.raises(FlashError, match="host key of pi is not known here"):
        ssh_device.target.run(["touch", str(ssh_device.folder / "sent")], timeout_s=30)
    assert not (ssh_device.folder / "sent").exists()
    assert ssh_device.known_hosts.read_text() == ""


def test_connection_that_is_open_already_is_not_used(ssh_device):
    """Its host key was looked at under another policy, or not at all."""
    config = ["-F", str(ssh_device.ssh_config), "-o", f"ControlPath={ssh_device.folder / 'c'}"]
    subprocess.run(["ssh", *config, "-fNM", "pi"], check=True, stderr=subprocess.DEVNULL)
    try:
        ssh_device.known_hosts.write_text("")
        with ssh_device.ssh_config.open("a") as file:
            file.write(f"  ControlPath {ssh_device.folder / 'c'}\n")
        with pytest.raises(FlashError, match="host key of pi is not known here"):
            ssh_device.target.run(["true"], timeout_s=30)
    finally:
        subprocess.run(["ssh", *config, "-O", "exit", "pi"], check=True, capture_output=True)


def test_option_of_the_person_may_let_an_unknown_host_in(ssh_device):
    ssh_device.known_hosts.write_text("")
    target = dataclasses.replace(ssh_device.target, options=("StrictHostKeyChecking=accept-new",))
    assert target.run(["true"], timeout_s=30).exit_status == 0
    assert ssh_device.known_hosts.read_text() != ""


def test_key_that_is_not_accepted_is_named(ssh_device):
    other = ssh_device.folder / "other_key"
    ssh_device.make_key(other)
    ssh_device.client_key.write_bytes(other.read_bytes())
    with pytest.raises(FlashError, match=r"pi does not let us in.*ssh-copy-id pi"):
        ssh_device.target.run(["true"], timeout_s=30)


def test_user_who_brings_models_is_sent_to_no_copying_of_keys(ssh_device):
    ssh_device.client_key.unlink()
    target = dataclasses.replace(ssh_device.target, destination="edge-deploy@pi")
    with pytest.raises(FlashError, match=r"the key that may bring models there was expected; name"):
        target.run(["true"], timeout_s=30)


def test_port_where_nobody_listens_is_unreachable(ssh_device):
    ssh_device.stop()
    with pytest.raises(FlashError, match=r"pi cannot be reached \(.*Connection refused\)"):
        ssh_device.target.run(["true"], timeout_s=30)


def test_name_that_does_not_resolve_is_unreachable(ssh_device):
    target = SshTarget("nobody@no-such-device.invalid", config=ssh_device.ssh_config)
    with pytest.raises(FlashError, match=r"no-such-device.invalid cannot be reached \(.*resolve"):
        target.run(["true"], timeout_s=60)


def test_lost_connection_says_what_is_certain(ssh_device, cut_cable):
    cut_cable(20_000)
    with pytest.raises(FlashError, match="was lost.*a whole model, the old one or the new"):
        ssh_device.target.run(["cat"], b"x" * 10**6, timeout_s=30)


@pytest.mark.parametrize("name", ["", "-oProxyCommand=touch hacked", "a b", "pi\n"])
def test_destination_that_ssh_could_misread_is_refused(name):
    with pytest.raises(FlashError, match="USER@HOST was expected"):
        SshTarget(name)


def test_options_of_the_person_come_before_ours():
    arguments = SshTarget("pi", options=("ConnectTimeout=60",)).arguments(["true"])
    assert arguments.index("ConnectTimeout=60") < arguments.index("ConnectTimeout=10")
    assert "BatchMode=yes" in arguments

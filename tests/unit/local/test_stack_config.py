"""How the embedded stack is configured."""

from __future__ import annotations

from pathlib import Path

import pytest

from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.local.config import StackConfig
from prefect_slipway.infra.local.ports import Ports, remember_ports, settle_ports


def test_nothing_set_means_the_platforms_data_folder_and_own_parts() -> None:
    """Without any variable everything is embedded, below the platform's data folder."""
    config = StackConfig.from_env({})
    assert config.home.name == "slipway"
    assert config == StackConfig(config.home)


def test_empty_variables_count_as_unset() -> None:
    """`VAULT_ADDR= slipway up` is what it looks like."""
    env = {
        "VAULT_ADDR": "",
        "PREFECT_API_URL": "",
        "SLIPWAY_REGISTRY_PORT": "",
        "SLIPWAY_PREFECT_DATABASE": "",
    }
    assert StackConfig.from_env(env) == StackConfig.from_env({})


def test_a_relative_home_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemons work elsewhere, so that the home has to be absolute."""
    monkeypatch.chdir(tmp_path)
    assert StackConfig.from_env({"SLIPWAY_HOME": "state"}).home == tmp_path / "state"


@pytest.mark.parametrize("port", ["0", "65536", "-1", "5000x", "\uff15\uff10\uff10\uff10", "5 000"])
def test_what_is_no_port_is_refused(port: str) -> None:
    """A port is a number from 1 to 65535 in ASCII digits; the message names the variable."""
    with pytest.raises(InvalidOption, match="SLIPWAY_VAULT_PORT"):
        StackConfig.from_env({"SLIPWAY_VAULT_PORT": port})


@pytest.mark.parametrize("variable", ["VAULT_ADDR", "PREFECT_API_URL"])
def test_an_own_server_is_an_http_address(variable: str) -> None:
    """`host:port` without a scheme is the usual slip."""
    with pytest.raises(InvalidOption, match=variable):
        StackConfig.from_env({variable: "vault.example.com:8200"})


def test_a_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    """A file in the home's place is said at once, not as a failure of some part."""
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(InvalidOption, match="not a directory"):
        StackConfig.from_env({"SLIPWAY_HOME": str(file)})


def test_a_database_of_another_kind_is_refused_without_repeating_it() -> None:
    """The address may hold a password, so the message does not list it."""
    with pytest.raises(InvalidOption) as caught:
        StackConfig.from_env({"SLIPWAY_PREFECT_DATABASE": "mysql://u:hunter2@h/d"})
    assert "hunter2" not in str(caught.value)


def test_a_configuration_does_not_show_the_databases_password() -> None:
    """`repr` of the configuration may end in a log."""
    config = StackConfig.from_env({"SLIPWAY_PREFECT_DATABASE": "postgresql://u:hunter2@h/d"})
    assert config.prefect_database is not None
    assert "hunter2" not in repr(config)


def test_a_port_that_was_chosen_once_stays(tmp_path: Path) -> None:
    """`slipway up --registry-port 5001`, then `make release`: the registry stays at 5001."""
    remember_ports(tmp_path, Ports(registry=5001))
    assert settle_ports(StackConfig(tmp_path)) == Ports(registry=5001)
    assert settle_ports(StackConfig(tmp_path, registry_port=5002)).registry == 5002


def test_parts_cannot_share_a_port(tmp_path: Path) -> None:
    """Two parts at one port is a slip in the options, said before anything starts."""
    with pytest.raises(InvalidOption, match="three different ports"):
        settle_ports(StackConfig(tmp_path, registry_port=8200))

"""The proxies that the environment names are used, and named where they fail."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from prefect_slipway.infra.domain.errors import ClusterUnreachable, InvalidOption
from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.access.kinds import POD
from prefect_slipway.infra.kubernetes.access.kubeconfig import ClusterAccess
from tests.conftest import SLIPWAY, RunningStack, clean_environment, run_program
from tests.git_repository import make_repository
from tests.kubernetes.server import KubernetesServer
from tests.proxies import THIS_MACHINE, HttpProxy, http_proxy, socks_proxy
from tests.releases import make_source
from tests.servers import registry_server, vault_server

NOWHERE = "127.0.0.1:1"
KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: a, cluster: {server: "https://k8s.example"}}]
users: [{name: a, user: {token: a}}]
contexts: [{name: a, context: {cluster: a, user: a}}]
current-context: a
"""


@pytest.fixture
def proxy() -> Iterator[HttpProxy]:
    with http_proxy() as proxy:
        yield proxy


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "source")


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return clean_environment(SLIPWAY_HOME=str(tmp_path / "home"))


def test_a_registry_and_a_vault_are_reached_through_a_proxy(
    proxy: HttpProxy, source: Path, tmp_path: Path, env: dict[str, str]
) -> None:
    """Over HTTP and over SOCKS; not where NO_PROXY names them."""
    with (
        registry_server(tmp_path, {"ci": "hidden"}) as registry,
        vault_server(tmp_path) as vault,
        socks_proxy(tmp_path) as socks,
    ):
        vault.put("secret/app", {"username": "ci", "password": "hidden"})
        places = {f"{THIS_MACHINE}:{registry.rpartition(':')[2]}", f"{THIS_MACHINE}:{vault.port}"}
        image = f"{THIS_MACHINE}:{registry.rpartition(':')[2]}/app"
        options = ["--image", image, "--insecure-registry", "--credentials", "vault:secret/app"]
        env |= {"VAULT_ADDR": f"http://{THIS_MACHINE}:{vault.port}", "VAULT_TOKEN": vault.token()["client_token"]}
        for variables, through in (
            ({"HTTP_PROXY": proxy.url}, places),
            ({"ALL_PROXY": socks}, set()),
            ({"HTTP_PROXY": proxy.url, "NO_PROXY": THIS_MACHINE}, set()),
        ):
            proxy.asked.clear()
            planned = run_program(SLIPWAY, "plan", source, *options, env=env | variables)
            assert "> check builder\n" in planned.stderr  # it has asked both, and there is none
            assert set(proxy.asked) == through


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ("plan {source} --image r.example/a", "r.example cannot be reached"),
        ("key vault:transit/a", "looking up the token: Vault at https://vault.example cannot be reached"),
        ("history a", "the Prefect server prefect.example does not answer"),
        (
            "plan https://a.example/a.zip --checksum sha256:{zeros} --image a.example/a",
            "https://a.example/a.zip cannot be",
        ),
        ("sweep", "the API server at https://k8s.example cannot be reached"),
    ],
)
def test_a_proxy_that_cannot_be_reached_is_named(
    arguments: str, what: str, source: Path, tmp_path: Path, env: dict[str, str]
) -> None:
    """Without its password. One that is no address is named by its variable."""
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(KUBECONFIG)
    env |= {
        "KUBECONFIG": str(kubeconfig),
        "PREFECT_API_URL": "https://prefect.example/api",
        "PREFECT_CLIENT_MAX_RETRIES": "0",
        "VAULT_ADDR": "https://vault.example",
        "VAULT_TOKEN": "token",
    }
    command: list[str | Path] = [SLIPWAY, *arguments.format(source=source, zeros="0" * 64).split()]
    for scheme in ("http", "socks5") if arguments != "sweep" else ("http",):
        failed = run_program(*command, env=env | {"HTTPS_PROXY": f"{scheme}://ci:hidden@{NOWHERE}"})
        assert what in failed.stderr
        assert re.search(
            rf" through the proxy ({scheme}://)?{NOWHERE}: connection refused\nNext: check the proxy, ", failed.stderr
        )
        assert "hidden" not in failed.stderr
    malformed = run_program(*command, env=env | {"HTTPS_PROXY": "ftp://ci:hidden@proxy.example"})
    assert "slipway: HTTPS_PROXY is not the address of a proxy\nNext: set it to http://HOST:PORT" in malformed.stderr
    assert "hidden" not in malformed.stderr


async def test_a_cluster_is_reached_through_a_proxy(
    proxy: HttpProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the environment, as kubectl does it, or of the kubeconfig, which comes first."""
    async with KubernetesServer(None) as server:
        config = server.kubeconfig(tmp_path)
        config.write_text(config.read_text().replace("127.0.0.1", THIS_MACHINE))
        access = ClusterAccess(str(config))
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        async with KubernetesApi(access) as api:
            assert await api.find(POD) == []
        assert set(proxy.asked) == {f"{THIS_MACHINE}:{server.port}"}
        config.write_text(config.read_text().replace("server:", f"proxy-url: http://{NOWHERE}\n    server:"))
        async with KubernetesApi(access) as api:
            with pytest.raises(ClusterUnreachable, match=f"through the proxy {NOWHERE}: connection refused"):
                await api.find(POD)
        config.write_text(config.read_text().replace("proxy-url: http", "proxy-url: socks5"))
        with pytest.raises(InvalidOption, match=f"through the proxy socks5://{NOWHERE}"):
            await KubernetesApi(access).__aenter__()


@pytest.mark.parametrize("name", ["HTTP_PROXY", "all_proxy"])
def test_nothing_on_this_machine_is_asked_through_a_proxy(name: str, stack: RunningStack, tmp_path: Path) -> None:
    """The whole stack, Prefect's own client with it, which would."""
    released = run_program(
        SLIPWAY, "release", make_source(tmp_path / "app"), env={**stack.env, name: f"http://{NOWHERE}"}
    )
    assert released.returncode == 0, released.stderr

"""Access to a cluster: a kubeconfig context, or the service account of the current pod."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import ConfigException, list_kube_config_contexts, load_incluster_config
from kubernetes.aio.config.kube_config import KubeConfigLoader, KubeConfigMerger

from prefect_slipway.infra.common.private_files import PrivateFiles
from prefect_slipway.infra.common.proxies import proxy_for, shown_proxy, unusable_proxy
from prefect_slipway.infra.common.reasons import reason
from prefect_slipway.infra.domain.errors import InvalidOption, KubeconfigInvalid

_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@dataclass(frozen=True, slots=True)
class ClusterAccess:
    """`kubeconfig`: one path or several separated as in PATH, None for this pod's service account.
    `context`: None for the kubeconfig's current one. `namespace`: None for the context's (or the pod's).
    """

    kubeconfig: str | None
    context: str | None = None
    namespace: str | None = None

    @classmethod
    def from_env(
        cls, env: Mapping[str, str], *, context: str | None = None, namespace: str | None = None
    ) -> ClusterAccess:
        """KUBECONFIG, else ~/.kube/config, else the pod's service account. Raises KubeconfigInvalid."""
        named = env.get("KUBECONFIG")
        default = Path(env.get("HOME") or "~").expanduser() / ".kube" / "config"
        if named or default.is_file():
            return cls(named or str(default), context, namespace)
        if env.get("KUBERNETES_SERVICE_HOST") and context is None:
            return cls(None, None, namespace)
        raise KubeconfigInvalid(f"there is no kubeconfig (KUBECONFIG is not set, {default} does not exist)")


@dataclass(frozen=True, slots=True)
class Login:
    """A client that is logged in. `in_cluster`: it runs in a pod of the very cluster."""

    client: ApiClient
    loader: KubeConfigLoader | None
    namespace: str
    in_cluster: bool

    @property
    def anonymous(self) -> bool:
        """Whether the kubeconfig has no credentials."""
        settings = self.client.configuration
        return not (settings.api_key or settings.cert_file or settings.username)

    async def refresh(self) -> None:
        """Take a new token from the kubeconfig's exec plugin when the last one nears its end."""
        if self.loader is not None and hasattr(self.loader, "exec_plugin_expiry"):
            await self.loader.load_from_exec_plugin()
            self.client.configuration.api_key["BearerToken"] = self.loader.token


def context_names(env: Mapping[str, str]) -> list[str]:
    """The contexts of KUBECONFIG. Raises KubeconfigInvalid."""
    access = ClusterAccess.from_env(env)
    if access.kubeconfig is None:
        return []
    with _understood(access):
        found, _current = list_kube_config_contexts(access.kubeconfig)
        return [str(each["name"]) for each in found]


async def log_in(access: ClusterAccess) -> Login:
    """A client for the cluster, without any request yet. Raises KubeconfigInvalid, InvalidOption for its proxy."""
    configuration = Configuration()
    files = PrivateFiles()
    with _understood(access):
        try:
            if access.kubeconfig is None:
                load_incluster_config(client_configuration=configuration)
                return Login(ApiClient(configuration), None, access.namespace or _pod_namespace(), in_cluster=True)
            loader = _loader(access.kubeconfig, access.context, files)
            await loader.load_and_set(configuration)
            # As kubectl does it (client-go, http.ProxyFromEnvironment); the official client knows `proxy-url` alone.
            configuration.proxy = _http_proxy(configuration.proxy or proxy_for(configuration.host, or_all=False))
            client = ApiClient(configuration)
        finally:
            files.close()  # OpenSSL has read them
    return Login(client, loader, access.namespace or _context_namespace(loader), in_cluster=False)


def _http_proxy(address: str | None) -> str | None:
    """Raises InvalidOption for what aiohttp does not speak to."""
    if address is None or urlsplit(address).scheme in {"http", "https"}:
        return address
    raise unusable_proxy() or InvalidOption(
        f"the API server cannot be reached through the proxy {shown_proxy(address) or 'that the kubeconfig names'}",
        action="use a proxy for HTTP: set `proxy-url` in the kubeconfig, or HTTPS_PROXY, to http://HOST:PORT",
    )


def namespace_of(access: ClusterAccess) -> str:
    """The selected namespace, without logging in. Raises KubeconfigInvalid."""
    if access.namespace is not None:
        return access.namespace
    files = PrivateFiles()
    with _understood(access):
        if access.kubeconfig is None:
            return _pod_namespace()
        try:
            return _context_namespace(_loader(access.kubeconfig, access.context, files))
        finally:
            files.close()


@contextmanager
def _understood(access: ClusterAccess) -> Iterator[None]:
    """Within: what is wrong with a kubeconfig is raised as KubeconfigInvalid."""
    try:
        yield
    except (ConfigException, OSError, ValueError, TypeError, yaml.YAMLError, binascii.Error) as error:
        raise KubeconfigInvalid(_what_is_wrong(access, error)) from error


def _context_namespace(loader: KubeConfigLoader) -> str:
    return str(loader.current_context["context"].get("namespace") or "default")


def _loader(paths: str, context: str | None, files: PrivateFiles) -> KubeConfigLoader:
    if not any(Path(path).expanduser().is_file() for path in paths.split(os.pathsep) if path):
        raise ConfigException("it does not exist")
    config = KubeConfigMerger(paths).config
    # The library would write keys from inside the file to /tmp, and leave them there after a kill -9.
    for user in config.value["users"]:
        _inline(user.value.get("user") or {}, ("client-certificate", "client-key"), files)
    for cluster in config.value["clusters"]:
        _inline(cluster.value.get("cluster") or {}, ("certificate-authority",), files)
    return KubeConfigLoader(config_dict=config, active_context=context, config_base_path=None)


def _inline(part: dict[str, Any], fields: tuple[str, ...], files: PrivateFiles) -> None:
    for field in fields:
        data = part.pop(f"{field}-data", None)
        if data:
            part[field] = str(files.add(field, base64.b64decode(data)))


def _pod_namespace() -> str:
    return _NAMESPACE_FILE.read_text(encoding="utf-8").strip() or "default"


def _what_is_wrong(access: ClusterAccess, error: Exception) -> str:
    where = access.kubeconfig or "this pod's service account"
    # ConfigException names keys, contexts and paths; everything else might quote the file.
    if isinstance(error, ConfigException):
        what = str(error)
    else:
        what = reason(error) if isinstance(error, OSError) else "it is not a kubeconfig"
    context = f", context {access.context}" if access.context else ""
    return f"{where}{context} cannot be used: {what}"

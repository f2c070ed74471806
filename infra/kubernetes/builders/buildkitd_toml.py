"""The daemon's configuration file (BuildKit, docs/buildkitd.toml.md)."""

from __future__ import annotations

import json
import re

from prefect_slipway.infra.kubernetes.builders.spec import PORT, BuilderSpec

CONFIG_DIR = "/etc/slipway-buildkit"
TLS_DIR = "/etc/slipway-buildkit-tls"
CONFIG_FILE = "buildkitd.toml"


def socket_path(spec: BuilderSpec) -> str:
    """The daemon's unix socket inside its pod, where `buildctl` looks for it by default in moby/buildkit's images."""
    return "/run/buildkit/buildkitd.sock" if spec.privileged else "/run/user/1000/buildkit/buildkitd.sock"


def ca_file(host: str) -> str:
    """The file below CONFIG_DIR with a registry's own CA (a ConfigMap's key: no colon)."""
    return f"ca-{re.sub(r'[^A-Za-z0-9.-]', '-', host)}.pem"


def buildkitd_toml(spec: BuilderSpec) -> str:
    """The file's text: where to listen, mutual TLS, what the cache is trimmed to, registries."""
    lines = [
        "[grpc]",
        f"address = {_list(f'unix://{socket_path(spec)}', f'tcp://0.0.0.0:{PORT}')}",
        "[grpc.tls]",
        f'cert = "{TLS_DIR}/tls.crt"',
        f'key = "{TLS_DIR}/tls.key"',
        f'ca = "{TLS_DIR}/ca.crt"',
        "[worker.containerd]",
        "enabled = false",
        "[worker.oci]",
        "enabled = true",
        "gc = true",
        f"maxUsedSpace = {spec.gc_bytes}",
    ]
    if not spec.privileged:
        # docs/rootless.md: Kubernetes masks /proc, so a step cannot mount a new one. Steps share the pod's process
        # ids then, which is why a builder is made for one release by default.
        lines += ["rootless = true", "noProcessSandbox = true"]
    for host, settings in sorted(spec.registries.items()):
        lines.append(f"[registry.{_string(host)}]")
        if settings.mirrors:
            lines.append(f"mirrors = {_list(*settings.mirrors)}")
        if settings.plain_http:
            lines.append("http = true")
        if settings.ca is not None:
            lines.append(f"ca = {_list(f'{CONFIG_DIR}/{ca_file(host)}')}")
    return "\n".join(lines) + "\n"


def _string(text: str) -> str:
    return json.dumps(text)  # TOML's basic strings escape as JSON's do


def _list(*texts: str) -> str:
    return f"[{', '.join(_string(text) for text in texts)}]"

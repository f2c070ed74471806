"""The verifiers that people run: cosign, skopeo with a node's policy, npm's @sigstore/verify."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from platformdirs import user_cache_path

from prefect_slipway.infra.domain.reference import ImageReference
from prefect_slipway.infra.domain.signing import PublicKey
from prefect_slipway.infra.signing.cluster import policy_json, registries_d
from tests.waiting import PATIENCE_S

Done = subprocess.CompletedProcess[str]

# Without a transparency log there is nothing to trust but the key.
_TRUSTED_ROOT = {"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1"}

_NPM_PACKAGES = ("@sigstore/verify@3.1.1", "@sigstore/bundle@4.0.0")
_NODE = """
const { bundleFromJSON } = require('@sigstore/bundle');
const { Verifier, toSignedEntity, toTrustMaterial } = require('@sigstore/verify');
const { createPublicKey } = require('crypto');
const { readFileSync } = require('fs');
const [bundle, hint, key] = process.argv.slice(1);
const nobody = { tlogs: [], certificateAuthorities: [], ctlogs: [], timestampAuthorities: [] };
const trusted = toTrustMaterial(nobody, (asked) => {
  if (asked !== hint) throw new Error('unknown key ' + asked);
  return { publicKey: createPublicKey(readFileSync(key)), validFor: () => true };
});
const verifier = new Verifier(trusted, { tlogThreshold: 0, ctlogThreshold: 0, tsaThreshold: 0, timestampThreshold: 0 });
verifier.verify(toSignedEntity(bundleFromJSON(JSON.parse(readFileSync(bundle)))));
"""


class Tools:
    """The programs, in a home of their own: nobody's configuration, keys or proxies. `folder`: for their files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._env = {"PATH": os.environ["PATH"], "HOME": str(folder), "COSIGN_PASSWORD": "of a test", "COSIGN_YES": "1"}

    def cosign(self, *arguments: str, env: Mapping[str, str] | None = None) -> Done:
        return self._run("cosign", *arguments, env=env)

    def cosign_verify(self, image: ImageReference, key: PublicKey, *options: str) -> Done:
        """Of cosign's older format."""
        return self.cosign(
            "verify", "--key", self.pem(key), "--insecure-ignore-tlog", "--allow-http-registry", *options, str(image)
        )

    def cosign_verify_attestation(self, image: ImageReference, key: PublicKey, predicate_type: str) -> Done:
        """Of a bundle that refers to the image."""
        root = self._file("trusted-root.json", json.dumps(_TRUSTED_ROOT))
        return self.cosign(
            *("verify-attestation", "--key", self.pem(key), "--insecure-ignore-tlog", "--allow-http-registry"),
            *("--new-bundle-format", "--trusted-root", root, "--type", predicate_type, str(image)),
        )

    def skopeo_copy(self, image: ImageReference, policy: Mapping[str, Any], scopes: Sequence[str]) -> Done:
        """Pull an image as a node with this policy.json does."""
        registries = self._folder / "registries.d"
        registries.mkdir(exist_ok=True)
        (registries / "signed.yaml").write_text(json.dumps(registries_d(scopes)))
        target = self._folder / "pulled"
        shutil.rmtree(target, ignore_errors=True)
        return self._run(
            *("skopeo", "copy", "--all", "--policy", self._file("policy.json", json.dumps(policy))),
            *("--registries.d", str(registries), "--src-tls-verify=false", f"docker://{image}", f"dir:{target}"),
        )

    def skopeo_verify(self, image: ImageReference, *keys: PublicKey) -> Done:
        return self.skopeo_copy(image, policy_json({image.name: keys}, others="reject"), [image.name])

    def skopeo_sign(self, image: ImageReference, private_key: Path) -> Done:
        """Push the image again to where it is, with a signature. `private_key`: of cosign's format."""
        password = self._file("password", self._env["COSIGN_PASSWORD"])
        registries = self._folder / "registries.d"
        registries.mkdir(exist_ok=True)
        (registries / "signed.yaml").write_text(json.dumps(registries_d([image.name])))
        policy = self._file("policy.json", json.dumps({"default": [{"type": "insecureAcceptAnything"}]}))
        return self._run(
            *(
                "skopeo",
                "copy",
                "--policy",
                policy,
                "--registries.d",
                str(registries),
                "--sign-passphrase-file",
                password,
            ),
            *("--sign-by-sigstore-private-key", str(private_key), "--src-tls-verify=false", "--dest-tls-verify=false"),
            *(f"docker://{image}", f"docker://{image.name}:signed"),
        )

    def npm_verify(self, bundle: bytes, key: PublicKey, hint: str | None = None) -> Done:
        """`hint`: under which the key is known, None for its own."""
        modules = npm_modules()
        return self._run(
            *("node", "-e", _NODE, "--", self._file("bundle.json", bundle.decode()), hint or key.hint, self.pem(key)),
            env={"NODE_PATH": str(modules)},
        )

    def pem(self, key: PublicKey) -> str:
        return self._file(f"{key.fingerprint}.pem", key.pem)

    def _file(self, name: str, text: str) -> str:
        path = self._folder / name
        path.write_text(text)
        return str(path)

    def _run(self, *argv: str, env: Mapping[str, str] | None = None) -> Done:
        return subprocess.run(
            argv,
            env={**self._env, **(env or {})},
            cwd=self._folder,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )


def npm_modules() -> Path:
    """The folder with npm's packages, kept from one run to the next; skips where npm cannot fetch them."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed")
    cache = user_cache_path("slipway-tests", ensure_exists=True)
    folder = cache / "-".join(each.strip("@").replace("/", "_") for each in _NPM_PACKAGES)
    if not folder.exists():
        fresh = Path(tempfile.mkdtemp(dir=cache))
        command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(fresh), *_NPM_PACKAGES]
        if subprocess.run(command, capture_output=True, check=False).returncode != 0:
            shutil.rmtree(fresh)
            pytest.skip(f"npm could not fetch {' and '.join(_NPM_PACKAGES)}")
        with suppress(OSError):  # another run was faster
            fresh.rename(folder)
    return folder / "node_modules"

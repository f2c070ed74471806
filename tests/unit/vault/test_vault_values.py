from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.secret_path import CredentialPath, SecretField, SecretPath
from prefect_slipway.infra.vault.access import (
    AppRoleAuth,
    GithubToken,
    GivenToken,
    JwtAuth,
    TokenAuth,
    TokenFile,
    VaultAccess,
)
from prefect_slipway.infra.vault.secrets import SecretValues

SECRET = "s.a-secret-of-a-test"
ADDRESS = {"VAULT_ADDR": "https://vault.example.com:8200/"}
GITHUB = {"ACTIONS_ID_TOKEN_REQUEST_URL": "https://token.example.com?v=1", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": SECRET}


@pytest.mark.parametrize(
    ("text", "mount", "path"),
    [
        ("vault:secret/app", "secret", "app"),
        ("vault:secret/team/app/registry", "secret", "team/app/registry"),
        ("vault:kv-v2/a.b_c@d=e", "kv-v2", "a.b_c@d=e"),
    ],
)
def test_a_secrets_place_is_read(text: str, mount: str, path: str) -> None:
    """vault:MOUNT/PATH, and back."""
    assert SecretPath.parse(text) == SecretPath(mount, path)
    assert str(SecretPath(mount, path)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "vault:",
        "vault:secret",
        "vault:secret/",
        "vault:/secret/app",
        "vault:secret//app",
        "vault:secret/app/",
        "secret/app",
        "vault://secret/app",
        "vault:secret/../sys/raw",
        "vault:./app",
        "vault:secret/a?version=1",
        "vault:secret/a%2fb",
        "vault:secret/a b",
        "vault:secret/a\n",
        "VAULT:secret/app",
    ],
)
def test_nonsense_is_no_place(text: str) -> None:
    """Whatever could mean another path of Vault's API is refused."""
    with pytest.raises(InvalidOption, match="vault:MOUNT/PATH"):
        SecretPath.parse(text)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("vault:secret/app", CredentialPath(SecretPath("secret", "app"))),
        ("vault:secret/app#token", CredentialPath(SecretPath("secret", "app"), "token")),
        (
            "vault:gcp/roleset/push/token#token,user=oauth2accesstoken",
            CredentialPath(SecretPath("gcp", "roleset/push/token"), "token", "oauth2accesstoken"),
        ),
    ],
)
def test_a_credentials_place_is_read(text: str, path: CredentialPath) -> None:
    """Fields other than `username` and `password` are named, and shown again."""
    assert CredentialPath.parse(text) == path
    assert str(path) == text


def test_a_tokens_place_is_read() -> None:
    """In the field `token`, or in the one that is named."""
    path = SecretPath("secret", "forge")
    assert SecretField.of_token("vault:secret/forge") == SecretField(path, "token")
    assert SecretField.of_token("vault:secret/forge#pat") == SecretField(path, "pat")
    for text in ("ghp_0123456789", "vault:secret/forge#", "vault:secret/forge#a b"):
        with pytest.raises(InvalidOption) as caught:
            SecretField.of_token(text)
        assert text not in str(caught.value)


@pytest.mark.parametrize("rest", ["#", "#a b", "#a,user=", "#a,user=x y", "#a,b", "#a,user=x,user=y", "#user:pa55word"])
def test_other_words_behind_a_place_are_refused(rest: str) -> None:
    """And not repeated: a password may have been typed there."""
    with pytest.raises(InvalidOption, match="#FIELD") as caught:
        CredentialPath.parse(f"vault:secret/app{rest}")
    assert "pa55word" not in f"{caught.value} {caught.value.action}"


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text raises anything but InvalidOption, and what is read has no way out of its mount."""
    try:
        path = SecretPath.parse(f"vault:{text}")
    except InvalidOption:
        return
    assert str(path) == f"vault:{text}"
    assert not {"", ".", ".."} & set(f"{path.mount}/{path.path}".split("/"))


@pytest.mark.parametrize(
    ("env", "auth"),
    [
        ({"VAULT_TOKEN": SECRET}, TokenAuth(SECRET)),
        ({"VAULT_ROLE_ID": "role", "VAULT_SECRET_ID": SECRET}, AppRoleAuth("role", SECRET)),
        ({"VAULT_TOKEN": SECRET, "VAULT_ROLE_ID": "role", "VAULT_SECRET_ID": "x"}, TokenAuth(SECRET)),
        (
            {"VAULT_ROLE_ID": "role", "VAULT_SECRET_ID": SECRET, "VAULT_APPROLE_MOUNT": "teams"},
            AppRoleAuth("role", SECRET, "teams"),
        ),
        ({"VAULT_TOKEN": "", "VAULT_KUBERNETES_ROLE": "builder"}, JwtAuth("builder", TokenFile(), "kubernetes")),
        (
            {
                "VAULT_KUBERNETES_ROLE": "builder",
                "VAULT_KUBERNETES_MOUNT": "k8s/prod",
                "VAULT_KUBERNETES_TOKEN_FILE": "/run/token",
            },
            JwtAuth("builder", TokenFile(Path("/run/token")), "k8s/prod"),
        ),
        ({"VAULT_JWT_ROLE": "ci", "VAULT_JWT": SECRET, **GITHUB}, JwtAuth("ci", GivenToken(SECRET))),
        (
            {"VAULT_JWT_ROLE": "ci", "VAULT_JWT_FILE": "/run/jwt", "VAULT_JWT_MOUNT": "gitlab"},
            JwtAuth("ci", TokenFile(Path("/run/jwt")), "gitlab"),
        ),
        ({"VAULT_JWT_ROLE": "ci", **GITHUB}, JwtAuth("ci", GithubToken("https://token.example.com?v=1", SECRET))),
        (
            {"VAULT_JWT_ROLE": "ci", "VAULT_JWT_AUDIENCE": "vault", **GITHUB},
            JwtAuth("ci", GithubToken("https://token.example.com?v=1", SECRET, "vault")),
        ),
    ],
)
def test_the_environment_names_the_way_in(env: dict[str, str], auth: object) -> None:
    """A token comes before a role, and a role before a service account and a CI's job; empty variables are none."""
    access = VaultAccess.from_env({**ADDRESS, **env})
    assert access.auth == auth
    assert (access.address, access.namespace, access.ca_file) == ("https://vault.example.com:8200", None, None)


def test_the_token_of_a_login_is_the_last_way_in(tmp_path: Path) -> None:
    """`vault login` and `bao login` store it in the home folder."""
    env = {**ADDRESS, "HOME": str(tmp_path)}
    stored = tmp_path / ".vault-token"
    for nothing in (b"", b"\n", b"\xff"):
        stored.write_bytes(nothing)
        with pytest.raises(InvalidOption, match="no login is"):
            VaultAccess.from_env(env)
    stored.write_text(f"{SECRET}\n")
    assert VaultAccess.from_env(env).auth == TokenAuth(SECRET)
    assert VaultAccess.from_env({**env, "VAULT_KUBERNETES_ROLE": "r"}).auth == JwtAuth("r", TokenFile(), "kubernetes")


@pytest.mark.parametrize("name", ["VAULT_ADDR", "VAULT_NAMESPACE", "VAULT_TOKEN", "VAULT_ROLE_ID", "VAULT_SECRET_ID"])
@pytest.mark.parametrize("value", [f"{SECRET}\n", f" {SECRET}", f"{SECRET}\x00x"])
def test_what_cannot_be_sent_is_told_by_its_name(name: str, value: str) -> None:
    """A Secret that was made of a file ends in a line break; no library's words, which quote it."""
    with pytest.raises(InvalidOption, match=f"^{name} has a line break") as told:
        VaultAccess.from_env({**ADDRESS, "VAULT_TOKEN": "t", name: value})
    assert SECRET not in str(told.value)


def test_the_environment_names_namespace_and_ca() -> None:
    """VAULT_NAMESPACE and VAULT_CACERT are taken over."""
    more = {"VAULT_TOKEN": SECRET, "VAULT_NAMESPACE": "team/a", "VAULT_CACERT": "/etc/ca.pem"}
    access = VaultAccess.from_env({**ADDRESS, **more})
    assert (access.namespace, access.ca_file) == ("team/a", Path("/etc/ca.pem"))


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"VAULT_TOKEN": SECRET},
        ADDRESS,
        {**ADDRESS, "VAULT_ROLE_ID": "role"},
        {**ADDRESS, "VAULT_SECRET_ID": SECRET},
        {**ADDRESS, "VAULT_JWT_ROLE": "ci"},
        {**ADDRESS, "VAULT_JWT_ROLE": "ci", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": SECRET},
        {"VAULT_ADDR": "vault.example.com", "VAULT_TOKEN": SECRET},
        {"VAULT_ADDR": "ftp://vault.example.com", "VAULT_TOKEN": SECRET},
        {"VAULT_ADDR": f"https://user:{SECRET}@vault.example.com", "VAULT_TOKEN": "t"},
    ],
)
def test_an_incomplete_environment_is_refused(env: dict[str, str]) -> None:
    """What cannot be a way into Vault is a usage error, without the secret."""
    with pytest.raises(InvalidOption) as caught:
        VaultAccess.from_env(env)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        TokenAuth(SECRET),
        AppRoleAuth("role", SECRET),
        GivenToken(SECRET),
        GithubToken("https://token.example.com", SECRET),
        VaultAccess("http://127.0.0.1:8200", TokenAuth(SECRET)),
        SecretValues(SecretPath("secret", "app"), {"password": SECRET}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_secrets_are_neither_shown_nor_stored(value: object) -> None:
    """No representation has the secret, and neither pickle nor copy takes it."""
    assert SECRET not in repr(value) + str(value)
    for store in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="must not be stored"):
            store(value)

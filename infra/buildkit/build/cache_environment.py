"""Settings that gha and s3 caches take from the environment, as `docker buildx build` does.

As addGithubToken, addAwsCredentials and isActive in build/opt.go (docker/buildx).
"""

from __future__ import annotations

import configparser
from collections.abc import Mapping
from pathlib import Path

from prefect_slipway.infra.domain.errors import InvalidOption
from prefect_slipway.infra.domain.options import parse_bool


def github_attributes(attributes: Mapping[str, str], env: Mapping[str, str]) -> dict[str, str] | None:
    """The address and token of GitHub's cache from its runner; None outside a runner.

    `url_v2` is for the second version of its API alone (`version=2`, or the runner says so); a daemon takes it if it
    knows that version.
    """
    found = dict(attributes)
    version = found.get("version") or ("2" if parse_bool(env.get("ACTIONS_CACHE_SERVICE_V2", "")) else "")
    results = env.get("ACTIONS_RESULTS_URL", "")
    places = {
        "url_v2": results if version == "2" else "",
        "url": env.get("ACTIONS_CACHE_URL") or results,
        "token": env.get("ACTIONS_RUNTIME_TOKEN", ""),
    }
    for key, value in places.items():
        if value:
            found.setdefault(key, value)
    return found if found.get("token") and (found.get("url") or found.get("url_v2")) else None


def aws_attributes(attributes: Mapping[str, str], env: Mapping[str, str]) -> dict[str, str]:
    """The keys for S3 unless they are given: the environment's, else those of AWS_PROFILE in the shared credentials
    file. With none of them the daemon uses what it has itself. Raises InvalidOption for a file that cannot be read."""
    found = dict(attributes)
    if not {"access_key_id", "secret_access_key"} <= found.keys():
        for key, value in (_aws_environment(env) or _aws_profile(env)).items():
            if value:
                found.setdefault(key, value)
    return found


def _aws_environment(env: Mapping[str, str]) -> dict[str, str]:
    """Both keys or nothing (config/env_config.go in aws/aws-sdk-go-v2)."""
    key = env.get("AWS_ACCESS_KEY_ID") or env.get("AWS_ACCESS_KEY", "")
    secret = env.get("AWS_SECRET_ACCESS_KEY") or env.get("AWS_SECRET_KEY", "")
    if not key or not secret:
        return {}
    return {"access_key_id": key, "secret_access_key": secret, "session_token": env.get("AWS_SESSION_TOKEN", "")}


def _aws_profile(env: Mapping[str, str]) -> dict[str, str]:
    named = env.get("AWS_SHARED_CREDENTIALS_FILE")
    if not named and not env.get("HOME"):
        return {}
    path = Path(named) if named else Path(env["HOME"]) / ".aws" / "credentials"
    file = configparser.RawConfigParser(default_section="\0")
    try:
        file.read_string(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, configparser.Error):
        # Without the reason: a parser's repeats the line.
        raise InvalidOption(f"the AWS credentials file {path} cannot be read") from None
    profile = env.get("AWS_PROFILE") or env.get("AWS_DEFAULT_PROFILE") or "default"
    if not file.has_section(profile):
        return {}
    section = dict(file.items(profile))
    names = {
        "access_key_id": "aws_access_key_id",
        "secret_access_key": "aws_secret_access_key",
        "session_token": "aws_session_token",
    }
    return {key: section.get(name, "") for key, name in names.items()}

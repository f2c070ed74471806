"""`slipway bake --call` asks each target's frontend; `--metadata-file` tells each target's image."""

from __future__ import annotations

import json
from pathlib import Path

from tests.git_repository import commit
from tests.integration.bake.conftest import ImageSet, unique, versions
from tests.releases import complaint
from tests.warm import WarmStarter


def test_each_target_is_asked(commands: WarmStarter, image_set: ImageSet, tmp_path: Path) -> None:
    """Also where it is based on another one, which does not exist yet; nothing is built."""
    dockerfile = "FROM base\n# an argument\nARG WORD=x\nRUN echo $WORD\n"
    commit(image_set.source, "feat: an argument", {"web.Dockerfile": dockerfile})
    ended = commands.run("bake", "web", "api", "--call", "outline", cwd=image_set.source)
    assert ended.code == 0, ended.stderr
    assert ended.stdout.startswith("api\n") and "\nweb\n" in ended.stdout and "WORD" in ended.stdout
    file = tmp_path / "answers.json"
    words = ("--call", "outline,format=json", "--metadata-file", str(file))
    found = json.loads(commands.run("bake", "web", *words, cwd=image_set.source).stdout)
    assert found["group"]["default"]["targets"] == ["web"]
    assert found["target"]["web"]["build"]["dockerfile"] == "web.Dockerfile"
    assert [arg["name"] for arg in found["target"]["web"]["outline"]["args"]] == ["WORD"]
    assert json.loads(file.read_text())["web"]["result.json"] == found["target"]["web"]["outline"]
    image_set.assert_released()


def test_a_call_that_nobody_knows(commands: WarmStarter, image_set: ImageSet) -> None:
    said = complaint(commands.run("bake", "web", "--call", "nonsense", cwd=image_set.source))
    assert "does not support the call 'nonsense'" in said


def test_the_metadata_of_a_release(commands: WarmStarter, image_set: ImageSet, tmp_path: Path) -> None:
    """Of what was asked for, by target; what is set holds for these images."""
    file = tmp_path / "metadata.json"
    words = ("--set", f"base.labels.kind={unique().split()[-1]}", "--metadata-file", str(file), "--format", "json")
    digests = versions(commands.run("bake", *words, cwd=image_set.source))
    metadata = json.loads(file.read_text())
    assert {target: each["containerimage.digest"] for target, each in metadata.items()} == digests
    assert metadata["web"]["image.name"].endswith(f"{image_set.prefix}/web:0.1.0")

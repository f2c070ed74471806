"""Each option does what it does in `docker buildx build`: same images, same files, same refusals."""

from __future__ import annotations

import io
import shutil
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.contract.buildkit.parts import BASE, BUSYBOX, Engine, run
from tests.integration.build.compared import BUILDX, OURS, built, environment

_FACTS = "/bin/busybox cat /etc/hosts; ulimit -n; /bin/busybox df -k /dev/shm | /bin/busybox tail -1; export"
FILES = {
    "Dockerfile": "FROM scratch AS first\nARG A=none\nARG HTTP_PROXY\nCOPY file /f\nENV A=$A\nFROM first\nLABEL l=1\n",
    "Other": "FROM scratch\nCOPY file /other\n",
    "sub/Dockerfile": "FROM scratch\nCOPY file /sub\n",
    "Run": BASE + run(f"({_FACTS}) > /facts") + "FROM scratch\nCOPY --from=0 /facts /\n",
    "Secret": BASE
    + run("cat /run/secrets/s > /secret || echo none > /secret").replace("RUN", "RUN --mount=type=secret,id=s")
    + "FROM scratch\nCOPY --from=0 /secret /\n",
    "Based": "FROM other\nCOPY --from=x file /x\n",
    "file": "content",
    "s": "from file s",
    "elsewhere/file": "elsewhere",
    "output/old": "old",
}


def archive() -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for name in ("Dockerfile", "file", "sub/Dockerfile"):
            entry = tarfile.TarInfo(name)
            entry.size = len(FILES[name])
            tar.addfile(entry, io.BytesIO(FILES[name].encode()))
    return data.getvalue()


def words(*texts: str) -> list[list[str]]:
    return [text.split() for text in texts]


ARGUMENTS = words(
    ". --build-arg A=1",
    ". --build-arg A=1 --build-arg A=2",
    ". --build-arg GIVEN",
    ". --build-arg NOWHERE",
    ". --build-arg =1",
    ". --build-arg HTTP_PROXY=http://p",
    ". --label x",
    ". --label x=y=z",
    ". --label =x",
    ". -t name",
    ". -t UPPER",
    ". -t a/b:c -t d",
    ". --target first",
    ". --target nowhere",
    ". --pull=false --no-cache=false --push=false --load=true",
    ". --pull=perhaps",
    ". --no-cache --no-cache-filter first",
    ". --cgroup-parent=",
    ". --isolation x --security-opt y --memory 1g --memory-swap -1 --cpu-shares 2 --rm=false --force-rm --squash",
    ". --nonsense",
    "",
)
PLATFORMS = words(
    ". --platform local",
    ". --platform linux/amd64",
    ". --platform LINUX/x86_64 -o type=oci,dest=o.tar",
    ". --platform linux/arm64 --platform linux/amd64,linux/arm/v7 -o type=oci,dest=o.tar",
    ". --platform linux/s390x,linux/s390x -o type=oci,dest=o.tar",
    ". --platform linux/arm64,linux/amd64 -o out",
    ". --platform=",
    ". --platform a/b/c/d",
)
LIMITS = words(
    ". -f Run --network none --shm-size 1.5g",
    ". -f Run --network none --shm-size 64MB",
    ". -f Run --network none --shm-size x",
    ". -f Run --network none --ulimit nofile=1000:2000",
    ". -f Run --network none --ulimit nofile=1000 --ulimit nofile=900",
    ". --ulimit nofile=x",
    ". --ulimit nofile",
    ". --ulimit nonsense=1",
    ". --ulimit nofile=2:1",
    ". -f Run --network none --add-host a:192.0.2.1 --add-host b=192.0.2.2 --add-host a:192.0.2.3",
    ". -f Run --network none --add-host six:2001:db8::1 --add-host sixth=[2001:db8::2]",
    ". --add-host a:b",
    ". --add-host a",
    ". --add-host :192.0.2.1",
    ". --network nonsense",
    ". --allow nonsense",
    ". --allow security.insecure",
)
SECRETS = words(
    ". -f Secret --network none --secret id=s",
    ". -f Secret --network none --secret id=s,src=file",
    ". -f Secret --network none --secret id=s,env=GIVEN",
    ". -f Secret --network none --secret id=s,type=env,src=GIVEN",
    ". -f Secret --network none --secret ID=s,SRC=file,TYPE=FILE",
    ". -f Secret --network none --secret src=s",
    ". -f Secret --network none --secret id=GIVEN",
    ". --secret id=s,src=missing",
    ". --secret type=vault,id=s",
    ". --secret id=s,nonsense=1",
    ". --secret s",
    ". --ssh default=missing",
    ". --ssh a=b,c=d",
)
CACHES = words(
    ". --cache-from type=local",
    ". --cache-from src=missing",
    ". --cache-to type=local",
    ". --cache-to type=inline",
    ". --cache-to type=nonsense,a=b",
    ". --cache-to type=registry",
)
CONTEXTS = words(
    ". -f Based --build-context other=elsewhere --build-context x=elsewhere -o out",
    ". -f Based --build-context docker.io/library/other:latest=elsewhere --build-context x=elsewhere -o out",
    ". -f Based --build-context other=elsewhere --build-context x=missing",
    ". --build-context =elsewhere",
    ". --build-context x",
    ". --build-context x=",
    "missing",
    "file",
    "sub -f Other",
    "sub",
    "sub -f missing",
    ". -f sub/Dockerfile",
)
OUTPUTS = words(
    ". -o out",
    ". -o -",
    ". -o type=local,dest=out",
    ". -o TYPE=local,DEST=out",
    ". -o type=local,dest=output",
    ". -o type=local",
    ". -o type=local,dest=-",
    ". -o type=local,dest=file",
    ". -o type=tar",
    ". -o type=tar,dest=-",
    ". -o type=tar,dest=out/",
    ". -o type=oci",
    ". -o type=oci,dest=o.tar,annotation.a=b -t named",
    ". -o type=oci,dest=layout,tar=false",
    ". -o type=oci,dest=layout,tar=perhaps",
    ". -o type=oci,tar=false",
    ". -o type=docker,dest=d.tar -t named",
    ". -o type=docker",
    ". --load -o type=local,dest=out",
    ". -o type=cacheonly",
    ". -o type=image,name=a/b,push=0",
    ". -o type=image,push=perhaps",
    ". -o type=image,push=true",
    ". -o type=nonsense",
    ". -o dest=out",
    '. -o "type=local","dest=a,b"',
    '. -o type=local,"dest=a"b',
    ". -o type=tar -o type=oci",
    ". -o type=local,dest=out -o type=tar,dest=x.tar",
    ". --push",
    ". --push -o type=local,dest=out",
    ". --push --load",
)
ATTESTATIONS = words(
    ". --annotation a=b -o type=oci,dest=o.tar",
    ". --annotation manifest[linux/amd64]:a=b -o type=oci,dest=o.tar",
    ". --annotation nonsense:a=b -o type=oci,dest=o.tar",
    ". --annotation a -o type=oci,dest=o.tar",
    ". --provenance=false --sbom=false",
    ". --provenance=perhaps",
    ". --attest type=provenance,disabled=true",
    ". --attest nonsense",
    ". --attest mode=max",
)
RESULTS = words(
    ". --iidfile missing/id",
    ". --iidfile sub",
    ". --iidfile id -o out",
    ". --iidfile id -f missing",
    ". --metadata-file missing/m",
    ". -q -o type=cacheonly",
    ". -q -o type=oci,dest=o.tar",
    ". -q --progress plain",
    ". --progress plain -q=false",
    ". --progress nonsense",
    ". --call nonsense",
    ". --call outline -f missing",
)
CASES = [*ARGUMENTS, *PLATFORMS, *LIMITS, *SECRETS, *CACHES, *CONTEXTS, *OUTPUTS, *ATTESTATIONS, *RESULTS]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "work"
    for name, content in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    shutil.copy2(BUSYBOX, root / "busybox")
    return root


def alike(engine: Engine, folder: Path, arguments: list[str], stdin: bytes = b"", **env: str) -> bool:
    """Both leave the same; whether it worked."""
    found = []
    for command in (BUILDX, OURS):
        with tempfile.TemporaryDirectory(dir=folder.parent) as name:
            place = shutil.copytree(folder, Path(name) / "work")
            found.append(built(command, arguments, place, environment(engine, folder.parent, **env), stdin))
    assert found[1] == found[0]
    return found[0].worked


@pytest.mark.parametrize("arguments", CASES, ids=" ".join)
def test_options(engine: Engine, folder: Path, arguments: list[str]) -> None:
    """What comes out, and whether, is the same."""
    alike(engine, folder, arguments, GIVEN="from the environment")


@pytest.mark.parametrize(
    ("arguments", "env"),
    [
        (["."], {"SOURCE_DATE_EPOCH": "1700000000"}),
        (["."], {"SOURCE_DATE_EPOCH": "x"}),
        ([".", "--build-arg", "SOURCE_DATE_EPOCH=1"], {"SOURCE_DATE_EPOCH": "x"}),
        ([".", "-o", "type=oci,dest=o.tar"], {"DOCKER_DEFAULT_PLATFORM": "linux/arm64"}),
        ([".", "-o", "type=oci,dest=o.tar", "--platform", "linux/386"], {"DOCKER_DEFAULT_PLATFORM": "linux/arm64"}),
        (["."], {"BUILDX_NO_DEFAULT_LOAD": "1"}),
        (["."], {"BUILDKIT_PROGRESS": "nonsense"}),
    ],
)
def test_environment(engine: Engine, folder: Path, arguments: list[str], env: Mapping[str, str]) -> None:
    """What the environment adds is the same."""
    alike(engine, folder, arguments, b"", **env)


@pytest.mark.parametrize("arguments", words("-", "- -f sub/Dockerfile", "- -f missing"), ids=" ".join)
def test_an_archive_on_standard_input(engine: Engine, folder: Path, arguments: list[str]) -> None:
    """It is the context, and the Dockerfile lies in it."""
    assert alike(engine, folder, arguments, archive()) == ("missing" not in arguments)


@pytest.mark.parametrize(
    ("arguments", "works"),
    [(["-"], True), ([".", "-f", "-"], True), (["-", "-f", "Other"], False), (["-", "-f-"], False)],
)
def test_a_dockerfile_on_standard_input(engine: Engine, folder: Path, arguments: list[str], works: bool) -> None:
    """It is one, with or without a context; two that are there are a mistake."""
    assert alike(engine, folder, arguments, b"FROM scratch\nWORKDIR /alone\n") == works


def test_docker_configuration(engine: Engine, folder: Path) -> None:
    """Its proxies are build arguments, unless one was given."""
    (folder / "docker").mkdir()
    (folder / "docker" / "config.json").write_text('{"proxies": {"default": {"httpProxy": "http://proxy.example:1"}}}')
    (folder / "Dockerfile").write_text("FROM scratch\nARG HTTP_PROXY\nENV P=$HTTP_PROXY\nCOPY file /f\n")
    for more in ([], ["--build-arg", "HTTP_PROXY=mine"]):
        assert alike(engine, folder, [".", *more], DOCKER_CONFIG="docker")

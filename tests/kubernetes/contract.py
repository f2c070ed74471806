"""What must hold of a builder in a cluster, whichever the cluster is."""

from __future__ import annotations

import asyncio
import base64
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import pytest

from prefect_slipway.infra.buildkit.address import BuilderAddress, TlsFiles
from prefect_slipway.infra.buildkit.client import BuildKit
from prefect_slipway.infra.domain.credentials import Credential
from prefect_slipway.infra.domain.errors import (
    BuilderCrashed,
    BuilderDeleted,
    BuilderDied,
    BuilderError,
    BuilderEvicted,
    BuilderImagePull,
    BuilderLost,
    BuilderRefused,
    BuilderTlsError,
    BuilderUnschedulable,
    Leftovers,
    NotOurs,
)
from prefect_slipway.infra.kubernetes.access.api import KubernetesApi
from prefect_slipway.infra.kubernetes.access.docker_config import parse_docker_config
from prefect_slipway.infra.kubernetes.access.kinds import CONFIG_MAP, LEASE, POD, SECRET, Kind
from prefect_slipway.infra.kubernetes.access.lease import renew, timestamp
from prefect_slipway.infra.kubernetes.builders.builder import KubernetesBuilder
from prefect_slipway.infra.kubernetes.builders.manifests import build_config, owned, run_lease
from prefect_slipway.infra.kubernetes.builders.sweep import remove_run, sweep
from tests.contract.buildkit.parts import run as run_step
from tests.kubernetes.cluster import ClusterUnderTest, build, buildkit, names_left, new_run, small_context

OURS = "app.kubernetes.io/managed-by=slipway"


def secret_config(secret: dict[str, Any]) -> dict[str, Credential]:
    return parse_docker_config(base64.b64decode(secret["data"][".dockerconfigjson"]).decode())


class BuilderContract:
    """Fixtures: `cluster` (an empty namespace), `api` (open on it)."""

    @pytest.mark.parametrize("reach", ["service", "port-forward"])
    async def test_a_build_goes_through_and_nothing_is_left(
        self, cluster: ClusterUnderTest, api: KubernetesApi, tmp_path: Path, reach: Literal["service", "port-forward"]
    ) -> None:
        """Provisioned, built and pushed with the Secret's credentials, by either way; then the namespace is empty."""
        run = new_run()
        async with KubernetesBuilder(api, cluster.spec(), run, source="s", reach=reach) as builder:
            provisioned = await builder.provision()
            assert (provisioned.reached, provisioned.found) == (reach, False)
            credentials = await builder.publish(
                cluster.credentials, [cluster.registry], registry=cluster.registry, repository="team"
            )
            context = small_context(tmp_path, run_step(f"echo {run.id} > /id"))
            outcome = await build(provisioned, context, f"{cluster.registry}/team/app:{run.id}", credentials)
            assert outcome.digest.startswith("sha256:")
            made = await names_left(api, f"slipway.dev/run={run.id}")
            assert f"Secret/registry-creds-{run.id}" in made
            assert f"ConfigMap/build-config-{run.id}" in made
            assert f"Lease/slipway-{run.id}" in made
            gone = await builder.close()
            assert {f"secret/registry-creds-{run.id}", f"service/buildkitd-{run.id}"} <= set(gone)
        assert await names_left(api, OURS) == []

    async def test_only_the_runs_own_client_is_let_in(self, cluster: ClusterUnderTest, api: KubernetesApi) -> None:
        """Without the client's certificate, or with another name expected, there is no connection."""
        async with KubernetesBuilder(api, cluster.spec(), new_run(), source="s") as builder:
            provisioned = await builder.provision()
            for tls in (
                TlsFiles(ca=provisioned.ca, server_name=provisioned.server_name),
                TlsFiles(provisioned.ca, provisioned.cert, provisioned.key, server_name="another.default.svc"),
            ):
                with pytest.raises((BuilderTlsError, BuilderLost)):
                    async with BuildKit(BuilderAddress.parse(provisioned.address, tls)) as daemon:
                        await daemon.info()
            async with buildkit(provisioned) as daemon:
                await daemon.info()

    @pytest.mark.parametrize(
        ("changes", "cause", "told"),
        [
            ({"image": "127.0.0.1:9/no/such:1"}, BuilderImagePull, "no/such"),
            ({"node_selector": {"slipway.dev/no-such-node": "x"}}, BuilderUnschedulable, "0/1 nodes"),
            # Not made for the pod's user: the daemon ends at once, and says why.
            ({"image": "docker.io/moby/buildkit:buildx-stable-1"}, BuilderCrashed, "rootless mode requires"),
        ],
    )
    async def test_what_cannot_succeed_says_why_at_once(
        self,
        cluster: ClusterUnderTest,
        api: KubernetesApi,
        changes: dict[str, Any],
        cause: type[BuilderError],
        told: str,
    ) -> None:
        """Long before the time for getting ready is over; and nothing is left of the attempt."""
        async with KubernetesBuilder(api, cluster.spec(**changes), new_run(), source="s") as builder:
            with pytest.raises(cause, match=told):
                await builder.provision()
        assert await names_left(api, OURS) == []

    async def test_a_quota_is_named(self, cluster: ClusterUnderTest, api: KubernetesApi) -> None:
        """Pods that may not be made are no reason to wait."""
        quota = Kind("ResourceQuota", "v1", "resourcequotas")
        body = {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "none"},
            "spec": {"hard": {"pods": "0"}},
        }
        made = await api._json("create", quota, "none", method="POST", path=quota.path(api.namespace), body=body)
        try:
            async with KubernetesBuilder(api, cluster.spec(), new_run(), source="s") as builder:
                with pytest.raises(BuilderRefused, match="exceeded quota"):
                    await builder.provision()
        finally:
            await api.delete(made, kind=quota)

    @pytest.mark.parametrize(
        ("how", "cause"), [("deleted", BuilderDeleted), ("evicted", BuilderEvicted), ("killed", BuilderDied)]
    )
    async def test_a_builder_lost_in_a_build_is_named_and_can_be_made_anew(
        self, cluster: ClusterUnderTest, api: KubernetesApi, tmp_path: Path, how: str, cause: type[BuilderError]
    ) -> None:
        """The pod's end is the cause, not a broken connection; the same builder provisions again and builds: at another
        pod, or, where the daemon alone was killed, at the same one, which is waited for.
        """
        run = new_run()
        async with KubernetesBuilder(api, cluster.spec(), run, source="s") as builder:
            provisioned = await builder.provision()
            slow = small_context(tmp_path, run_step(f"echo {run.id}; sleep 60"))
            image = f"{cluster.registry}/team/lost:{run.id}"
            building = asyncio.create_task(builder.guard(build(provisioned, slow, image, cluster.credentials)))
            await asyncio.sleep(1.5)
            assert not building.done()
            if how == "deleted":
                await api.delete((await api.get(POD, provisioned.pod)) or {}, kind=POD, grace_s=0)
            else:
                await {"evicted": cluster.evict, "killed": cluster.kill}[how](provisioned.pod)
            with pytest.raises(cause, match=provisioned.pod) as lost:
                await building
            assert lost.value.retryable
            assert f"pod/{provisioned.pod}: phase Running" in lost.value.details
            assert "user namespaces" not in str(lost.value)
            again = await builder.provision()
            assert (again.pod == provisioned.pod) == (how == "killed")
            context = small_context(tmp_path, run_step(f"echo {run.id}"))
            await build(again, context, image, cluster.credentials)

    async def test_a_rotated_credential_is_picked_up(self, cluster: ClusterUnderTest, api: KubernetesApi) -> None:
        """The next callback gets the new value, and the Secret holds it."""
        run, source = new_run(), cluster.credentials
        async with KubernetesBuilder(api, cluster.spec(), run, source="s") as builder:
            await builder.provision()
            hosts = [cluster.registry]
            credentials = await builder.publish(source, hosts, registry=cluster.registry, repository="team")
            assert await credentials.credential(cluster.registry) == cluster.credential
            source.current = Credential("builder", "rotated")
            assert await credentials.credential(cluster.registry) == Credential("builder", "rotated")
            secret = await api.get(SECRET, f"registry-creds-{run.id}")
            assert secret is not None
            assert secret["type"] == "kubernetes.io/dockerconfigjson"
            assert secret_config(secret) == {cluster.registry: Credential("builder", "rotated")}

    async def test_a_rotation_in_a_build_is_picked_up_by_the_push(
        self, cluster: ClusterUnderTest, api: KubernetesApi, tmp_path: Path
    ) -> None:
        """The password that was right when the build began is not when it pushes; the new one is asked for then."""
        run, source = new_run(), cluster.credentials
        async with KubernetesBuilder(api, cluster.spec(), run, source="s") as builder:
            provisioned = await builder.provision()
            hosts = [cluster.registry]
            credentials = await builder.publish(source, hosts, registry=cluster.registry, repository="team")
            context = small_context(tmp_path, run_step(f"echo {run.id}; sleep 4"))
            image = f"{cluster.registry}/team/rotated:{run.id}"
            building = asyncio.create_task(builder.guard(build(provisioned, context, image, credentials)))
            await asyncio.sleep(1.5)
            assert not building.done()
            cluster.set_password("another")
            try:
                source.current = Credential(cluster.credential.username, "another")
                assert (await building).digest
            finally:
                cluster.set_password(cluster.credential.password)

    async def test_somebody_elses_secret_is_met_before_anything_is_made(
        self, cluster: ClusterUnderTest, api: KubernetesApi
    ) -> None:
        """An object of the same name that Slipway did not make stays as it is, and is the only one there."""
        metadata = {"name": "registry-creds"}
        theirs = await api.create(
            {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"theirs": "eA=="}}
        )
        async with KubernetesBuilder(api, cluster.spec(lifetime="shared"), new_run(), source="s") as builder:
            with pytest.raises(NotOurs, match="registry-creds"):
                await builder.provision()
        assert await names_left(api, OURS) == []
        there = await api.get(SECRET, "registry-creds")
        assert there is not None
        assert there["data"] == theirs["data"]

    async def test_a_shared_builder_is_found_kept_and_swept(
        self, cluster: ClusterUnderTest, api: KubernetesApi
    ) -> None:
        """Two releases share the pod; who leaves takes nothing from the other, nor the last one the builder; the sweep
        does when it was idle for its time.
        """
        spec = cluster.spec(lifetime="shared", idle_s=600)
        first, second = (KubernetesBuilder(api, spec, new_run(), source="s") for _ in range(2))
        here, there = await first.provision(), await second.provision()
        assert (here.found, there.found) == (False, True)
        assert here.pod == there.pod
        for each in (first, second):
            await each.publish(cluster.credentials, [cluster.registry], registry="r", repository="t")
        await first.close()
        assert await api.get(SECRET, "registry-creds") is not None
        async with buildkit(there) as daemon:
            await daemon.info()
        await second.close()
        assert await api.get(SECRET, "registry-creds") is None
        assert (await sweep(api)).roots == ()
        async with KubernetesBuilder(api, spec, new_run(), source="s") as third:
            assert (await third.provision()).pod == here.pod
        await api.merge(
            LEASE, "buildkitd", {"spec": {"leaseDurationSeconds": 1, "renewTime": "2020-01-01T00:00:00.000000Z"}}
        )
        assert (await sweep(api)).roots == ("lease/buildkitd",)
        assert await names_left(api, OURS) == []

    async def test_a_builder_that_is_taken_up_while_it_is_swept_stays(
        self, cluster: ClusterUnderTest, api: KubernetesApi
    ) -> None:
        """The root is deleted only as the sweep read it."""
        spec = cluster.spec(lifetime="shared", image="127.0.0.1:9/no/such:1")
        with suppress(BuilderImagePull):
            async with KubernetesBuilder(api, spec, new_run(), source="s") as builder:
                await builder.provision()
        seen = await api.get(LEASE, "buildkitd")
        assert seen is not None
        await renew(api, "buildkitd")
        with pytest.raises(Exception, match="409"):
            await api.delete(seen, kind=LEASE, unchanged=True)
        await remove_run(api, "shared")

    async def test_a_shared_builder_that_nobody_uses_is_brought_up_to_date(
        self, cluster: ClusterUnderTest, api: KubernetesApi
    ) -> None:
        """Other options make other pods, unless another release builds there; then it is used as it is."""
        old, new = (cluster.spec(lifetime="shared", gc_limit=limit) for limit in ("1Gi", "500Mi"))
        async with KubernetesBuilder(api, old, new_run(), source="s") as first:
            here = await first.provision()
            async with KubernetesBuilder(api, new, new_run(), source="s") as second:
                there = await second.provision()
                assert (there.pod, there.found) == (here.pod, True)
        async with KubernetesBuilder(api, new, new_run(), source="s") as third:
            changed = await third.provision()
            assert (changed.found, changed.pod == here.pod) == (False, False)
            async with buildkit(changed) as daemon:
                await daemon.info()
        await remove_run(api, "shared")

    async def test_releases_that_begin_at_once_make_one_shared_builder(
        self, cluster: ClusterUnderTest, api: KubernetesApi
    ) -> None:
        """With one set of certificates; nobody is refused, and whoever ends leaves it to the others."""
        spec = cluster.spec(lifetime="shared")
        builders = [KubernetesBuilder(api, spec, new_run(), source="s") for _ in range(3)]
        provisioned = await asyncio.gather(*(builder.provision() for builder in builders))
        assert len({each.pod for each in provisioned}) == 1
        for builder, each in zip(builders, provisioned, strict=True):
            async with buildkit(each) as daemon:
                await daemon.info()
            await builder.close()
        assert await api.get(POD, provisioned[0].pod) is not None
        await remove_run(api, "shared")

    async def test_a_run_root_that_was_removed_is_made_anew(
        self, cluster: ClusterUnderTest, api: KubernetesApi
    ) -> None:
        """Whoever deletes the Lease takes the builder away; provisioning again makes both."""
        run = new_run()
        async with KubernetesBuilder(api, cluster.spec(), run, source="s") as builder:
            before = await builder.provision()
            await remove_run(api, run.id)
            after = await builder.provision()
            assert after.pod != before.pod
            async with buildkit(after) as daemon:
                await daemon.info()
        assert await names_left(api, OURS) == []

    async def test_what_would_not_go_is_reported(self, cluster: ClusterUnderTest, api: KubernetesApi) -> None:
        """By name, with what holds it; once that is gone, the next attempt ends clean."""
        run = new_run()
        lease = await api.create(run_lease(cluster.spec(), run, 60, timestamp(api.now())))
        held = owned(build_config(cluster.spec(), run, "registry.example", "team"), lease)
        held["metadata"]["finalizers"] = ["example.com/held"]
        await api.create(held)
        with pytest.raises(Leftovers, match=rf"configmap/build-config-{run.id} \(finalizers: .*example.com/held"):
            await remove_run(api, run.id, timeout_s=2.0)
        await api.merge(CONFIG_MAP, f"build-config-{run.id}", {"metadata": {"finalizers": []}})
        await remove_run(api, run.id)
        assert await names_left(api, OURS) == []

    async def test_two_releases_at_once_do_not_see_each_other(
        self, cluster: ClusterUnderTest, api: KubernetesApi
    ) -> None:
        """With the lifetime `run` each has objects of its own, and takes only those away."""
        one, two = new_run(), new_run()
        async with KubernetesBuilder(api, cluster.spec(), two, source="s") as second:
            async with KubernetesBuilder(api, cluster.spec(), one, source="s") as first:
                here, there = await asyncio.gather(first.provision(), second.provision())
                assert here.pod != there.pod
            assert await names_left(api, f"slipway.dev/run={one.id}") == []
            async with buildkit(there) as daemon:
                await daemon.info()
        assert await names_left(api, OURS) == []

    @pytest.mark.parametrize("reach", ["service", "port-forward"])
    async def test_a_source_keeps_its_replica(
        self, cluster: ClusterUnderTest, api: KubernetesApi, reach: Literal["service", "port-forward"]
    ) -> None:
        """Each of several sources gets the same pod again while that lives; of a pod that died, its sources get
        another one, and it is one that answers.
        """
        spec = cluster.spec(lifetime="shared", replicas=2)

        async def places(*sources: str) -> dict[str, str]:
            chosen = {}
            for source in sources:
                async with KubernetesBuilder(api, spec, new_run(), source=source, reach=reach) as builder:
                    provisioned = await builder.provision()
                    async with buildkit(provisioned) as daemon:
                        await daemon.info()
                    chosen[source] = provisioned.pod
            return chosen

        sources = [f"source {n}" for n in range(8)]
        before = await places(*sources)
        assert await places(*sources[:3]) == {source: before[source] for source in sources[:3]}
        dead = before[sources[0]]
        await api.delete((await api.get(POD, dead)) or {}, kind=POD, grace_s=0)
        after = await places(*sources)
        assert dead not in after.values()
        for source, pod in before.items():
            assert after[source] == pod or pod == dead
        assert len({after[source] for source, pod in before.items() if pod == dead}) == 1
        await remove_run(api, "shared")

    @pytest.mark.parametrize("lifetime", ["run", "shared"])
    async def test_killed_at_any_step_one_sweep_leaves_nothing(
        self, cluster: ClusterUnderTest, api: KubernetesApi, lifetime: str, killed: Callable[..., Any]
    ) -> None:
        """kill -9 after each write of a run; one sweep after the expiry removes all that it made."""
        writes = int(await killed(lifetime, "buildkitd"))
        assert writes >= 8
        await asyncio.sleep(2.2)
        await sweep(api)
        assert await names_left(api, OURS) == []
        assert await killed(lifetime, "builder", *(str(number) for number in range(1, writes))) == ""
        assert len(await names_left(api, OURS)) > writes
        await asyncio.sleep(2.2)
        await sweep(api)
        assert await names_left(api, OURS) == []


async def run_killed(cluster: ClusterUnderTest, *arguments: str) -> str:
    """tests.kubernetes.killed in a process of its own; what was printed before all was killed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.kubernetes.killed",
        *arguments,
        env=dict(cluster.environment),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await process.communicate()
    assert process.returncode in {0, -signal.SIGKILL}, errors.decode()
    return out.decode().strip()

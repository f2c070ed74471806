"""A builder's objects for people who apply them themselves."""

from __future__ import annotations

from datetime import timedelta

from prefect_slipway.infra.kubernetes.access.kinds import Object
from prefect_slipway.infra.kubernetes.access.labels import MANAGED_BY, RUN
from prefect_slipway.infra.kubernetes.builders.certificates import BuilderCertificates, make_certificates
from prefect_slipway.infra.kubernetes.builders.manifests import builder_objects, client_tls
from prefect_slipway.infra.kubernetes.builders.spec import BuilderSpec, Names, Run

_LIFETIME = timedelta(days=2 * 365)
_BY_HAND = "slipway-manifests"


def printed_objects(spec: BuilderSpec, namespace: str) -> list[Object]:
    """All objects of a shared builder in `namespace`, certificates included.

    They bear another `managed-by` than those that Slipway makes itself and no run's label, so that neither a release
    nor a sweep takes them for its own.
    """
    run = Run("printed")
    builders = spec.for_each_architecture()
    # A client has one certificate for all nodes of its builder.
    first, *others = (Names.of(each, run).builder for each in builders)
    certificates = make_certificates(first, namespace, _LIFETIME, others=others)
    return [obj for each in builders for obj in _of_one(each, run, certificates, namespace)]


def _of_one(spec: BuilderSpec, run: Run, certificates: BuilderCertificates, namespace: str) -> list[Object]:
    objects = [*builder_objects(spec, run, certificates, None), client_tls(spec, run, certificates)]
    for obj in objects:
        metadata = [obj["metadata"]]
        if obj["kind"] == "Deployment":
            metadata.append(obj["spec"]["template"]["metadata"])
        for each in metadata:
            each["labels"] = {**each["labels"], MANAGED_BY: _BY_HAND}
            del each["labels"][RUN]
        obj["metadata"]["namespace"] = namespace
    return objects

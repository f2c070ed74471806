"""A release: from source to public, versioned, verified and recorded images. Each step is a file in `steps`."""

from prefect import flow
from prefect.runtime import flow_run

from prefect_slipway.flows.planning.source import FetchedSource, known_host
from prefect_slipway.flows.planning.who_builds import with_nodes
from prefect_slipway.flows.request.release import ReleaseRequest
from prefect_slipway.flows.run.after_crash import remove_what_is_left
from prefect_slipway.flows.run.flow_run import About, as_run
from prefect_slipway.flows.run.interrupts import whatever_comes
from prefect_slipway.flows.run.made import Made
from prefect_slipway.flows.run.open_run import OpenRun, open_run
from prefect_slipway.flows.run.pull_commands import pull_commands
from prefect_slipway.flows.run.recorded_parameters import read_before_recorded
from prefect_slipway.flows.run.reservation import kept_alive
from prefect_slipway.flows.run.verify_commands import verify_commands
from prefect_slipway.flows.steps.announce import announce_release
from prefect_slipway.flows.steps.approve import wait_for_approval
from prefect_slipway.flows.steps.build import Builds
from prefect_slipway.flows.steps.course import Course, cleaned_up, cleaned_up_name, told
from prefect_slipway.flows.steps.credentials import check_named_secrets, check_secrets_of_files, read_credentials
from prefect_slipway.flows.steps.export_cache import export_caches
from prefect_slipway.flows.steps.fetch import fetch_source
from prefect_slipway.flows.steps.forge import show_on_forge
from prefect_slipway.flows.steps.gates import check_gates, pass_gates, waiver_warnings
from prefect_slipway.flows.steps.notes import attach_missing_notes, attach_notes
from prefect_slipway.flows.steps.provision import provision_builder
from prefect_slipway.flows.steps.pull_request import propose_release
from prefect_slipway.flows.steps.record import name_run, show_plan
from prefect_slipway.flows.steps.sign import check_signing_keys, sign
from prefect_slipway.flows.steps.tag import make_public
from prefect_slipway.flows.steps.verify import verify
from prefect_slipway.flows.steps.version import plan_version
from prefect_slipway.flows.values.builder import BuilderFacts
from prefect_slipway.flows.values.result import ReleaseResult
from prefect_slipway.infra.common.concurrently import run_concurrently


# The result is kept as JSON: a deploy that is chained to this run reads it, and nothing has to be unpickled.
@read_before_recorded
@flow(
    name="release",
    flow_run_name="{request.run_name}",
    persist_result=True,
    result_serializer="json",
    on_crashed=[remove_what_is_left],
    on_cancellation=[remove_what_is_left],
)
async def release(request: ReleaseRequest) -> ReleaseResult:
    """Release container images: build with BuildKit, push under the next semantic version and record the run.

    Several images (`bake`) share one version, and either all or none become public. The components that a release file
    describes have a version each, and a run each of this flow.
    """
    about = About("release", request.subject, f"{request.called} was not released", request.shown)
    return await as_run(lambda: _release(request), about, lambda result: result.summary, name=cleaned_up_name)


async def _release(request: ReleaseRequest) -> ReleaseResult:
    async with told(request) as course:
        async with open_run(request, run=str(flow_run.id), attempt=flow_run.run_count) as run:
            made = Made(run.builder)
            async with cleaned_up(course, made):
                await _in_order(run, course, made)
            if course.deploys:
                # The builder is gone, and the version nobody's any more: what follows may take minutes.
                from prefect_slipway.flows.steps.deploy_targets import follow_targets

                course.deploys = await follow_targets(course.targets, course.deploys)
                await whatever_comes(course.record_more())
        return course.result()


async def _in_order(run: OpenRun, course: Course, made: Made) -> None:
    source, builder = await _begin(run, made)
    if run.components is not None:
        from prefect_slipway.flows.steps.components import release_components  # no other release needs it

        course.of_components = await release_components(run, source.checkout, release)
        return
    registries = source.registries
    await check_secrets_of_files(run, source)
    gates = await check_gates(run, source)
    course.warnings = waiver_warnings(gates)
    course.plan = plan = await plan_version(run, source, made)
    if plan.pull_request is not None:
        plan, course.forge = await propose_release(run, source, plan)
        course.plan = plan
    if builder is not None:
        course.plan = plan = with_nodes(plan, source, builder, emulate=run.request.builder.emulate)
    if plan.nothing_to_release:
        await name_run(plan)
        course.warnings += await attach_missing_notes(run, registries, plan)
        course.forge = course.forge or await show_on_forge(run, registries, plan)
        if run.request.deploy and plan.last_version is not None:
            from prefect_slipway.flows.steps.deploy_targets import targets_to_finish, write_targets

            course.targets, images = await targets_to_finish(run, registries, plan)
            course.deploys = await write_targets(run, registries, course.targets, plan, images)
        await course.record()
        return

    await run_concurrently(name_run(plan), show_plan(plan))
    if run.request.deploy:
        from prefect_slipway.flows.steps.deploy_targets import check_targets

        course.targets = await check_targets(run, plan)
    course.builds = builds = Builds(run, source, plan, made.reserved)
    async with kept_alive(made.reserved):
        async with course.failure_recorded():
            if run.request.approval.required:
                await wait_for_approval(run, source, plan)
            with builds.outputs:
                built = await builds.all(builder or await provision_builder(run, registries.host))
                course.verified = verified = await verify(registries, built)
                builds.keep_outputs(verified)
            gated = await pass_gates(run, registries, plan, verified, gates, course.tested)
            course.signed = await sign(run, registries, plan, verified, gated)
            course.warnings += await attach_notes(run, registries, plan, verified)
            # From here on the release becomes public: an interruption is too late.
            course.tagged = await whatever_comes(make_public(registries, plan, verified, made.reserved))
        await whatever_comes(announce_release(plan, course.result(), course.steps_s))
        course.pull = await whatever_comes(pull_commands(run, registries, course.references))
        course.verify = verify_commands(run.request, registries, plan.sign, course.references)
        await whatever_comes(course.record())
        # Everything is public and recorded: what follows is not needed for that, and an interruption ends it.
        if course.targets:
            from prefect_slipway.flows.steps.deploy_targets import released_images, write_targets

            course.deploys = await write_targets(
                run, registries, course.targets, plan, released_images(course.result())
            )
        course.forge = await show_on_forge(run, registries, plan, course.references)
        await export_caches(run, registries, builds)
        await whatever_comes(course.record_more())


async def _begin(run: OpenRun, made: Made) -> tuple[FetchedSource, BuilderFacts | None]:
    """Do independent steps at the same time. If there may be nothing to release, or the release waits for an
    approval, no builder is created before that is decided."""
    source = await fetch_source(run, made) if run.release_file_decides or run.components is not None else None
    if source is not None and run.components is not None:
        return source, None
    await check_named_secrets(run)
    await check_signing_keys(run)
    host = known_host(run)
    if source is not None or host is None:
        source = source or await fetch_source(run, made)
        await read_credentials(source.registries)
        return source, None
    # Before a builder is made: a place in Vault that is wrong is told at once.
    await read_credentials(run.registries(host))
    if run.request.version.only_new or run.request.approval.required or run.request.approval.pull_request:
        return await fetch_source(run, made), None
    builder, source = await run_concurrently(provision_builder(run, host), fetch_source(run, made))
    return source, builder

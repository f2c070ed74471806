"""What Slipway registers with Prefect's server: work pools, block types, deployments, automations.

Each is compared with what the server has before anything is written, so registering again changes nothing. The files
in `deployments/` say what there should be; plain Prefect understands them as well (`prefect deploy --all`,
`prefect work-pool create --base-job-template FILE`, `prefect automation create --from-file FILE`).
"""

from prefect_slipway.flows.registration.outcome import Outcome, Registered
from prefect_slipway.flows.registration.register import Kind, register

__all__ = ["Kind", "Outcome", "Registered", "register"]

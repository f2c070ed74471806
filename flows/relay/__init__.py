"""Start runs from webhooks: a small HTTP service between git forges and Prefect.

`server` reads a delivery (bounded in size, time and number), the `forges` check its signature and read the push in it,
`rules` say which deployments it starts, `dispatch` tells Prefect. Prefect's own inbound webhooks are a feature of its
cloud; this needs the open-source server alone.
"""

LOGGER = "slipway.relay"
"""Not the modules' own names: Prefect would send what is logged under those to a run, and there is none here."""

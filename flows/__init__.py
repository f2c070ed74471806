"""Slipway's flows, tasks and command line. Kept empty of imports: `slipway build` must start without Prefect."""

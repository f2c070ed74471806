"""Signatures and attestations: their formats and their verification. No network.

`simple`, `dsse`, `statement`, `gate_result`, `bundle`: the formats; `keys`: who is trusted; `verification`: what holds;
`cluster`: what a cluster and its nodes need to verify on their own.
"""

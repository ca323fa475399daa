"""What a call through the gateway costs, beside nginx proxying the same bytes and beside the direct call.

`python -m bench` runs everything on loopback, with each program on a core of its own, and writes `results/`.
`python -m bench.micro` prints what single steps of the hot path cost.
"""

"""What a call costs, beside the peers and beside the practical limit: nginx and HAProxy passing the same bytes on.

`python -m bench` runs everything on loopback, what is measured on one core and the load with the upstreams on another,
and writes `results/`. The parts: `contestants/` start what is compared, before a `backing`; `cases` say what is
measured; `stands` and `rounds` have all take turns; `figures` holds the outcome against what is promised; `report`,
`page` and `plot` write it down. `python -m bench.micro` prints what single steps of the hot path cost.
"""

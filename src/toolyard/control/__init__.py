"""The control plane: the truth in a database, managed through one API, published to gateways.

One folder a capability, with the same file names in each: `routes` (HTTP), `schema` (what the API takes and gives),
`service` (decides), `store` (the only SQL), `model` (tables), `events` (facts), `errors`.
"""

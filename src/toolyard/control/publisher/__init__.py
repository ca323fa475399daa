"""Rows into the snapshot that gateways serve: the only writer of it."""

"""Importers: what other programs write down of MCP servers, as upstreams."""

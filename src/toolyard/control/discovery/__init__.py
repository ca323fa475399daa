"""Discovery: which MCP servers there are, on given hosts, in clients' files and on a registry."""

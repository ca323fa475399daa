"""MCP on the wire, without any input or output: strict JSON, JSON-RPC, every revision, headers, errors, conversion."""

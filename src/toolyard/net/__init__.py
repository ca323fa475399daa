"""Everything that leaves: URL grammar, address guard, dialling, TLS, the pooled HTTP/1.1 client, WebSocket channels.

Every driver connects through this package. Nothing here follows redirects, keeps cookies, or reads proxy settings or
`.netrc` from the environment.
"""

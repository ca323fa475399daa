"""The API keys of virtual servers: made, rotated, revoked; shown once."""

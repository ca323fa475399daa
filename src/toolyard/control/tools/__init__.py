"""Tools, resources and prompts: what upstreams were seen to offer, and what people here say about it."""

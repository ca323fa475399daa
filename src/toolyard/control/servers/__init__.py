"""Virtual servers: which tools are offered at which URL, under which names, to whom."""

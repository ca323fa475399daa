"""Pages for people that work before, and without, anything else: the set-up of the first administrator."""

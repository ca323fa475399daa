"""Several gateway processes on one port, as one gateway: who owns what, and how the others reach it.

Every legacy session, stateful upstream and parked call belongs to one worker. The others carry to it what concerns it,
over Unix sockets in the data directory that only this user can open. A gateway of one process has none of this.
"""

"""Client transports, one file each. All of them end in the same entry, `gateway.exchange`."""

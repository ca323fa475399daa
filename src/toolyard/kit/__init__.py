"""Mechanisms without domain: errors, clock, ids, secrets, environment references, fault points, logs."""

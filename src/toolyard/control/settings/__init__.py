"""Feature switches, and settings that are changed while everything runs."""

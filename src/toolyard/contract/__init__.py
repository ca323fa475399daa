"""What the planes tell each other: snapshots down, observations up, and the function that makes a catalog of both."""

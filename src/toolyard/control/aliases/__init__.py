"""The founding documents' own paths, in their own shape, in front of the slices that do the work."""

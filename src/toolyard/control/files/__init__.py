"""Uploaded files: their content on disk, everything else about them in the database."""

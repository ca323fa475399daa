"""Toolyard: one URL for every team or agent, tools from anywhere behind it."""

__version__ = "0.1.0"

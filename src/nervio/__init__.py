"""Nervio: the nervous system of a retail business, in one program."""

__version__ = "0.1.0"

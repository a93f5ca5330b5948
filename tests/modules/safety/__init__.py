"""Tests of the safety module: its rules, the watch over the halts, its routes."""

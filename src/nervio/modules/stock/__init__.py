"""Levels, lots, holds and movements.

Owns how much there is of each product at each location and who it is promised to. Promises that units sold or held
never exceed units there were (unless a location says so), that every change is a journal entry, and that levels equal
the journal at any moment. Never knows prices or money.
"""

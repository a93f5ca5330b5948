"""Tickets, payments and returns.

Owns what was sold, at which price, and how it was paid. Promises that a ticket is atomic: its stock, its money and its
journal entry are one commit. Never changes a ticket; a return is a ticket of its own against the first.
"""

"""The demo shops: real data as small files of this package, read and planned in pure Python.

Owns the data files (each with its licence and source beside it), their readers, and the planners that turn them into
plain records in the order in which they happened. It writes nothing and knows no module of the house: who loads the
records goes through the same use cases as a till does.
"""

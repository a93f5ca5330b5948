"""The stress test that a user runs against a running server: buyers for the last units, and the stop in the middle of it.

It speaks to the server as any client does, over HTTP, and believes nothing but what the API answers. The client is made of the
standard library (`wire.py`): what it tests is connections that are cut in the middle, which a client library keeps to itself.
"""

"""What the HTTP routes of all modules share: the request's context, headers, pages, and the shape of a manifest.

Owns no route and no rule. Promises that every route sees the same context and answers lists in the same shape.
"""

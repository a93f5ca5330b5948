"""The HTTP face: the application, the middlewares before it, problem details, metrics, health and the API browser.

Owns what is the same for every route. Promises that every error is a problem (RFC 9457), that every answer carries its
request id and the security headers, and that nothing passes a stop that should not. Never decides anything for a module.
"""

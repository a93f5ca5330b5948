"""How identity does what its api promises: passwords, tokens, throttle, look-ups, and the commands that write.

Owned by identity alone; other modules call `nervio.modules.identity.api`. Never knows a web framework.
"""

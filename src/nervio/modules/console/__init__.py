"""The console: the pages people work in.

Owns the shell (layout, components, icons, texts, live stream, offline queue) and the rooms that show what other modules
know. Promises that every page works from the keyboard, with a scanner, on a phone, in Spanish and in English, under the
policy ``default-src 'self'``. Never holds a business rule: a figure shown here was computed by the module that owns it.
"""

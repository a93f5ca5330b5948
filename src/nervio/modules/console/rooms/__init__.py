"""The rooms of the console, one folder each: what a person can open.

A room reads what was asked, calls the api of the modules that know, and draws a page. It owns no rule and no table, never
imports another room, and shares with others only what the console's own files (requests, tables, charts) offer.
"""

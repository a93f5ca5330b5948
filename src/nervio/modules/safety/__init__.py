"""The policy over the halt fence.

Owns scopes, who may stop and who may resume, and the audit of both. Promises that once a freeze is acknowledged no write
in its scope commits, on any process. Never enforces the fence itself: that is `db.halt`, under every write.
"""

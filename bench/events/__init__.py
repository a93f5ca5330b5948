"""Events under kill -9 of everything, beside buses used without an outbox; and how fast they go."""

"""How soon a stop holds on every process, and what is still written after it was acknowledged, beside feature flags."""

"""The tables of safety, one file a concern: the policy of stops (`halts`), `drills`, external actions (`actions`), alerts
(`alerts`), `rules`."""

from __future__ import annotations

from nervio.modules.safety.models import drills, halts

__all__ = ["drills", "halts"]

"""Which permission a route needs, said where the route is declared."""

from __future__ import annotations

from typing import Any

from fastapi import Depends

from nervio.web.request import CurrentCtx


def needs(permission: str) -> dict[str, Any]:
    """What a route's decorator takes (`**needs("stock.read")`), so that who may not is told so before the body is judged.

    The use case asks again: it is what the rule lives in. `x-permission` shows it to readers of the OpenAPI document.
    """

    def check(ctx: CurrentCtx) -> None:
        ctx.require(permission)

    return {"dependencies": [Depends(check)], "openapi_extra": {"x-permission": permission}}

"""The page of the vital signs. It loads its figures again by itself every two seconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from starlette.requests import Request
from starlette.responses import Response

from nervio.modules.console.answers import page_router
from nervio.modules.console.requests import open_frame
from nervio.modules.console.rooms.vitals.figures import read_samples, read_vitals
from nervio.modules.safety import api as safety

VITALS = "/console/safety/vitals"

router = page_router()


@router.get(VITALS)
async def show_vitals(request: Request) -> Response:
    """What this process counts for all shops together, so for those only who answer for the whole installation."""
    frame = await open_frame(request, safety.STOP_INSTALLATION)
    samples = read_samples()
    started = samples.get("process_start_time_seconds")
    since = datetime.fromtimestamp(started, UTC) if started else datetime.now(UTC) - timedelta(seconds=1)
    return frame.page("vitals", {"groups": read_vitals(samples, frame.formats.number), "since": since})

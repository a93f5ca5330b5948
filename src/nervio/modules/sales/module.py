"""The sales module's manifest."""

from __future__ import annotations

from nervio.events.sales import RETURN_RECORDED
from nervio.modules.sales.routes.selling import SALE
from nervio.modules.sales.routes.tickets import router
from nervio.modules.sales.usecases import probing
from nervio.ports.probes import About
from nervio.web.manifest import Manifest, Probe

PROBES = (
    Probe(
        "sales.margin",
        "bp",
        About.PRODUCT,
        "The lowest margin at which a product was sold in the window: price without tax less today's cost, of the price.",
        seconds=5.0,
        read=probing.read_margins,
    ),
    Probe(
        "sales.margin_fall",
        "bp",
        About.TENANT,
        "How far the margin of all sales in the window lies below that of the days before it, both at today's costs.",
        seconds=60.0,
        read=probing.read_margin_fall,
    ),
    Probe(
        "sales.refunds",
        "bp",
        About.LOCATION,
        "Money given back at a location, of money taken in the window, less the same of the days before it.",
        seconds=10.0,
        read=probing.read_refunds,
        hears=(RETURN_RECORDED,),
    ),
    Probe(
        "sales.discounts",
        "bp",
        About.LOCATION,
        "How much less than today's list price a location took in the window, of that list price.",
        seconds=10.0,
        read=probing.read_discounts,
    ),
    Probe(
        "sales.days_left",
        "days",
        About.PRODUCT,
        "Days until what is available of a product everywhere is sold, at the rate at which the window sold it.",
        seconds=120.0,
        read=probing.read_days_left,
    ),
)

MANIFEST = Manifest(
    name="sales",
    routers=(router,),
    hot_routes=(SALE,),
    probes=PROBES,
    permissions={
        "sales.read": frozenset({"admin", "negocio", "ml_service", "cashier"}),
        "sales.write": frozenset({"admin", "negocio", "cashier"}),
        "sales.return": frozenset({"admin", "negocio", "cashier"}),
        # Money out of the till without a ticket to check it against.
        "sales.return_blind": frozenset({"admin", "negocio"}),
        "sales.write_off": frozenset({"admin", "negocio"}),
    },
)

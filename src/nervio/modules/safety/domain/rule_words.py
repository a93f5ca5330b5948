"""Why a rule tripped, in words and with the figures, in Spanish and English."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from nervio.kernel.money import minor_digits
from nervio.kernel.quantity import format_quantity

LANGUAGES = ("es", "en")

_SENTENCES: Mapping[str, Mapping[str, str]] = {
    "critical_stock": {
        "es": "Quedan {available_milli} de {product} en {location}; el nivel crítico es {critical_milli} ({value}, la "
        "regla salta en {threshold}).",
        "en": "{available_milli} of {product} are left at {location}; the critical level is {critical_milli} ({value}, "
        "the rule trips at {threshold}).",
    },
    "running_out": {
        "es": "{product} se acaba en {value}: quedan {available_milli} y en {window_days} se vendieron {sold_milli}; "
        "reponer tarda {threshold}.",
        "en": "{product} runs out in {value}: {available_milli} are left and {sold_milli} were sold in {window_days}; "
        "restocking takes {threshold}.",
    },
    "negative_margin": {
        "es": "{product} se vendió con un margen de {value}: {net_minor} sin impuestos y cuesta {cost_minor} (la peor de "
        "{samples_count} líneas; la regla salta en {threshold}).",
        "en": "{product} was sold at a margin of {value}: {net_minor} without tax, and it costs {cost_minor} (the worst of "
        "{samples_count} lines; the rule trips at {threshold}).",
    },
    "margin_fall": {
        "es": "El margen cayó {value}: de {usual_bp} a {now_bp} en {samples_count} líneas (la regla salta en {threshold}).",
        "en": "The margin fell by {value}: from {usual_bp} to {now_bp} over {samples_count} lines (the rule trips at "
        "{threshold}).",
    },
    "refunds": {
        "es": "En {location} se devolvió {now_bp} de lo vendido; lo habitual es {usual_bp} ({value} de más en "
        "{samples_count} tickets, la regla salta en {threshold}).",
        "en": "At {location} {now_bp} of what was sold went back; {usual_bp} is usual ({value} more over {samples_count} "
        "tickets, the rule trips at {threshold}).",
    },
    "discounts": {
        "es": "En {location} se regaló {value} del precio de lista: {given_minor} de {list_minor} en {samples_count} "
        "líneas (la regla salta en {threshold}).",
        "en": "At {location} {value} of the list price was given away: {given_minor} of {list_minor} over "
        "{samples_count} lines (the rule trips at {threshold}).",
    },
    "ads_without_stock": {
        "es": "Las campañas de {product} gastan {value} por día y no hay stock (la regla salta en {threshold}).",
        "en": "The campaigns of {product} spend {value} a day and there is no stock (the rule trips at {threshold}).",
    },
    "stock_invariant": {
        "es": "El stock no coincide con el registro en {value} lugares; el primero es {first} (la regla salta en "
        "{threshold}).",
        "en": "Stock does not agree with the journal in {value} places; the first is {first} (the rule trips at "
        "{threshold}).",
    },
    "ledger_seal": {
        "es": "El registro espera su sello hace {value}, con {waiting_count} asientos pendientes (la regla salta en "
        "{threshold}).",
        "en": "The journal has been waiting for its seal for {value}, with {waiting_count} commits to go (the rule trips at "
        "{threshold}).",
    },
    "ledger_chain": {
        "es": "El registro no es lo que se selló en {value} lugares; el primero es {first} (la regla salta en "
        "{threshold}).",
        "en": "The journal is not what was sealed in {value} places; the first is {first} (the rule trips at "
        "{threshold}).",
    },
    "error_rate": {
        "es": "Fallaron {errors_count} de {samples_count} pedidos ({value}, la regla salta en {threshold}).",
        "en": "{errors_count} of {samples_count} requests failed ({value}, the rule trips at {threshold}).",
    },
}

_TITLES: Mapping[str, Mapping[str, str]] = {
    "critical_stock": {"es": "Stock crítico", "en": "Critical stock"},
    "running_out": {"es": "Se acaba antes de reponer", "en": "Runs out before it is restocked"},
    "negative_margin": {"es": "Venta con pérdida", "en": "Sold at a loss"},
    "margin_fall": {"es": "Cayó el margen", "en": "The margin fell"},
    "refunds": {"es": "Devoluciones fuera de lo común", "en": "Refunds out of the ordinary"},
    "discounts": {"es": "Descuentos fuera de lo común", "en": "Discounts out of the ordinary"},
    "ads_without_stock": {"es": "Publicidad sin stock", "en": "Ads without stock"},
    "stock_invariant": {"es": "El stock no coincide con el registro", "en": "Stock does not agree with the journal"},
    "ledger_seal": {"es": "El registro espera su sello", "en": "The journal waits for its seal"},
    "ledger_chain": {"es": "El registro no es lo que se selló", "en": "The journal is not what was sealed"},
    "error_rate": {"es": "Demasiados pedidos fallan", "en": "Too many requests fail"},
}

_MORE = {"es": "y {n} más.", "en": "and {n} more."}
MOST_SENTENCES = 10


def title(rule: str, language: str, figures: Mapping[str, int | str]) -> str:
    """What a rule that tripped is called, with the product or the place it tripped on."""
    spoken = language if language in LANGUAGES else LANGUAGES[0]
    what = figures.get("product") or figures.get("location")
    return f"{_TITLES[rule][spoken]}: {what}" if what else _TITLES[rule][spoken]


def summary(rule: str, language: str, sentences: Sequence[str]) -> tuple[str, str]:
    """(title, text) of many trips of one rule at once."""
    spoken = language if language in LANGUAGES else LANGUAGES[0]
    lines = list(sentences[:MOST_SENTENCES])
    if len(sentences) > MOST_SENTENCES:
        lines.append(_MORE[spoken].format(n=len(sentences) - MOST_SENTENCES))
    return f"{_TITLES[rule][spoken]} ({len(sentences)})", "\n".join(lines)


_DAYS = {"es": ("día", "días"), "en": ("day", "days")}


def sentence(
    rule: str, language: str, unit: str, currency: str, value: int, threshold: int, figures: Mapping[str, int | str]
) -> str:
    """Why the rule tripped. A language that is not spoken here is answered in the first of `LANGUAGES`; amounts are in
    `currency`, unless the figures bring their own."""
    spoken = language if language in LANGUAGES else LANGUAGES[0]
    currency = str(figures.get("currency", currency))
    words = {
        name: figure if isinstance(figure, str) else format_figure(figure, name.rpartition("_")[2], currency, spoken)
        for name, figure in figures.items()
    }
    words["value"] = format_figure(value, unit, currency, spoken)
    words["threshold"] = format_figure(threshold, unit, currency, spoken)
    # A figure that an older release did not keep shows as a gap, not as an error on the page that tells of it.
    return _SENTENCES[rule][spoken].format_map(_Gaps(words))


def format_figure(value: int, unit: str, currency: str, language: str) -> str:
    """A whole number in one of the units of probes, as people of the language write it."""
    return _FORMATS[unit](value, currency, language)


class _Gaps(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "—"


def _decimal(value: int, digits: int, language: str, *, fixed: bool = False) -> str:
    whole, part = divmod(abs(value), 10**digits)
    group, mark = (".", ",") if language == "es" else (",", ".")
    grouped = f"{whole:,}".replace(",", group) if whole >= 10_000 else str(whole)
    fraction = f"{part:0{digits}d}" if digits else ""
    fraction = fraction if fixed else fraction.rstrip("0")
    return ("-" if value < 0 else "") + grouped + (mark + fraction if fraction else "")


def _milli(value: int, _currency: str, language: str) -> str:
    text = format_quantity(value)
    return text.replace(".", ",") if language == "es" else text


def _money(value: int, currency: str, language: str) -> str:
    return f"{currency} {_decimal(value, minor_digits(currency), language, fixed=True)}"


def _days(value: int, _currency: str, language: str) -> str:
    one, many = _DAYS[language]
    return f"{_decimal(value, 0, language)} {one if abs(value) == 1 else many}"


_FORMATS: Mapping[str, Callable[[int, str, str], str]] = {
    "percent": lambda value, _currency, language: f"{_decimal(value, 0, language)} %",
    "bp": lambda value, _currency, language: f"{_decimal(value, 2, language)} %",
    "count": lambda value, _currency, language: _decimal(value, 0, language),
    "seconds": lambda value, _currency, language: f"{_decimal(value, 0, language)} s",
    "minutes": lambda value, _currency, language: f"{_decimal(value, 0, language)} min",
    "hours": lambda value, _currency, language: f"{_decimal(value, 0, language)} h",
    "milli": _milli,
    "minor": _money,
    "days": _days,
}

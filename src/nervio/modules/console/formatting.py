"""Figures and moments as the shop writes them.

Money and quantities follow the shop's locale and not the language of the page: a total must read the same on every
screen and on the printed ticket. Scripts group digits through ``Intl`` with the same locale; decimals and symbol they take
from here, since browsers have opinions of their own (no cents in Colombia). A test in a real browser compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from nervio.kernel.money import format_micros, minor_digits

NBSP = "\u00a0"
_SYMBOLS = {"EUR": "€", "GBP": "£", "BRL": "R$", "JPY": "JP¥", "MXN": "MX$", "USD": "US$"}
_HOME_SYMBOLS = {
    "AR": ("ARS", "$"), "MX": ("MXN", "$"), "CL": ("CLP", "$"), "CO": ("COP", "$"), "US": ("USD", "$"),
    "UY": ("UYU", "$"), "PE": ("PEN", "S/"), "PY": ("PYG", "Gs."), "BO": ("BOB", "Bs"),
}  # fmt: skip
# Spanish is not one: Mexico and Peru write 1,234.56 and most others 1.234,56 (CLDR 44).
_COMMA_DECIMAL = {
    "es", "es-AR", "es-BO", "es-CL", "es-CO", "es-EC", "es-ES", "es-PY", "es-UY", "es-VE", "pt-BR",
}  # fmt: skip
_SYMBOL_TOUCHES = {"es-CL", "es-EC", "es-MX", "es-US"}
_MONTHS = {
    "es": ("ene", "feb", "mar", "abr", "may", "jun", "jul", "ago", "sep", "oct", "nov", "dic"),
    "en": ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
}


@dataclass(frozen=True)
class Formats:
    """How one shop writes figures: ``locale`` as BCP 47, ``currency`` as ISO 4217, ``zone`` as IANA name."""

    locale: str
    currency: str
    zone: str
    language: str

    @property
    def exponent(self) -> int:
        """Digits after the decimal mark of the shop's currency."""
        return minor_digits(self.currency)

    def number(self, whole: int, fraction: str = "") -> str:
        """Write an integer with grouping, and ``fraction`` digits after the decimal mark when there are any."""
        comma = self.locale in _COMMA_DECIMAL
        grouped = f"{abs(whole):,}"
        if self.locale == "es-ES" and abs(whole) < 10_000:
            grouped = str(abs(whole))  # Spanish orthography groups from five digits on, and so does Intl there.
        text = grouped.replace(",", ".") if comma else grouped
        return text + (("," if comma else ".") + fraction if fraction else "")

    def money(self, minor: int) -> str:
        """Write an amount given in minor units, with the currency's symbol."""
        whole, rest = divmod(abs(minor), 10**self.exponent)
        figure = self.number(whole, f"{rest:0{self.exponent}d}" if self.exponent else "")
        return ("-" if minor < 0 else "") + self.money_pattern.replace("{}", figure)

    @property
    def money_pattern(self) -> str:
        """Where the currency's symbol stands beside the figure, which is ``{}``."""
        symbol = self._symbol()
        if self.locale in {"es-ES", "es"}:
            return f"{{}}{NBSP}{symbol}"
        spaced = self.locale.startswith(("es", "pt")) and self.locale not in _SYMBOL_TOUCHES
        return symbol + (NBSP if spaced or symbol.isalpha() else "") + "{}"

    def quantity(self, milli: int) -> str:
        """Write a quantity given in milli-units without trailing zeros; whole units show no decimals."""
        whole, rest = divmod(abs(milli), 1000)
        return ("-" if milli < 0 else "") + self.number(whole, f"{rest:03d}".rstrip("0"))

    def signed(self, milli: int) -> str:
        """Write a change of quantity with its sign, also when it is positive."""
        return ("+" if milli > 0 else "") + self.quantity(milli)

    def span(self, seconds: float) -> str:
        """Write how long something took, as ``40 ms``, ``2,3 s``, ``3 min 5 s`` or ``2 h 10 min``: two units at most."""
        if seconds < 0.1:
            return f"{round(1000 * max(seconds, 0.0))}{NBSP}ms"
        if seconds < 9.95:
            whole, tenths = divmod(round(10 * seconds), 10)
            return f"{self.number(whole, str(tenths))}{NBSP}s"
        left = round(seconds)
        for size, unit, smaller, part in ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
            if left >= size:
                rest = left % size // smaller
                return f"{self.number(left // size)}{NBSP}{unit}" + (f" {rest}{NBSP}{part}" if rest else "")
        return f"{left}{NBSP}s"

    def second(self, moment: datetime) -> str:
        """Write the time of day of a moment to the second, as ``14:05:09``."""
        return self.local(moment).strftime("%H:%M:%S")

    def local(self, moment: datetime) -> datetime:
        """Return a UTC moment in the shop's zone."""
        return moment.astimezone(ZoneInfo(self.zone))

    def day(self, moment: datetime) -> str:
        """Write the day of a moment, as ``5 mar 2026``; it breaks nowhere, so that a narrow column breaks before the time."""
        here = self.local(moment)
        return f"{here.day}{NBSP}{_MONTHS[self.language][here.month - 1]}{NBSP}{here.year}"

    def month(self, moment: datetime) -> str:
        """Write the month of a moment, as ``mar 2026``."""
        here = self.local(moment)
        return f"{_MONTHS[self.language][here.month - 1]}{NBSP}{here.year}"

    def micros(self, micros: int, currency: str) -> str:
        """Write an exact amount in millionths of a currency's unit, with the currency's symbol."""
        whole, _, fraction = format_micros(micros, currency).partition(".")
        return replace(self, currency=currency).money_pattern.replace("{}", self.number(int(whole), fraction))

    def clock(self, moment: datetime) -> str:
        """Write the time of day of a moment, as ``14:05``."""
        return self.local(moment).strftime("%H:%M")

    def when(self, moment: datetime) -> str:
        """Write day and time of a moment."""
        return f"{self.day(moment)}, {self.clock(moment)}"

    def _symbol(self) -> str:
        home_currency, home_symbol = _HOME_SYMBOLS.get(self.locale[-2:], ("", ""))
        if self.currency == home_currency:
            return home_symbol
        return _SYMBOLS.get(self.currency, self.currency)

"""Rules of alerts on plain values, and the words of those that Nervio raises itself."""

from __future__ import annotations

from collections.abc import Mapping

from nervio.kernel.errors import invalid
from nervio.modules.safety.contracts.alerts import Alert

LONGEST_TITLE = 200
LONGEST_BODY = 4000
LONGEST_KEY = 200
MOST_ATTEMPTS = 12
LONGEST_PAUSE_SECONDS = 900.0

ACTION_ESCALATED = "action_escalated"
ACTION_FAILED = "action_failed"
HALT_ACTIVATED = "halt_activated"
HALT_CLEARED = "halt_cleared"
DRILL_FAILED = "drill_failed"
EVENT_DEAD = "event_dead"
TEST_ALERT = "TestAlert"

WORDS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "es": {
        ACTION_ESCALATED: (
            "Sin confirmar: {kind} «{campaign}»",
            (
                "La plataforma no confirmó que la campaña «{campaign}» haya hecho lo pedido ({kind}). Motivo: {reason}. "
                "Última respuesta: {words}. Gasto estimado: {spend_per_hour} {currency} por hora. Se sigue intentando; "
                "mirala en la plataforma."
            ),
        ),
        ACTION_FAILED: (
            "No se pudo: {kind} «{campaign}»",
            (
                "Se dejó de intentar con la campaña «{campaign}» ({kind}). Motivo: {reason}. Última respuesta: {words}. "
                "Gasto estimado: {spend_per_hour} {currency} por hora. Hacelo a mano en la plataforma."
            ),
        ),
        HALT_ACTIVATED: ("Parada: {reason}", "Se detuvo {scope}, nivel {level}. Motivo: {reason}."),
        HALT_CLEARED: ("Se reanudó", "Se reanudó {scope}, nivel {level}. Motivo: {reason}."),
        DRILL_FAILED: (
            "Falló un simulacro de parada",
            "El simulacro de {scope} encontró: {findings}. Una parada de ese alcance podría no sostenerse; revisalo hoy.",
        ),
        EVENT_DEAD: (
            "Un evento quedó sin atender",
            "{handler} abandonó un evento {type} después de {attempts} intentos. Motivo: {reason}. Se puede volver a intentar.",
        ),
        TEST_ALERT: ("Alerta de prueba", "Esta es una prueba. Si la leés, las alertas llegan acá."),
    },
    "en": {
        ACTION_ESCALATED: (
            "Unconfirmed: {kind} “{campaign}”",
            (
                "The platform has not confirmed that the campaign “{campaign}” did what was asked ({kind}). Reason: {reason}. "
                "Last answer: {words}. Estimated spend: {spend_per_hour} {currency} an hour. Trying goes on; look at it on the "
                "platform."
            ),
        ),
        ACTION_FAILED: (
            "Failed: {kind} “{campaign}”",
            (
                "Trying has ended for the campaign “{campaign}” ({kind}). Reason: {reason}. Last answer: {words}. Estimated "
                "spend: {spend_per_hour} {currency} an hour. Do it by hand on the platform."
            ),
        ),
        HALT_ACTIVATED: ("Stopped: {reason}", "{scope} was stopped, level {level}. Reason: {reason}."),
        HALT_CLEARED: ("Resumed", "{scope} was resumed, level {level}. Reason: {reason}."),
        DRILL_FAILED: (
            "A drill of the stop failed",
            "The drill of {scope} found: {findings}. A stop of that scope may not hold; look at it today.",
        ),
        EVENT_DEAD: (
            "An event was given up",
            "{handler} gave up an event {type} after {attempts} attempts. Reason: {reason}. It can be tried again.",
        ),
        TEST_ALERT: ("Test alert", "This is a test. If you can read it, alerts arrive here."),
    },
}
"""Title and body by language and code."""

_FIGURE_WORDS = {
    "es": {"kind.pause": "pausar", "kind.resume": "reanudar", "scope.tenant": "el comercio",
           "scope.installation": "toda la instalación"},
    "en": {"kind.pause": "pause", "kind.resume": "resume", "scope.tenant": "The shop",
           "scope.installation": "The whole installation"},
}  # fmt: skip


def words_of(code: str, title: str, body: str, figures: Mapping[str, str], language: str) -> tuple[str, str]:
    """(title, body) in a language; those that came with the alert where it brought its own."""
    own = WORDS.get(language, WORDS["en"]).get(code)
    if title or own is None:
        return title or code, body
    named = _FIGURE_WORDS.get(language, _FIGURE_WORDS["en"])
    filled = {name: named.get(f"{name}.{value}", value) for name, value in figures.items()}
    return own[0].format(**filled), own[1].format(**filled)


def check_alert(alert: Alert) -> Alert:
    """Refuses an alert that nobody could read or tell from others."""
    if not alert.title and alert.code not in WORDS["es"]:
        raise invalid("invalid_alert", "title must say what happened.", field="title")
    for field, text, longest in (
        ("code", alert.code, LONGEST_KEY),
        ("dedup_key", alert.dedup_key, LONGEST_KEY),
        ("link", alert.link, LONGEST_KEY),
    ):
        if not 1 <= len(text) <= longest or not text.isprintable():
            raise invalid("invalid_alert", f"{field} must have 1 to {longest} printable characters.", field=field)
    if len(alert.title) > LONGEST_TITLE or len(alert.body) > LONGEST_BODY or "\x00" in alert.title + alert.body:
        raise invalid(
            "invalid_alert", f"title has at most {LONGEST_TITLE}, body {LONGEST_BODY} characters.", field="body"
        )
    return alert

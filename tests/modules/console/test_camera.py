"""The camera as a scanner, with Chromium's fake camera. Chromium on Linux reads no barcodes, so what the browser would read
is given by the tests; permission, policy, stream and the way of a code into the ticket are real."""

from __future__ import annotations

import pytest
from playwright.sync_api import BrowserContext, Page

from tests.modules.console.conftest import PHONE, Open

pytestmark = pytest.mark.browser

EAN, BLURRED = "7790895000997", "7790895000998"

# Reads whatever the test holds before the camera, and only from a picture that is really there.
DETECTOR = """
window.inView = [];
window.BarcodeDetector = class {
  static async getSupportedFormats() { return window.knownFormats ?? ["qr_code", "ean_13", "code_128"]; }
  constructor({ formats }) { window.asked = formats; }
  async detect(video) {
    window.looks = (window.looks ?? 0) + 1;
    if (!video.videoWidth || video.paused) throw new Error("no picture");
    return window.inView.map((rawValue) => ({ format: /^\\d{13}$/.test(rawValue) ? "ean_13" : "code_128", rawValue }));
  }
};
document.addEventListener("scan", (event) => (window.scans ??= []).push(event.detail.code));
"""


@pytest.fixture
def phone(visit: BrowserContext, open_page: Open) -> Page:
    """The till on a phone whose browser reads barcodes."""
    visit.add_init_script(DETECTOR)
    page = open_page("sell")
    page.set_viewport_size({"width": PHONE["width"], "height": PHONE["height"]})
    page.wait_for_selector("#camera-toggle:not([hidden])")
    return page


def hold(page: Page, *codes: str, looks: int = 4) -> list[str]:
    """Hold codes before the camera for some looks; returns everything scanned so far."""
    page.evaluate("(codes) => { window.inView = codes; window.looks = 0; }", list(codes))
    for _ in range(400):
        if page.evaluate("window.looks") > looks:
            break
        page.wait_for_timeout(25)
    scans: list[str] = page.evaluate("window.scans ?? []")
    return scans


def test_without_a_detector_there_is_no_button(open_page: Open, complaints: list[str]) -> None:
    page = open_page("sell")
    page.evaluate("delete window.BarcodeDetector")
    page.wait_for_timeout(300)
    assert page.is_hidden("#camera-toggle") and page.is_hidden("#camera")
    assert complaints == []


def test_a_detector_that_reads_no_barcodes_of_goods_is_none(visit: BrowserContext, open_page: Open) -> None:
    visit.add_init_script("window.knownFormats = ['qr_code'];" + DETECTOR)
    page = open_page("sell")
    page.wait_for_timeout(300)
    assert page.is_hidden("#camera-toggle")


def test_a_code_before_the_camera_is_scanned_once_until_it_is_gone(phone: Page, complaints: list[str]) -> None:
    phone.click("#camera-toggle")
    phone.wait_for_selector("#camera:not([hidden])")
    assert phone.get_attribute("#camera-toggle", "aria-pressed") == "true"
    assert phone.evaluate("window.asked") == ["ean_13", "code_128"]
    assert hold(phone) == []
    assert hold(phone, EAN, looks=8) == [EAN]
    # Held still it is one sale, however long; out of sight and back it is the next.
    phone.wait_for_timeout(1500)
    assert hold(phone, EAN) == [EAN]
    hold(phone)
    phone.wait_for_timeout(1500)
    assert hold(phone, EAN) == [EAN, EAN]
    assert phone.evaluate("document.querySelector('#camera-view').videoWidth") > 0
    assert phone.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert complaints == []


def test_a_code_read_wrong_or_only_once_is_not_believed(phone: Page) -> None:
    phone.click("#camera-toggle")
    phone.wait_for_selector("#camera:not([hidden])")
    assert hold(phone, BLURRED, looks=6) == []
    assert hold(phone, "AB-12", looks=6) == ["AB-12"]


def test_the_camera_is_given_back_when_it_is_closed_and_waits_behind_a_dialog(phone: Page) -> None:
    phone.click("#camera-toggle")
    phone.wait_for_selector("#camera:not([hidden])")
    hold(phone)
    phone.evaluate("window.track = document.querySelector('#camera-view').srcObject.getVideoTracks()[0]")
    phone.evaluate("document.querySelector('#count-dialog').showModal()")
    phone.wait_for_timeout(300)
    phone.evaluate("window.looks = 0")
    phone.wait_for_timeout(500)
    assert phone.evaluate("window.looks") == 0
    phone.evaluate("document.querySelector('#count-dialog').close()")
    assert hold(phone, EAN) == [EAN]
    phone.click("#camera-toggle")
    assert phone.evaluate("window.track.readyState") == "ended"
    assert phone.is_hidden("#camera")
    phone.evaluate("window.looks = 0")
    phone.wait_for_timeout(400)
    assert phone.evaluate("window.looks") == 0


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("NotAllowedError", "no tiene permiso"),
        ("NotFoundError", "no tiene cámara"),
        ("NotReadableError", "no se pudo abrir"),
    ],
)
def test_a_camera_that_cannot_be_had_is_explained(phone: Page, error: str, said: str) -> None:
    phone.evaluate(
        "(name) => { navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('no', name); }; }",
        error,
    )
    phone.click("#camera-toggle")
    phone.wait_for_selector(f"#toasts-urgent >> text={said}")
    assert phone.is_hidden("#camera") and phone.is_enabled("#camera-toggle")

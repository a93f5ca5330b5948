"""Files of spreadsheets as people really have them: every encoding and separator, and clear words for those that are broken."""

from __future__ import annotations

import codecs

import pytest

from nervio.modules.console.i18n import load_texts
from nervio.modules.console.rooms.imports import reading
from nervio.modules.console.rooms.imports.reading import UnreadableFile, decode, read_sheet

TEXTS = load_texts()
SPANISH = "Código;Descripción;Precio\r\nÑ-1;Té de manzanilla;1.250,50\r\n"
CELLS = {"sku": "Ñ-1", "name": "Té de manzanilla", "price": "1.250,50"}


def refused(raw: bytes) -> UnreadableFile:
    """Why a file cannot be read; the reason has its words in both languages."""
    with pytest.raises(UnreadableFile) as caught:
        read_sheet(decode(raw))
    for texts in TEXTS.values():
        assert texts(f"imports.file_{caught.value.reason}", **caught.value.values)
    return caught.value


@pytest.mark.parametrize(
    "raw",
    [
        SPANISH.encode(),
        codecs.BOM_UTF8 + SPANISH.encode(),
        SPANISH.encode("latin-1"),
        codecs.BOM_UTF16_LE + SPANISH.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + SPANISH.encode("utf-16-be"),
        SPANISH.encode("utf-16-le"),
        SPANISH.encode("utf-16-be"),
        SPANISH.replace("\r\n", "\n").encode(),
        SPANISH.replace("\r\n", "\r").encode(),
        SPANISH.rstrip().encode(),
    ],
)
def test_a_file_is_read_in_the_encoding_it_was_written_in(raw: bytes) -> None:
    sheet = read_sheet(decode(raw))
    assert [(row.number, row.cells, row.fault) for row in sheet.rows] == [(2, CELLS, "")]


def test_windows_letters_that_latin_1_has_not() -> None:
    assert read_sheet(decode("sku,name\nA,“Café” – 5 €\n".encode("cp1252"))).rows[0].cells["name"] == "“Café” – 5 €"
    # A byte that Windows has no letter for: Latin-1 has a control there, which is no text.
    assert refused(b"sku,name\nA,caf\xe9 \x81\n").reason == "no_text"


def test_latin_1_that_ends_in_an_accent_is_no_file_cut_in_two() -> None:
    assert read_sheet(decode("sku,name\nA,café".encode("latin-1"))).rows[0].cells["name"] == "café"


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_the_separator_is_told_from_the_headings(separator: str) -> None:
    quoted = f'sku{separator}"name; of, it"{separator}price{separator}name\nA{separator}x{separator}"1,50"{separator}"say ""hi"""\n'
    row = read_sheet(decode(quoted.encode())).rows[0]
    assert row.cells == {"sku": "A", "price": "1,50", "name": 'say "hi"'}


def test_headings_are_known_in_both_languages_whatever_their_signs_and_capitals() -> None:
    sheet = read_sheet("CÓDIGO,Producto,Precio de venta ($),Rubro,EAN-13,IVA %,Proveedor\nA,B,1,C,2,21,D\n")
    assert (sheet.fields, sheet.ignored) == (("sku", "name", "price", "category", "barcodes", "tax"), ("Proveedor",))
    named = read_sheet("SKU,Nombre,Precio,Categoría,Código de barras,IVA,Moneda,Activo\nA,B,1,C,2,21,ARS,sí\n")
    assert named.fields == ("sku", "name", "price", "category", "barcodes", "tax", "currency", "active")
    english = read_sheet("sku,name,price,category,barcode,tax rate,currency,enabled\nA,B,1,C,2,21,ARS,yes\n")
    assert english.fields == named.fields


def test_of_two_columns_for_one_field_the_plainer_name_wins() -> None:
    sheet = read_sheet("Código,SKU,Descripción,Nombre,Precio,Precio de venta\n9,A,long text,Short,1,2\n")
    assert sheet.rows[0].cells == {"sku": "A", "name": "Short", "price": "2"}
    assert sheet.ignored == ("Código", "Descripción", "Precio")
    assert refused(b"sku,price,Price\nA,1,2\n").reason == "same_column"


def test_rows_are_numbered_as_in_the_spreadsheet() -> None:
    sheet = read_sheet('\n\nsku,name\n\nA,"two\nlines"\n,\nB,b\n')
    assert [(row.number, row.cells["sku"]) for row in sheet.rows] == [(5, "A"), (7, "B")]


def test_a_row_with_another_number_of_cells_says_so() -> None:
    sheet = read_sheet("sku,name,price\nA,a,1,,\nB,b,1,5\nC,c\n")
    assert [row.fault for row in sheet.rows] == ["", "too_many_cells", "too_few_cells"]


def test_our_own_file_is_read_with_the_apostrophes_taken_off() -> None:
    row = read_sheet("sku,name,unit_price,tax_rate_bp\n'=A1,'+54 9 11,1.00,2100\nB,'quoted',1.00,0\n").rows
    assert (row[0].cells["sku"], row[0].cells["name"], row[0].cells["tax_bp"]) == ("=A1", "+54 9 11", "2100")
    assert row[1].cells["name"] == "'quoted'"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "empty"),
        (b" \r\n\t\n", "empty"),
        (codecs.BOM_UTF8, "empty"),
        (codecs.BOM_UTF16_LE, "empty"),
        (b"sku,name\n", "no_rows"),
        (b"sku,name\n,\n\n", "no_rows"),
        (b"PK\x03\x04 a workbook", "spreadsheet"),
        (b"\xd0\xcf\x11\xe0 an old workbook", "spreadsheet"),
        (b"\x89PNG\r\n\x1a\n\x01\x02", "no_text"),
        (b"%PDF-1.4\n\x00\x01\x02\x03", "no_text"),
        ("sku,name\nA,Jamón".encode()[:-2], "cut"),
        ("sku,name\nA,Jamón €".encode()[:-1], "cut"),
        (codecs.BOM_UTF16_LE + "sku,name\nA,a".encode("utf-16-le")[:-1], "cut"),
        (b'sku,name\nA,"half a na', "open_quote"),
        (b'sku,name\nA,"a"b"\n', "quotes"),
        (b"A-1,Bread,100\nA-2,Milk,200\n", "no_header"),
        (b"name,price\nBread,100\n", "no_sku"),
        (b"just some text", "no_header"),
        (b"sku,name\n" + b'A,"' + b"x" * 200_000, "open_quote"),
    ],
)
def test_a_file_that_is_no_list_of_products_is_told_why(raw: bytes, reason: str) -> None:
    assert refused(raw).reason == reason


def test_a_file_of_too_many_rows_is_refused_and_one_of_just_as_many_is_read() -> None:
    rows = "".join(f"S-{n}\n" for n in range(reading.MOST_ROWS))
    assert len(read_sheet(f"sku\n{rows}").rows) == reading.MOST_ROWS
    assert refused(f"sku\n{rows}one more\n".encode()).values == {"most": reading.MOST_ROWS}

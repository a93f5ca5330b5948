"""A reader of the PDF that we write: its cross references are followed, its pages decompressed, and the words of each given."""

import re
import zlib

_REFERENCE = re.compile(rb"(\d+) 0 R")


def read_pages(file: bytes) -> list[list[str]]:
    """The words of each page in the order in which they are drawn. Asserts that the file is whole: every object stands where
    the table of references says."""
    assert file.startswith(b"%PDF-1.") and file.rstrip().endswith(b"%%EOF")
    objects = _objects(file)
    root = re.search(rb"trailer.*?/Root (\d+) 0 R", file, re.DOTALL)
    assert root is not None
    catalog = objects[int(root[1])]
    assert b"/Catalog" in catalog
    tree = objects[_named(catalog, b"/Pages")]
    kids = re.search(rb"/Kids \[(.*?)\]", tree, re.DOTALL)
    assert kids is not None
    pages = [objects[int(number)] for number in _REFERENCE.findall(kids[1])]
    return [_words(objects[_named(page, b"/Contents")]) for page in pages]


def _objects(file: bytes) -> dict[int, bytes]:
    at = re.search(rb"startxref\s+(\d+)\s+%%EOF", file)
    assert at is not None
    table = re.match(rb"xref\n0 (\d+)\n", file[int(at[1]) :])
    assert table is not None
    start = int(at[1]) + table.end()
    found = {}
    for number in range(int(table[1])):
        line = file[start + 20 * number : start + 20 * (number + 1)]
        offset, state = int(line[:10]), line[17:18]
        if state == b"n":
            begins = f"{number} 0 obj\n".encode()
            assert file[offset : offset + len(begins)] == begins
            found[number] = file[offset : file.index(b"endobj", offset)]
    return found


def _named(content: bytes, name: bytes) -> int:
    found = re.search(name + rb" (\d+) 0 R", content)
    assert found is not None, name
    return int(found[1])


def _words(stream: bytes) -> list[str]:
    head, _, body = stream.partition(b"stream\n")
    body = body[: body.rindex(b"endstream")].rstrip(b"\n")
    content = zlib.decompress(body) if b"/FlateDecode" in head else body
    return [bytes.fromhex(text.decode()).decode("cp1252") for text in re.findall(rb"<([0-9a-f]*)> Tj", content)]

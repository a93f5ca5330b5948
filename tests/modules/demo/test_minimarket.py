"""The minimarket: real products, honest barcodes, invented quantities that never change."""

import pytest

from nervio.runtime.demo.minimarket import MinimarketPlan, is_ean13, is_restricted, plan_minimarket
from nervio.runtime.demo.records import RECEIPT_LINES


@pytest.mark.parametrize("code", ["7790070960719", "0076625249186", "0000077939234", "4006381333931"])
def test_a_right_check_digit_is_accepted(code: str) -> None:
    assert is_ean13(code)


@pytest.mark.parametrize(
    "code",
    ["7790070960718", "779007096071", "77900709607190", "", "10-1-2300049000008", "779007096071٩", "²790070960719"],
)
def test_anything_else_is_no_ean(code: str) -> None:
    assert not is_ean13(code)


def test_every_wrong_digit_is_noticed() -> None:
    code = "7790070960719"
    wrong = [
        code[:place] + digit + code[place + 1 :]
        for place in range(13)
        for digit in "0123456789"
        if digit != code[place]
    ]
    assert len(wrong) == 117 and not any(map(is_ean13, wrong))


def test_numbers_for_use_inside_a_shop_are_known() -> None:
    assert is_restricted("2300049000008") and is_restricted("0212345000005") and is_restricted("0000000205870")
    assert not is_restricted("7790070960719") and not is_restricted("0000077939234")


def test_products_keep_the_ids_of_the_source_as_text(minimarket: MinimarketPlan) -> None:
    skus = [product.sku for product in minimarket.products]
    assert len(skus) == len(set(skus)) == 67_939
    assert skus == sorted(skus)
    assert skus[0] == "0000000001663"


def test_only_a_right_ean_is_a_barcode(minimarket: MinimarketPlan) -> None:
    barcodes = [product.barcode for product in minimarket.products if product.barcode is not None]
    assert len(barcodes) == 57_749 and all(map(is_ean13, barcodes))
    assert all(product.barcode in {None, product.sku} for product in minimarket.products)


def test_a_product_reads_as_published(minimarket: MinimarketPlan) -> None:
    alfajor = next(product for product in minimarket.products if product.sku == "7790070960719")
    assert alfajor.barcode == "7790070960719"
    assert alfajor.name == "Alfajor de Arroz Mousse de Chocolate Chocoarroz 66 Gr"
    assert (alfajor.brand, alfajor.presentation, alfajor.unit) == ("CHOCOARROZ", "66.0 gr", "piece")
    assert (alfajor.price, alfajor.category) == (48_90, None)
    ham = next(product for product in minimarket.products if product.sku == "7798013103377")
    assert (ham.category, ham.subcategory) == ("Fiambrería", "Fiambres")


def test_what_has_no_price_is_in_the_catalogue_but_not_in_stock(minimarket: MinimarketPlan) -> None:
    unpriced = [product for product in minimarket.products if product.price is None]
    assert len(unpriced) == 328 and {product.opening_quantity for product in unpriced} == {0}
    assert all(product.price > 0 for product in minimarket.products if product.price is not None)


def test_loose_goods_are_sold_by_the_kilogram(minimarket: MinimarketPlan) -> None:
    units = {product.sku: product.unit for product in minimarket.products}
    assert units["10-1-2300377000008"] == "kg"  # tomatoes, a chain's own code
    assert units["0000000205870"] == "kg"  # meat, a number for use in the shop
    assert sum(unit == "kg" for unit in units.values()) == 10_262


def test_opening_quantities_are_whole_pieces_or_weights_a_shop_may_have(minimarket: MinimarketPlan) -> None:
    for product in minimarket.products:
        if product.price is None:
            continue
        if product.unit == "piece":
            assert product.opening_quantity in range(4_000, 60_001, 1_000)
        else:
            assert product.opening_quantity in range(2_000, 39_951, 50)


def test_receipts_bring_in_what_the_products_say(minimarket: MinimarketPlan) -> None:
    stocked = {product.sku: product.opening_quantity for product in minimarket.products if product.opening_quantity}
    assert {line.sku: line.quantity for receipt in minimarket.receipts for line in receipt.lines} == stocked
    assert sum(len(receipt.lines) for receipt in minimarket.receipts) == len(stocked) == 67_611
    assert max(len(receipt.lines) for receipt in minimarket.receipts) == RECEIPT_LINES
    assert len({receipt.number for receipt in minimarket.receipts}) == len(minimarket.receipts) == 136


def test_every_load_gives_the_same_shop(minimarket: MinimarketPlan) -> None:
    assert plan_minimarket() == minimarket

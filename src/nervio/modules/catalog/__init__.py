"""What is sold and where: products, barcodes, categories, locations.

Owns the master data. Promises that a SKU and a barcode name one product of a tenant. Never holds a quantity.
"""

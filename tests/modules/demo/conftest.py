"""The demo shops, read and planned once: a year of retail takes seconds, and nothing here changes it."""

import pytest

from nervio.runtime.demo.minimarket import MinimarketPlan, plan_minimarket
from nervio.runtime.demo.records import RetailPlan
from nervio.runtime.demo.retail import RetailYear, read_retail_year
from nervio.runtime.demo.retail_plan import plan_retail_year


@pytest.fixture(scope="session")
def year() -> RetailYear:
    return read_retail_year()


@pytest.fixture(scope="session")
def plan(year: RetailYear) -> RetailPlan:
    return plan_retail_year(year)


@pytest.fixture(scope="session")
def minimarket() -> MinimarketPlan:
    return plan_minimarket()

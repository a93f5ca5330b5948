"""A connection bound to one tenant: it refuses a statement that could touch another tenant's rows.

In every SELECT of a statement, each table that has a `tenant_id` must be pinned: by a condition that every row must meet
(in WHERE, or in the ON of a join that can only leave its own side out) and that compares its `tenant_id` with the bound
tenant itself or with the `tenant_id` of something pinned. A condition inside OR, NOT, CASE or the list of columns pins
nothing. The check walks a statement once and is remembered by the statement's shape; only the values are looked at again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import (
    CTE,
    Alias,
    BinaryExpression,
    BindParameter,
    BooleanClauseList,
    ColumnClause,
    CompoundSelect,
    Connection,
    CursorResult,
    Delete,
    Executable,
    Join,
    Select,
    Subquery,
    Table,
    TextClause,
    Update,
)
from sqlalchemy.sql import operators, visitors
from sqlalchemy.sql.elements import ClauseElement, Grouping
from sqlalchemy.sql.selectable import Exists, ScalarSelect, SelectStatementGrouping

from nervio.db.dialects import dialect_of
from nervio.db.writes import Row

_approved: set[Any] = set()
_known: dict[int, Select[Any]] = {}
"""Statements that were checked once for all, by their identity."""
_MOST_REMEMBERED = 4096

_TENANT = "tenant_id"


class CrossTenantStatement(AssertionError):
    """A statement that does not pin a tenant's table to the tenant: a bug of ours, stopped before it reaches a row."""


class TenantConnection:
    """Wraps a connection for the reads of one tenant's request."""

    __slots__ = ("_connection", "tenant_id")

    def __init__(self, connection: Connection, tenant_id: str) -> None:
        self._connection = connection
        self.tenant_id = tenant_id

    def execute(
        self, statement: Executable, parameters: dict[str, Any] | None = None
    ) -> CursorResult[*tuple[Any, ...]]:
        """Executes a SELECT, UPDATE or DELETE after checking that it stays within the tenant."""
        if not isinstance(statement, Select | CompoundSelect | Update | Delete):
            raise CrossTenantStatement(f"a {type(statement).__name__} cannot be checked; write it in Core: {statement}")
        values = {} if parameters is None else parameters
        self._check_values(statement, values)
        cached = statement._generate_cache_key()  # noqa: SLF001 (the only name SQLAlchemy has for a statement's shape)
        key = None if cached is None else cached.key
        if key is None or key not in _approved:
            _check_shape(statement)
            if key is not None and len(_approved) < _MOST_REMEMBERED:
                _approved.add(key)
        return self._connection.execute(statement, values)

    def look_up(self, statement: Select[Any], parameters: dict[str, Any]) -> list[Row]:
        """The rows of a SELECT that is made once and lives as long as the program; its parameter `tenant_id` is filled with the
        tenant. For what is asked all the time: nothing is done twice that can be done once."""
        known = _known.get(id(statement))
        if known is not statement:
            _check_shape(statement)
            _check_tenant_parameter(statement)
            _known[id(statement)] = statement
        return dialect_of(self._connection).read(self._connection, statement, {**parameters, _TENANT: self.tenant_id})

    def untenanted(self) -> Connection:
        """The connection itself, for tables that belong to no tenant (cursors, commits)."""
        return self._connection

    def _check_values(self, statement: ClauseElement, parameters: dict[str, Any]) -> None:
        for element in visitors.iterate(statement):
            if isinstance(element, BinaryExpression) and element.operator is operators.eq:
                for column, other in ((element.left, element.right), (element.right, element.left)):
                    if _is_tenant_column(column) and isinstance(other, BindParameter):
                        value = parameters.get(other.key, other.effective_value)
                        if value != self.tenant_id:
                            raise CrossTenantStatement(f"bound to tenant {self.tenant_id}, but not this: {statement}")


def _check_tenant_parameter(statement: ClauseElement) -> None:
    for element in visitors.iterate(statement):
        if isinstance(element, BinaryExpression) and element.operator is operators.eq:
            for column, other in ((element.left, element.right), (element.right, element.left)):
                if _is_tenant_column(column) and isinstance(other, BindParameter) and other.key != _TENANT:
                    raise CrossTenantStatement(f"its tenant is not the parameter {_TENANT!r}: {statement}")


def _check_shape(statement: ClauseElement) -> None:
    for element in visitors.iterate(statement):
        if isinstance(element, TextClause):
            raise CrossTenantStatement(f"text cannot be checked; write it in Core: {statement}")
    if isinstance(statement, Update | Delete):
        _check_change(statement)
    else:
        _check_query(statement, frozenset(), frozenset(), set())


def _check_change(statement: Update | Delete) -> None:
    scope = _Scope(frozenset())
    scope.add_from(statement.table)
    values = dict(getattr(statement, "_values", None) or {})
    if any(getattr(column, "name", column) == _TENANT for column in values):
        raise CrossTenantStatement(f"a row never changes its tenant: {statement}")
    if statement.whereclause is not None:
        scope.add_condition(statement.whereclause, None)
    scope.settle()
    read = [statement.whereclause, *values.values()]
    others = [column.table for part in read for column in _columns_in(part)]
    for source in (statement.table, *others):
        if _has_tenant(source) and source not in scope.pinned:
            raise CrossTenantStatement(f"{getattr(source, 'name', source)} is not pinned to a tenant: {statement}")
    for part in read:
        for inner in _queries_in(part):
            _check_query(inner, frozenset(scope.sources), frozenset(scope.pinned), set())


def _check_query(query: Any, around: frozenset[Any], pinned_around: frozenset[Any], seen: set[Any]) -> None:
    """Checks a query that stands inside one with the sources `around`, of which some are pinned."""
    if query in seen:
        return  # a recursive CTE meets itself
    seen.add(query)
    if isinstance(query, CompoundSelect):
        for part in query.selects:
            _check_query(part, around, pinned_around, seen)
    elif isinstance(query, Select):
        _check_select(query, around, pinned_around, seen)
    else:  # a grouping in parentheses
        _check_query(query.element, around, pinned_around, seen)


def _check_select(query: Select[Any], around: frozenset[Any], pinned_around: frozenset[Any], seen: set[Any]) -> None:
    froms = _own_froms(query, around)
    scope = _Scope(pinned_around)
    for part in froms:
        scope.add_from(part)
    if query.whereclause is not None:
        scope.add_condition(query.whereclause, None)
    scope.settle()
    for source in scope.sources:
        if isinstance(source, Subquery | CTE):
            _check_query(source.element, frozenset(), frozenset(), seen)
        elif _has_tenant(source) and source not in scope.pinned:
            raise CrossTenantStatement(f"{getattr(source, 'name', source)} is not pinned to a tenant: {query}")
    inner_around = around | frozenset(scope.sources)
    inner_pinned = pinned_around | frozenset(scope.pinned)
    for part in (*query.selected_columns, *scope.conditions, *_rest_of(query)):
        for inner in _queries_in(part):
            _check_query(inner, inner_around, inner_pinned, seen)


class _Scope:
    """The FROM and WHERE of one SELECT: its sources, and which of them hold rows of the tenant alone."""

    def __init__(self, pinned_around: frozenset[Any]) -> None:
        self.sources: list[Any] = []
        self.pinned: set[Any] = set(pinned_around)
        self.conditions: list[Any] = []
        self._links: list[tuple[Any, Any]] = []

    def add_from(self, part: Any) -> list[Any]:
        """Takes in a table or a join and returns its sources."""
        if not isinstance(part, Join):
            self.sources.append(part)
            if isinstance(part, Subquery | CTE):
                self.pinned.add(part)  # its own tables are pinned, or it is refused: it gives no other tenant's id
            return [part]
        left, right = self.add_from(part.left), self.add_from(part.right)
        if part.onclause is not None:
            # An outer join keeps the rows of one side whatever the condition says, so it holds for the other side only.
            holds_for = [] if part.full else right if part.isouter else None
            self.add_condition(part.onclause, holds_for)
        return [*left, *right]

    def add_condition(self, condition: Any, holds_for: list[Any] | None) -> None:
        """Takes in what every row must meet; `holds_for` None means every source of the SELECT."""
        self.conditions.append(condition)
        for leaf in _conjuncts(condition):
            if not (isinstance(leaf, BinaryExpression) and leaf.operator is operators.eq):
                continue
            for column, other in ((leaf.left, leaf.right), (leaf.right, leaf.left)):
                if not _is_tenant_column(column) or not (holds_for is None or column.table in holds_for):
                    continue
                if isinstance(other, BindParameter):
                    self.pinned.add(column.table)
                elif _is_tenant_column(other):
                    self._links.append((column.table, other.table))

    def settle(self) -> None:
        """Follows the links from what is pinned until nothing more becomes so."""
        for _ in self._links:
            self.pinned.update(one for one, other in self._links if other in self.pinned)


def _own_froms(query: Select[Any], around: frozenset[Any]) -> list[Any]:
    """The FROM of a query without what it only refers to in the query around it, as SQLAlchemy will render it."""
    froms = list(query.get_final_froms())
    if query._auto_correlate:  # noqa: SLF001 (nothing public tells how a subquery correlates)
        return [part for part in froms if part not in around] or froms
    correlated = set(query._correlate or ())  # noqa: SLF001
    return [part for part in froms if not (part in correlated and part in around)]


def _rest_of(query: Select[Any]) -> Iterator[Any]:
    yield from query._order_by_clauses  # noqa: SLF001 (no public name)
    yield from query._group_by_clauses  # noqa: SLF001
    yield from query._having_criteria  # noqa: SLF001


def _conjuncts(condition: Any) -> Iterator[Any]:
    if isinstance(condition, BooleanClauseList) and condition.operator is operators.and_:
        for part in condition.clauses:
            yield from _conjuncts(part)
    elif isinstance(condition, Grouping):
        yield from _conjuncts(condition.element)
    else:
        yield condition


def _queries_in(expression: Any) -> Iterable[Any]:
    """The outermost queries inside an expression."""
    if isinstance(expression, Select | CompoundSelect):
        yield expression
    elif isinstance(expression, ScalarSelect | Exists | SelectStatementGrouping):
        yield from _queries_in(expression.element)
    elif isinstance(expression, ClauseElement):
        for child in expression.get_children():
            yield from _queries_in(child)


def _columns_in(expression: Any) -> Iterable[Any]:
    """The columns of tables in an expression, outside of the queries in it."""
    if isinstance(expression, ColumnClause):
        if expression.table is not None:
            yield expression
    elif isinstance(expression, ClauseElement) and not isinstance(expression, Select | CompoundSelect):
        for child in expression.get_children():
            yield from _columns_in(child)


def _is_tenant_column(element: Any) -> bool:
    return isinstance(element, ColumnClause) and element.name == _TENANT and element.table is not None


def _has_tenant(source: Any) -> bool:
    base = source.element if isinstance(source, Alias) else source
    return isinstance(base, Table) and _TENANT in base.columns

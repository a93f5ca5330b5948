"""What a source is asked: the query that people wrote, checked, and turned into pages that lose no row.

A query is parsed, and what is sent is written anew from what was understood: what was not checked cannot be sent. A page begins
behind the last key of the one before (`WHERE key > …`), never at an offset, which skips rows as soon as earlier ones are deleted.
The checks are the first of three fences; the session is read-only, and bounded in time and rows, as well.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from nervio.kernel.errors import NervioError, invalid

FIELD = "queryTemplate"
LONGEST_QUERY = 100_000
"""Characters."""
LARGEST_PAGE = 100_000
MOST_CODES = 500

_OFFSET, _LIMIT = 9_007_199_254_740_881, 9_007_199_254_740_847
_PLACEHOLDER = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")
_STAND_INS = {"offset": str(_OFFSET), "limit": str(_LIMIT)}
_PAGE, _OURS = "nervio_page", ":nervio_"
"""Names of ours in what is sent: the subquery, and how parameters begin."""


class Dialect(StrEnum):
    """The SQL that a source speaks."""

    POSTGRESQL = "postgresql"
    MYSQL = "mysql"
    MSSQL = "mssql"
    SQLITE = "sqlite"


_GLOT = {Dialect.POSTGRESQL: "postgres", Dialect.MYSQL: "mysql", Dialect.MSSQL: "tsql", Dialect.SQLITE: "sqlite"}

_WRITES: Mapping[type[exp.Expr], str] = {
    exp.Insert: "INSERT",
    exp.Update: "UPDATE",
    exp.Delete: "DELETE",
    exp.Merge: "MERGE",
    exp.Into: "SELECT … INTO",
    exp.Lock: "FOR UPDATE",
    exp.Create: "CREATE",
    exp.Drop: "DROP",
    exp.Alter: "ALTER",
    exp.Copy: "COPY",
    exp.Command: "a command",
    exp.Execute: "EXECUTE",
}
_ACTS = frozenset(
    {
        "pg_sleep", "pg_sleep_for", "pg_sleep_until", "pg_terminate_backend", "pg_cancel_backend", "pg_reload_conf",
        "pg_rotate_logfile", "pg_promote", "pg_read_file", "pg_read_binary_file", "pg_ls_dir", "pg_stat_file",
        "pg_advisory_lock", "pg_advisory_xact_lock", "pg_try_advisory_lock", "pg_notify", "set_config", "nextval",
        "setval", "lastval", "lo_import", "lo_export", "lo_create", "lo_unlink", "lo_put", "dblink", "dblink_exec",
        "dblink_connect", "query_to_xml", "query_to_json", "table_to_xml", "database_to_xml",
        "pg_logical_emit_message", "pg_switch_wal", "pg_create_restore_point", "sleep", "benchmark", "get_lock",
        "release_lock", "release_all_locks", "load_file", "master_pos_wait", "openrowset", "openquery",
        "opendatasource", "xp_cmdshell", "load_extension", "readfile", "writefile", "edit", "fts3_tokenizer",
    }
)  # fmt: skip
"""Functions that do more than to read what is in the tables."""


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL of the source's dialect with parameters `:name`, and their values."""

    sql: str
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Query:
    """A query that was checked. `columns` are the names it gives, None where only the source knows them (`SELECT *`);
    `pages_itself` where it has `{{offset}}` or `{{limit}}`."""

    dialect: Dialect
    columns: tuple[str, ...] | None
    pages_itself: bool
    _tree: exp.Query

    def page(
        self, key: Sequence[str], after: Sequence[Any] | None, limit: int, *, since: tuple[str, Any] | None = None
    ) -> Statement:
        """The rows behind a key, in its order; `after` None for the first page. With `since`, (column, value), only rows whose column
        is not before that. Rows whose key has a NULL are in no page. Raises `invalid` naming a column that the query does not give."""
        return self._rows(self._everything(), key, after, limit, since)

    def keys(self, key: Sequence[str], after: Sequence[Any] | None, limit: int) -> Statement:
        """The same with nothing but the key: for finding out what is gone."""
        return self._rows([self._column(name) for name in key], key, after, limit, None)

    def _rows(
        self,
        what: Sequence[exp.Expr],
        key: Sequence[str],
        after: Sequence[Any] | None,
        limit: int,
        since: tuple[str, Any] | None,
    ) -> Statement:
        self.require(key)
        order = [self._column(name) for name in key]
        conditions: list[exp.Expr] = [exp.Not(this=exp.Is(this=one.copy(), expression=exp.Null())) for one in order]
        values: dict[str, Any] = {}
        if after is not None:
            if len(after) != len(key):
                raise ValueError("a key has as many values as columns")
            values.update({f"nervio_after_{n}": value for n, value in enumerate(after)})
            conditions.append(_behind(order))
        if since is not None:
            self.require([since[0]])
            values["nervio_since"] = since[1]
            conditions.append(exp.GTE(this=self._column(since[0]), expression=_parameter("nervio_since")))
        selected = self._around(what, conditions)
        # As the database orders by itself, so that an index will do; there are no NULLs.
        first = self.dialect is not Dialect.POSTGRESQL
        ordered = [exp.Ordered(this=column.copy(), nulls_first=first) for column in order]
        selected.set("order", exp.Order(expressions=ordered))
        return self._write(selected, values, limit)

    def by_codes(self, column: str, codes: Sequence[str]) -> Statement:
        """The rows whose column has one of the values, at most 500."""
        if not 1 <= len(codes) <= MOST_CODES:
            raise invalid("invalid_codes", f"codes must be 1 to {MOST_CODES} values, not {len(codes)}.", field="codes")
        self.require([column])
        wanted = exp.In(
            this=self._column(column), expressions=[_parameter(f"nervio_code_{n}") for n in range(len(codes))]
        )
        values = {f"nervio_code_{n}": code for n, code in enumerate(codes)}
        return self._write(self._around(self._everything(), [wanted]), values, None)

    def preview(self, limit: int) -> Statement:
        """Some rows, in no particular order."""
        return self._write(self._around(self._everything(), []), {}, limit)

    def count(self) -> Statement:
        """How many rows there are, as the only column of the only row."""
        return self._write(self._around([exp.Count(this=exp.Star())], []), {}, None)

    def at_offset(self, offset: int, limit: int) -> Statement:
        """A page at an offset, for a query without a unique key: the query as it was written, with the numbers put in. Rows are lost
        and come twice while the source changes. Raises `invalid` for one that has no `{{offset}}` and `{{limit}}`."""
        if not self.pages_itself:
            raise invalid(
                "no_paging",
                "Without a unique key the query must say where a page begins: add LIMIT {{limit}} OFFSET {{offset}}, or map a key.",
                field=FIELD,
            )
        numbers = {_OFFSET: offset, _LIMIT: _checked(limit)}
        tree = self._tree.copy()
        for literal in list(tree.find_all(exp.Literal)):
            if literal.is_int and int(literal.this) in numbers:
                literal.replace(exp.Literal.number(numbers[int(literal.this)]))
        return Statement(_said(tree, self.dialect), {})

    def require(self, names: Sequence[str]) -> None:
        """Raises `invalid` for columns that the query does not give, as far as that is known."""
        if self.columns is None:
            return
        known = {name.lower() for name in self.columns}
        for name in names:
            if name.lower() not in known:
                raise invalid(
                    "unknown_column",
                    f"The query gives no column {name!r}; it gives {', '.join(self.columns)}. Give it a name with AS, or map another.",
                    field=FIELD,
                    column=name,
                )

    def _column(self, name: str) -> exp.Column:
        return exp.column(exp.to_identifier(name, quoted=True), table=_PAGE)

    def _everything(self) -> list[exp.Expr]:
        return [exp.Column(this=exp.Star(), table=exp.to_identifier(_PAGE))]

    def _around(self, what: Sequence[exp.Expr], conditions: Sequence[exp.Expr]) -> exp.Select:
        inner = self._tree.copy()
        if self.pages_itself:
            _drop_paging(inner)
        if not (inner.args.get("limit") or inner.args.get("offset")):
            inner.set("order", None)  # a page has its own, and SQL Server knows none in a subquery
        # A WITH stays within the brackets, but for SQL Server, which knows it only at the beginning.
        with_ = inner.args.get("with_") if self.dialect is Dialect.MSSQL else None
        if with_ is not None:
            inner.set("with_", None)
        selected = exp.Select(expressions=list(what)).from_(inner.subquery(_PAGE, copy=False), copy=False)
        if with_ is not None:
            selected.set("with_", with_)
        for condition in conditions:
            selected = selected.where(condition, copy=False)
        return selected

    def _write(self, selected: exp.Select, values: Mapping[str, Any], limit: int | None) -> Statement:
        if limit is not None:
            selected = selected.limit(_checked(limit), copy=False)
        return Statement(_said(selected, self.dialect), values)


def read_query(text: str, dialect: Dialect) -> Query:
    """The query of a template, checked. Raises `invalid` naming `queryTemplate` and what to change."""
    tree = _parse(text, dialect)
    for node in tree.walk():
        _refuse_acts(node)
    pages_itself = any(
        literal.is_int and int(literal.this) in (_OFFSET, _LIMIT) for literal in tree.find_all(exp.Literal)
    )
    query = Query(dialect, _columns_of(tree), pages_itself, tree)
    if pages_itself:
        _require_paging_at_the_end(tree)
    if query.columns is not None and len({name.lower() for name in query.columns}) < len(query.columns):
        twice = next(name for name in query.columns if [one.lower() for one in query.columns].count(name.lower()) > 1)
        raise invalid(
            "column_twice",
            f"The query gives two columns named {twice!r}. Give one of them another name with AS.",
            field=FIELD,
            column=twice,
        )
    return query


def _parse(text: str, dialect: Dialect) -> exp.Query:
    if len(text) > LONGEST_QUERY:
        raise invalid("query_too_long", f"queryTemplate has more than {LONGEST_QUERY} characters.", field=FIELD)
    if _OURS in text.lower():
        raise invalid(
            "query_has_parameter", f"queryTemplate may not have {_OURS!r} anywhere; write it otherwise.", field=FIELD
        )
    if "\0" in text:
        raise invalid("query_has_nul", "queryTemplate has a NUL character; remove it.", field=FIELD)
    filled = _PLACEHOLDER.sub(_stand_in, text)
    try:
        parsed = [one for one in sqlglot.parse(filled, read=_GLOT[dialect]) if one is not None]
    except (SqlglotError, RecursionError) as error:
        raise _unreadable(error, dialect) from None
    if not parsed:
        raise invalid("query_empty", "queryTemplate must be one SELECT.", field=FIELD)
    if len(parsed) != 1:
        raise invalid(
            "query_many_statements", f"queryTemplate must be one SELECT; it has {len(parsed)} statements.", field=FIELD
        )
    tree = parsed[0]
    while isinstance(tree, exp.Subquery) and not tree.args.get("alias"):
        tree = tree.this
    if not isinstance(tree, exp.Select | exp.SetOperation):
        for node in tree.walk():
            _refuse_acts(node)
        raise invalid("query_no_select", "queryTemplate must be a SELECT.", field=FIELD)
    return tree


def _stand_in(found: re.Match[str]) -> str:
    name = found[1].lower()
    if name not in _STAND_INS:
        raise invalid(
            "unknown_placeholder",
            f"{found[0]} is not known; a query may have {{{{offset}}}} and {{{{limit}}}}.",
            field=FIELD,
        )
    return _STAND_INS[name]


def _unreadable(error: Exception, dialect: Dialect) -> NervioError:
    where: dict[str, Any] = {}
    words = "It is nested too deeply."
    told = getattr(error, "errors", None)
    if told:
        first = told[0]
        where = {"line": first.get("line"), "column": first.get("col")}
        words = f"Line {first.get('line')}, near {str(first.get('highlight') or '')[:40]!r}."
    elif isinstance(error, SqlglotError):
        words = str(error)[:200]
    return invalid(
        "query_unreadable", f"queryTemplate cannot be read as SQL of {dialect.value}. {words}", field=FIELD, **where
    )


def _refuse_acts(node: exp.Expr) -> None:
    for kind, name in _WRITES.items():
        if isinstance(node, kind):
            raise invalid(
                "query_writes", f"queryTemplate may only read: take {name} out of it.", field=FIELD, found=name
            )
    if isinstance(node, exp.Func):
        name = str(node.name if node.key == "anonymous" else node.sql_name()).lower()
        if name in _ACTS:
            raise invalid(
                "query_acts",
                f"queryTemplate may only read tables: take {name}() out of it.",
                field=FIELD,
                found=name,
            )


def _columns_of(tree: exp.Query) -> tuple[str, ...] | None:
    first: exp.Expr = tree
    while isinstance(first, exp.SetOperation):
        first = first.left
    if isinstance(first, exp.Subquery):
        first = first.unnest()
    expressions = first.expressions if isinstance(first, exp.Select) else []
    if any(isinstance(one.this if isinstance(one, exp.Column) else one, exp.Star) for one in expressions):
        return None
    nameless = [one for one in expressions if not isinstance(one, exp.Column | exp.Alias | exp.Dot)]
    if nameless:
        raise invalid(
            "column_without_name",
            f"Give {nameless[0].sql()[:60]} a name with AS, so that it can be mapped.",
            field=FIELD,
        )
    return tuple(one.alias_or_name for one in expressions)


def _require_paging_at_the_end(tree: exp.Query) -> None:
    last = {id(literal) for part in _paging_of(tree) for literal in part.find_all(exp.Literal)}
    for literal in tree.find_all(exp.Literal):
        if literal.is_int and int(literal.this) in (_OFFSET, _LIMIT) and id(literal) not in last:
            raise invalid(
                "paging_inside",
                "{{offset}} and {{limit}} must stand in the LIMIT and OFFSET at the end of the query.",
                field=FIELD,
            )


def _paging_of(tree: exp.Query) -> list[exp.Expr]:
    return [part for part in (tree.args.get("limit"), tree.args.get("offset")) if part is not None]


def _drop_paging(tree: exp.Query) -> None:
    tree.set("limit", None)
    tree.set("offset", None)


def _behind(order: Sequence[exp.Column], level: int = 0) -> exp.Expr:
    # a >= :a AND (a > :a OR (b > :b …)): the first part is what an index of `a` is used for, in MariaDB too.
    first, value = order[level], _parameter(f"nervio_after_{level}")
    greater = exp.GT(this=first.copy(), expression=value)
    if level == len(order) - 1:
        return greater
    deeper = _behind(order, level + 1)
    not_before = exp.GTE(this=first.copy(), expression=value.copy())
    return exp.And(this=not_before, expression=exp.Paren(this=exp.Or(this=greater, expression=exp.Paren(this=deeper))))


def _parameter(name: str) -> exp.Expr:
    return exp.Var(this=f":{name}")


def _checked(limit: int) -> int:
    if not 1 <= limit <= LARGEST_PAGE:
        raise invalid("invalid_limit", f"limit must be 1 to {LARGEST_PAGE}, not {limit}.", field="limit")
    return limit


def _said(tree: exp.Expr, dialect: Dialect) -> str:
    # Without comments: MySQL carries out what stands in some of them.
    return tree.sql(dialect=_GLOT[dialect], comments=False)

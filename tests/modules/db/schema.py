"""What a database's schema is, told the same way however it came about."""

from typing import Any

from sqlalchemy import Connection, Inspector, inspect

from nervio.db.migrate import VERSION_TABLE


def describe(connection: Connection) -> dict[str, Any]:
    """Tables with columns, keys, constraints, indexes and storage options, and what stands beside them."""
    inspector = inspect(connection)
    names = sorted(set(inspector.get_table_names()) - {VERSION_TABLE})
    return {
        "tables": {name: _table(connection, inspector, name) for name in names},
        "sequences": sorted(inspector.get_sequence_names()) if connection.dialect.supports_sequences else [],
    }


def _table(connection: Connection, inspector: Inspector, name: str) -> dict[str, Any]:
    native = connection.dialect
    return {
        "columns": {
            column["name"]: (
                column["type"].compile(native),
                column["nullable"],
                column["default"],
                column.get("comment"),
            )
            for column in inspector.get_columns(name)
        },
        "primary key": (
            inspector.get_pk_constraint(name)["name"],
            inspector.get_pk_constraint(name)["constrained_columns"],
        ),
        "foreign keys": sorted(
            (str(key["name"]), key["constrained_columns"], key["referred_table"], key["referred_columns"])
            for key in inspector.get_foreign_keys(name)
        ),
        "unique": sorted((str(one["name"]), one["column_names"]) for one in inspector.get_unique_constraints(name)),
        "checks": sorted((str(one["name"]), str(one["sqltext"])) for one in inspector.get_check_constraints(name)),
        "indexes": sorted(
            (str(one["name"]), one["column_names"], one["unique"], str(_condition(one.get("dialect_options", {}))))
            for one in inspector.get_indexes(name)
        ),
        "storage": _storage(connection, name),
    }


def _condition(options: dict[str, Any]) -> Any:
    return next((value for option, value in options.items() if option.endswith("_where")), None)


def _storage(connection: Connection, name: str) -> Any:
    if connection.dialect.name == "postgresql":
        return connection.exec_driver_sql(
            "SELECT reloptions FROM pg_class WHERE oid = $1::text::regclass", (name,)
        ).scalar()
    made_by = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE name = ?", (name,)).scalar_one()
    return "WITHOUT ROWID" in made_by.upper()

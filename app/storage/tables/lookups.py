"""HaloPSA's short lists: a number names the list. Seeded by the first migration.

List 11 must not be empty, or `Connect-HaloAPI` refuses to connect; nobody documents what it holds.
List 17 names the charge types of ChargeRate, list 35 the types of Expense.
"""

from sqlalchemy.orm import Mapped, mapped_column

from app.storage.column_types import Id, Row


class Lookup(Row):
    __tablename__ = "lookup"

    id: Mapped[Id]
    lookupid: Mapped[int] = mapped_column(index=True)
    name: Mapped[str]

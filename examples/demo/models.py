"""What the newsroom is about: two tables, and what of them goes over the socket."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

Access = Literal["PUBLIC", "MEMBERS", "AUTHOR"]

# --- tables


class Base(DeclarativeBase):
    pass


class Person(Base):
    __tablename__ = "person"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)


class Article(Base):
    __tablename__ = "article"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(unique=True)
    body: Mapped[str]
    access: Mapped[Access] = mapped_column(String(10))
    author_id: Mapped[int] = mapped_column(ForeignKey("person.id"))

    # Joined: with an async session nothing can be loaded later, on first use.
    author: Mapped[Person] = relationship(lazy="joined")


# --- payloads

Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=5, max_length=80)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=20, max_length=5000)]


class Draft(BaseModel):
    """An article as its author types it."""

    title: Title
    body: Text
    access: Access = "PUBLIC"


class Byline(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    name: str


class Headline(BaseModel):
    """An article without its text, for everyone."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    title: str
    access: Access
    author: Byline


class Story(BaseModel):
    """An article with its text, for those who may read it."""

    id: int
    title: str
    author: str
    access: Access
    body: str


class Finding(BaseModel):
    """What is wrong with the value of one field; nothing is, if `message` is null."""

    field: str
    message: str | None = None


class Me(BaseModel):
    """Who the server takes us for, and who else there is."""

    user: Byline | None
    people: list[Byline]


class Sum(BaseModel):
    sum: float


class Nap(BaseModel):
    seconds: float = Field(2, ge=0, le=10)

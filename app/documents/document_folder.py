"""The folder of documents: who sells, by which logo, and templates and fonts of a user's own."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.documents.document_content import DocumentKind, Party
from app.errors import Unavailable

TEMPLATES = Path(__file__).with_name("templates")
# A logo is drawn once a page; a larger file is a photograph by mistake.
LOGO_MAX = 1024 * 1024
_SELLER_MAX = 64 * 1024
_LOGOS = {"logo.svg": "svg", "logo.png": "png", "logo.jpg": "jpg"}
# Where paper is measured in inches.
_LETTER_COUNTRIES = frozenset({"US", "CA", "MX", "PH", "CL", "CO"})
Text = Annotated[str, Field(max_length=500)]


class BrokenDocumentFolder(Unavailable):
    """A file of the folder of documents cannot be used; the message names it and says why."""


class BankAccount(BaseModel):
    """Where money may be sent that is not paid by card."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    holder: Text = ""
    iban: Text = ""
    bic: Text = ""
    name: Text = ""


class Seller(BaseModel):
    """`seller.toml`: whose documents these are, and how they look. Every key may be left out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Text = ""
    address1: Text = ""
    address2: Text = ""
    postcode: Text = ""
    city: Text = ""
    country: str = Field("", pattern="^([A-Z]{2})?$")
    vat_number: Text = ""
    registration_number: Text = ""
    einvoice_address: str = Field("", pattern="^([0-9A-Z]{2,4}:[!-~]{1,50})?$")
    contact: Text = ""
    email: Text = ""
    phone: Text = ""
    website: Text = ""
    bank: BankAccount = BankAccount()
    language: str = Field("", pattern="^([a-z]{2}(-[A-Za-z]{2})?)?$")
    paper: str = Field("", pattern="^(a4|us-letter|)$")
    accent: str = Field("#1d4f73", pattern="^#[0-9a-fA-F]{6}$")
    terms: str = Field("", max_length=5000)
    footer: str = Field("", max_length=1000)

    @property
    def party(self) -> Party:
        return Party(
            name=self.name,
            address1=self.address1,
            address2=self.address2,
            postcode=self.postcode,
            city=self.city,
            country=self.country,
            vat_number=self.vat_number,
            registration_number=self.registration_number,
            einvoice_address=self.einvoice_address,
            contact=self.contact,
            email=self.email,
            phone=self.phone,
        )

    @property
    def paper_size(self) -> str:
        return self.paper or ("us-letter" if self.country in _LETTER_COUNTRIES else "a4")


@dataclass(frozen=True, slots=True)
class Logo:
    """A picture: `format` is svg, png or jpg."""

    format: str
    content: bytes


@dataclass(frozen=True, slots=True)
class DocumentFolder:
    """The folder's content as it is now, read anew for each document."""

    seller: Seller
    logo: Logo | None
    templates: Mapping[DocumentKind, Path]

    def template_root(self, kind: DocumentKind) -> Path:
        """The folder that holds the template: the user's own where it has one of this kind."""
        return self.templates.get(kind, TEMPLATES)


def fonts_folder(folder: str) -> list[Path]:
    """The user's own fonts, such as those of the seller's brand."""
    fonts = Path(folder) / "fonts"
    return [fonts.resolve()] if folder and fonts.is_dir() else []


def load_document_folder(folder: str) -> DocumentFolder:
    """The folder, or BrokenDocumentFolder. An empty name is a folder without anything in it."""
    if not folder:
        return DocumentFolder(Seller(), None, {})
    root = Path(folder)
    if not root.is_dir():
        raise BrokenDocumentFolder(f"PAYDUE_DOCUMENTS_FOLDER: {folder} is no folder")
    own = {kind: root.resolve() for kind in DocumentKind if (root / f"{kind}.typ").is_file()}
    return DocumentFolder(_seller(root / "seller.toml"), _logo(root), own)


def _seller(file: Path) -> Seller:
    if not file.exists():
        return Seller()
    try:
        return Seller.model_validate(tomllib.loads(_content(file, _SELLER_MAX).decode()))
    except ValidationError as error:
        said = "; ".join(
            f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()
        )
        raise BrokenDocumentFolder(f"{file}: {said}") from None
    except ValueError as error:
        raise BrokenDocumentFolder(f"{file}: {error}") from None


def _logo(root: Path) -> Logo | None:
    for name, kind in _LOGOS.items():
        if (root / name).exists():
            return Logo(kind, _content(root / name, LOGO_MAX))
    return None


def _content(file: Path, largest: int) -> bytes:
    try:
        with file.open("rb") as opened:
            content = opened.read(largest + 1)
    except OSError as error:
        raise BrokenDocumentFolder(f"{file} cannot be read: {error.strerror}") from None
    if len(content) > largest:
        raise BrokenDocumentFolder(f"{file} has more than {largest} bytes")
    return content

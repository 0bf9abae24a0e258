"""The currencies Stripe can charge, with the symbols invoices show. Seeded by the first migration.

Source: https://docs.stripe.com/currencies#presentment-currencies. Names after ISO 4217.
"""

from typing import NamedTuple


class CurrencySeed(NamedTuple):
    id: int
    code: str
    symbol: str
    name: str


_TABLE = """
USD $ US Dollar
EUR € Euro
GBP £ Pound Sterling
AUD A$ Australian Dollar
CAD CA$ Canadian Dollar
NZD NZ$ New Zealand Dollar
JPY ¥ Yen
CHF CHF Swiss Franc
SEK kr Swedish Krona
NOK kr Norwegian Krone
DKK kr Danish Krone
PLN zł Zloty
CZK Kč Czech Koruna
HUF Ft Forint
RON lei Romanian Leu
BGN лв Bulgarian Lev
ISK kr Iceland Krona
SGD S$ Singapore Dollar
HKD HK$ Hong Kong Dollar
INR ₹ Indian Rupee
MXN MX$ Mexican Peso
BRL R$ Brazilian Real
ZAR R Rand
AED AED UAE Dirham
THB ฿ Baht
MYR RM Malaysian Ringgit
IDR Rp Rupiah
PHP ₱ Philippine Peso
KRW ₩ Won
TWD NT$ New Taiwan Dollar
CNY CN¥ Yuan Renminbi
ILS ₪ New Israeli Sheqel
TRY ₺ Turkish Lira
SAR SAR Saudi Riyal
KWD KD Kuwaiti Dinar
BHD BD Bahraini Dinar
JOD JD Jordanian Dinar
OMR OMR Rial Omani
TND DT Tunisian Dinar
AFN ؋ Afghani
ALL L Lek
AMD ֏ Armenian Dram
ANG ƒ Netherlands Antillean Guilder
AOA Kz Kwanza
ARS AR$ Argentine Peso
AWG Afl Aruban Florin
AZN ₼ Azerbaijan Manat
BAM KM Convertible Mark
BBD Bds$ Barbados Dollar
BDT ৳ Taka
BIF FBu Burundi Franc
BMD BD$ Bermudian Dollar
BND B$ Brunei Dollar
BOB Bs Boliviano
BSD B$ Bahamian Dollar
BWP P Pula
BYN Br Belarusian Ruble
BZD BZ$ Belize Dollar
CDF FC Congolese Franc
CLP CLP$ Chilean Peso
COP COL$ Colombian Peso
CRC ₡ Costa Rican Colon
CVE Esc Cabo Verde Escudo
DJF Fdj Djibouti Franc
DOP RD$ Dominican Peso
DZD DA Algerian Dinar
EGP E£ Egyptian Pound
ETB Br Ethiopian Birr
FJD FJ$ Fiji Dollar
FKP FK£ Falkland Islands Pound
GEL ₾ Lari
GIP £ Gibraltar Pound
GMD D Dalasi
GNF FG Guinean Franc
GTQ Q Quetzal
GYD GY$ Guyana Dollar
HNL L Lempira
HTG G Gourde
JMD J$ Jamaican Dollar
KES KSh Kenyan Shilling
KGS сом Som
KHR ៛ Riel
KMF CF Comorian Franc
KYD CI$ Cayman Islands Dollar
KZT ₸ Tenge
LAK ₭ Lao Kip
LBP LL Lebanese Pound
LKR Rs Sri Lanka Rupee
LRD L$ Liberian Dollar
LSL L Loti
MAD DH Moroccan Dirham
MDL L Moldovan Leu
MGA Ar Malagasy Ariary
MKD ден Denar
MMK K Kyat
MNT ₮ Tugrik
MOP MOP$ Pataca
MUR Rs Mauritius Rupee
MVR Rf Rufiyaa
MWK MK Malawi Kwacha
MZN MT Mozambique Metical
NAD N$ Namibia Dollar
NGN ₦ Naira
NIO C$ Cordoba Oro
NPR Rs Nepalese Rupee
PAB B/. Balboa
PEN S/ Sol
PGK K Kina
PKR Rs Pakistan Rupee
PYG ₲ Guarani
QAR QR Qatari Rial
RSD дин Serbian Dinar
RWF FRw Rwanda Franc
SBD SI$ Solomon Islands Dollar
SCR SR Seychelles Rupee
SHP £ Saint Helena Pound
SLE Le Leone
SOS Sh Somali Shilling
SRD Sr$ Surinam Dollar
STD Db Dobra
SZL E Lilangeni
TJS SM Somoni
TOP T$ Pa'anga
TTD TT$ Trinidad and Tobago Dollar
TZS TSh Tanzanian Shilling
UAH ₴ Hryvnia
UGX USh Uganda Shilling
UYU $U Peso Uruguayo
UZS UZS Uzbekistan Sum
VND ₫ Dong
VUV VT Vatu
WST WS$ Tala
XAF FCFA CFA Franc BEAC
XCD EC$ East Caribbean Dollar
XCG Cg Caribbean Guilder
XOF CFA CFA Franc BCEAO
XPF F CFP Franc
YER YR Yemeni Rial
ZMW ZK Zambian Kwacha
"""


def currency_seeds() -> list[CurrencySeed]:
    """Every currency with its id; ids are the order of the table and never change."""
    rows = (line.split(" ", 2) for line in _TABLE.strip().splitlines())
    return [
        CurrencySeed(number, code.lower(), symbol, name)
        for number, (code, symbol, name) in enumerate(rows, start=1)
    ]

#!/usr/bin/env python3
"""Regenerates phone_zones.csv, the table from a number's leading digits to the time zones it may be in.

    python3 -m venv /tmp/zones && /tmp/zones/bin/pip install phonenumbers==9.0.43 regex==2026.11.15
    /tmp/zones/bin/python campaign-core/data/phone_zones.py > campaign-core/data/phone_zones.csv

The source is libphonenumber's prefix table as packaged by `phonenumbers`. A plain longest-prefix match over that table is
wrong for numbers that are not tied to a place: it holds `79 -> Europe/Moscow` for every Russian mobile and `614 -> Sydney` for every
Australian one. libphonenumber looks at the type of the number first and gives those all zones of their country. Here that
decision is made once, while the table is written, so that at run time a longest-prefix match is right:

- where every valid number under a prefix is geographic, the source's own row stands;
- where none is, or where nine digits do not tell, the country's row stands (more zones, so fewer hours: the safe side).

North America (+1) is read by area code: there an area code is a place for every kind of number, and the codes that are no place
(800, 900, ...) have no row but that of the whole plan. Where the source splits an area code by exchange, its numbers get the zones of
all of them: exchanges are missing from the source, mobiles cannot be told from landlines, and numbers move within an area code.
"""

import sys

import phonenumbers
import regex
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE as REGIONS
from phonenumbers import PhoneMetadata
from phonenumbers.phonenumberutil import _GEO_MOBILE_COUNTRIES as GEO_MOBILE
from phonenumbers.tzdata import TIMEZONE_DATA as SOURCE
from phonenumbers.tzdata import TIMEZONE_LONGEST_PREFIX as LONGEST

NOT_A_PLACE = "toll_free premium_rate shared_cost voip personal_number pager uan voicemail".split()

# An area code tells the place of every kind of number.
AREA_CODE_IS_PLACE = "1"

# Kazakhstan shares +7 with Russia; its own row is the country's row for its mobiles.
COUNTRY_ROWS = {"77"}

# Newer area codes laid over the same place; the source knows only the busiest zone of these.
OVERLAYS = {
    "1236": "1250", "1672": "1250", "1778": "1250", "1364": "1270", "1367": "1418", "1581": "1418",
    "1448": "1850", "1458": "1541", "1729": "1423", "1879": "1709", "1930": "1812", "1986": "1208",
}

# The fictitious area code of samples and dry runs is nowhere: the campaign's zone decides.
NOWHERE = ["1555"]


def zones(prefix):
    """The source's longest-prefix answer."""
    for length in range(min(LONGEST, len(prefix)), 0, -1):
        if prefix[:length] in SOURCE:
            return tuple(sorted(set(SOURCE[prefix[:length]])))
    return ()


def country_zones(prefix, code):
    return zones(next((row for row in COUNTRY_ROWS if prefix.startswith(row)), code))


def patterns(code):
    """The patterns of numbers tied to a place, and of those that are not, over all countries of a calling code."""
    tied, loose = [], []
    for region in REGIONS[int(code)]:
        data = PhoneMetadata.metadata_for_region_or_calling_code(int(code), region)
        (tied if int(code) in GEO_MOBILE else loose).append(data.mobile)
        tied.append(data.fixed_line)
        loose.extend(getattr(data, name) for name in NOT_A_PLACE)
    return tuple([regex.compile(d.national_number_pattern) for d in group if d and d.national_number_pattern] for group in (tied, loose))


def may_match(group, digits):
    return any(pattern.fullmatch(digits, partial=True) for pattern in group)


def walk(prefix, code, tied, loose, above, rows):
    digits = prefix[len(code):]
    is_tied, is_loose = may_match(tied, digits), may_match(loose, digits)
    if digits and not is_tied and not is_loose:
        return
    mine = zones(prefix) if is_tied and not is_loose else country_zones(prefix, code)
    if mine != above:
        rows[prefix] = mine
    deeper = is_tied and (is_loose or any(key.startswith(prefix) and key != prefix for key in SOURCE))
    if deeper and len(prefix) < LONGEST:
        for digit in "0123456789":
            walk(prefix + digit, code, tied, loose, mine, rows)


def by_area_code(code, rows):
    rows[code] = zones(code)
    for area in sorted({key[: len(code) + 3] for key in SOURCE if key.startswith(code) and len(key) > len(code)}):
        rows[area] = tuple(sorted({zone for key in SOURCE if key.startswith((area, OVERLAYS.get(area, area))) for zone in SOURCE[key]}))


def main():
    rows = {}
    for code in map(str, sorted(REGIONS)):
        answers = {zones(prefix) for prefix in SOURCE if prefix.startswith(code)}
        if code == AREA_CODE_IS_PLACE:
            by_area_code(code, rows)
        elif len(answers) > 1:
            walk(code, code, *patterns(code), None, rows)
        elif answers and zones(code):
            rows[code] = zones(code)
    rows.update((prefix, ()) for prefix in NOWHERE)

    print("# From the leading digits of an E.164 number to every IANA time zone it may be in; the longest prefix wins.")
    print("# An empty list of zones means that the number is in no known place.")
    print(f"# Source: libphonenumber time zone and number metadata, PyPI phonenumbers=={phonenumbers.__version__}")
    print("# Copyright (C) 2011-2026 The Libphonenumber Authors. Licensed under the Apache License, Version 2.0")
    print("# (http://www.apache.org/licenses/LICENSE-2.0). Changed: numbers not tied to a place were given their country's zones,")
    print("# those of a North American area code all zones of the area; rows that add nothing were left out.")
    print("# Written by phone_zones.py; do not edit.")
    for prefix in sorted(rows):
        print(f"{prefix},{'|'.join(rows[prefix])}")
    print(f"{len(rows)} rows", file=sys.stderr)


if __name__ == "__main__":
    main()

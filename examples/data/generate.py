#!/usr/bin/env python3
"""Writes the sample contact lists of this folder. Same seed, same files: run it again and nothing changes.

    python3 examples/data/generate.py

Numbers are fictitious. North American ones are 555-01xx, which no carrier assigns; British ones come from the blocks Ofcom keeps
for drama; the others only look real where their country reserves no numbers for fiction, and no simulation dials them.
"""

import csv
import random
from datetime import date, timedelta
from pathlib import Path

HERE = Path(__file__).parent
RANDOM = random.Random(20260215)

FIRST = """Ada Aaliyah Álvaro Amélie Andrés Anika Beatriz Björn Brendan Camila Carlos Chloé Daniel Daniela Dmitri Elena Emily Fatima
François Gabriela Grace Hannah Hiroshi Inés Isabella Jack Jamal Joaquín José Julia Kwame Laura Léa Liam Lucía Luis Mai María Mateo
Michael Mónica Nadia Noah Núria Olivia Oscar Patricia Priya Rafael Renée Robert Rosa Samuel Siobhán Sofía Søren Tariq Teresa Tomás
Valentina Wei William Ximena Yusuf Zoë""".split()
LAST = """Abbott Adeyemi Andersson Baker Bianchi Brown Castillo Chen Cohen Da_Silva Davis Delgado Dubois Edwards Fernández Fischer Flores
García Gómez Haddad Hansen Hernández Ivanov Jackson Johansson Kim Kowalski Lefèvre López Martin Martínez Mbeki Miller Moreau Müller
Muñoz Nakamura Nguyen Novák Núñez O'Brien O'Connor Okafor Pérez Petrov Ramírez Rossi Santos Schäfer Singh Smith Sørensen Tanaka
Taylor Torres Van_der_Berg Walker Williams Wilson Yilmaz Zhang""".split()
COMPANY = ["Acme Healthcare", "Blue Ridge Dental", "Café Olé, S.L.", "Northwind Traders", "Smith & Sons, Inc.", 'The "Good" Bakery',
           "Zürich Optik", "Harbor Physical Therapy", "Sunrise Pediatrics", "", "", ""]

# Area code, share, and the zone a careful clerk would write.
US = [("212", 9, "America/New_York"), ("305", 6, "America/New_York"), ("404", 6, "Eastern"), ("617", 5, "America/New_York"),
      ("312", 8, "America/Chicago"), ("512", 6, "Central"), ("615", 4, "America/Chicago"), ("713", 5, "US/Central"),
      ("303", 5, "America/Denver"), ("505", 3, "Mountain"), ("602", 5, "America/Phoenix"), ("213", 8, "America/Los_Angeles"),
      ("206", 5, "Pacific"), ("415", 5, "America/Los_Angeles"), ("907", 2, "America/Anchorage"), ("808", 2, "Pacific/Honolulu")]
ABROAD = [("+34 912 34 {:02d} {:02d}", "Europe/Madrid"), ("+44 20 7946 0{:01d}{:02d}", "Europe/London"),
          ("0044 161 496 0{:01d}{:02d}", "Europe/London"), ("+49 30 23125 {:01d}{:02d}", "Europe/Berlin"),
          ("011 52 55 5512 {:02d}{:02d}", "America/Mexico_City"), ("+33 1 99 00 {:02d} {:02d}", "Europe/Paris"),
          ("+1 416 555 01{:02d}", "America/Toronto"), ("+61 2 5550 {:02d}{:02d}", "Australia/Sydney")]
SHAPES = ["({a}) 555-{n}", "{a}-555-{n}", "{a}.555.{n}", "{a}555{n}", "1-{a}-555-{n}", "+1{a}555{n}", "+1 ({a}) 555-{n}", " {a} 555 {n} ",
          "tel:+1-{a}-555-{n}", "'{a}555{n}", "{a}555{n}.0", "({a}) 555-{n} ext. 12", "{a}-555-{n} x204", "1{a}555{n}", "＋１ {a} ５５５ {n}"]
SHAPE_WEIGHTS = [30, 22, 8, 14, 5, 12, 6, 2, 1, 2, 3, 2, 2, 3, 1]
# What no importer should accept.
BROKEN = ["", "N/A", "none", "555-0123", "call the office", "2.13E+09", "3.46E+10", "12345", "(212) 555-01", "#REF!", "ask@example.com",
          "212-555-0147 / 212-555-0148", "00000000000", "+999 123 456 789"]
ODD_ZONES = ["UTC-5", "GMT+2", "-6", "Middle Earth"]


def person():
    first, last = RANDOM.choice(FIRST), RANDOM.choice(LAST).replace("_", " ")
    return first, last


def slot():
    day = date(2026, 3, 2) + timedelta(days=RANDOM.choice([0, 1, 2, 3, 4]) + 7 * RANDOM.randrange(4))
    return f"{day:%A, %B} {day.day}", RANDOM.choice(["9:00 AM", "10:30 AM", "1:15 PM", "3:45 PM"])


def us_numbers():
    """Every number of the fictitious block, in random order: one contact each."""
    rows = [(area, f"01{line:02d}", zone) for area, share, zone in US for line in RANDOM.sample(range(100), min(100, share * 11))]
    RANDOM.shuffle(rows)
    return rows


def appointments():
    rows = []
    for area, number, zone in us_numbers()[:860]:
        shape = RANDOM.choices(SHAPES, SHAPE_WEIGHTS)[0]
        rows.append((shape.format(a=area, n=number), zone if RANDOM.random() < 0.2 else ""))
    for pattern, zone in ABROAD:
        for pair in RANDOM.sample([(a, b) for a in range(10) for b in range(10)], 7):
            rows.append((pattern.format(*pair) if "01{" not in pattern else pattern.format(pair[0] * 10 + pair[1]), zone if RANDOM.random() < 0.5 else ""))
    rows += [(text, "") for text in BROKEN * 3]
    rows += [(f"(312) 555-01{line:02d}", zone) for line, zone in enumerate(ODD_ZONES)]
    rows += [(phone, "") for phone, _ in RANDOM.sample(rows[:860], 38)]
    RANDOM.shuffle(rows)
    return rows


def write_appointments(path):
    with open(path, "w", encoding="utf-8-sig", newline="") as file:
        out = csv.writer(file, lineterminator="\r\n")
        out.writerow(["Customer Name", "Phone Number", "E-mail", "Company", "Time Zone", "Appointment Date", "Appointment Time", "Balance", "Opt-in", "Notes"])
        for index, (phone, zone) in enumerate(appointments()):
            first, last = person()
            name = RANDOM.choice([f"{first} {last}"] * 8 + [f"{first} {last}".upper(), f"  {first}  {last}", f"{first.lower()} {last.lower()}", ""])
            email = f"{first}.{last}@example.com".replace(" ", "").replace("'", "").lower() if RANDOM.random() < 0.7 else ""
            day, time = slot()
            balance = RANDOM.choice(["", "0", f"{RANDOM.randint(5, 900)}.{RANDOM.randint(0, 99):02d}", f"${RANDOM.randint(1, 9)},{RANDOM.randint(100, 999)}.00"])
            consent = RANDOM.choices(["2026-01-{:02d}".format(RANDOM.randint(1, 28)), "no", ""], [80, 4, 16])[0]
            notes = RANDOM.choices(["", "prefers mornings", "say \"hello\" to the dog", "two lines:\nring twice", "VIP; handle with care", "¿habla español?"],
                                   [70, 8, 4, 4, 7, 7])[0]
            row = [name, phone, email, RANDOM.choice(COMPANY), zone, day, time, balance, consent, notes]
            if index % 211 == 100:
                row += ["", "moved from another sheet"]
            if index % 97 == 50:
                row = row[:RANDOM.randint(2, 6)]
            if index % 173 == 80:
                file.write(",,,,,,,,,\r\n")
            out.writerow(row)


def write_clients(path):
    """The second list: what a Spanish Excel saves, with semicolons and in Windows-1252."""
    with open(path, "w", encoding="cp1252", newline="") as file:
        out = csv.writer(file, delimiter=";", lineterminator="\r\n")
        out.writerow(["Nombre", "Apellidos", "Teléfono móvil", "Correo electrónico", "Compañía", "Próxima cita", "Importe"])
        for index in range(60):
            first, last = RANDOM.choice(["José", "María", "Íñigo", "Begoña", "Ángel", "Lucía"]), RANDOM.choice(["Núñez", "García", "Peña", "Ibáñez"])
            phone = RANDOM.choice(["6123450{:02d}", "612 34 50 {:02d}", "+34 612 34 50 {:02d}", "0034 612 3450{:02d}", "3,46E+10"]).format(index)
            out.writerow([first, last, phone, "", RANDOM.choice(["", "Talleres Muñoz; hijos"]), f"{RANDOM.randint(1, 28):02d}/03/2026", f"{RANDOM.randint(10, 99)},50 €"])


if __name__ == "__main__":
    write_appointments(HERE / "appointments.csv")
    write_clients(HERE / "clientes.csv")

"""A CSV of support tickets as an office exports one: a byte order mark, empty cells, odd labels, copies, mojibake."""

from __future__ import annotations

import csv
import io
import random

__all__ = ["COLUMNS", "tickets_csv"]

COLUMNS = ("Ticket ID", "Received", "Customer", "Body", "Queue", "Priority")
_QUEUES = {
    "billing": ("I was charged twice for {}", "The invoice for {} has the wrong amount", "Refund my order of {}"),
    "technical": ("{} crashes when I start it", "I can't log in to {}", "{} shows an empty screen"),
    "account": ("Please delete my {} account", "How do I change the address of my {} account", "Rename my {} account"),
    "shipping": ("My {} hasn't arrived", "Where is the parcel with my {}", "The box of my {} was open"),
}
_PRODUCTS = ("Acme Pro", "starter plan", "Café set", "Studio", "basic plan", "Router X2", "cloud disk", "team plan")
_NAMES = ("Tom Becker", "Ana Lima", "J. Smith", "Wei Chen", "Olga Petrova")


def tickets_csv(rows: int = 800, *, delimiter: str = ",", bom: bool = True, seed: int = 3) -> bytes:
    """The file: of 800 rows 9 have no text, 11 no label, 7 a label in another spelling, 20 stand twice."""
    chance = random.Random(seed)
    queues = list(_QUEUES)
    table = []
    for number in range(rows):
        queue = chance.choices(queues, (42, 35, 14, 9))[0]
        body = chance.choice(_QUEUES[queue]).format(chance.choice(_PRODUCTS))
        name = chance.choice(_NAMES)
        body += f", order {chance.randrange(10_000, 99_999)}."
        if number % 40 == 7:
            body += f" {name.lower().replace(' ', '.')}@example.com, +49 170 555{chance.randrange(1000, 9999)}"
        if number % 90 == 11:
            body = body.replace("'", "â€™").replace("é", "Ã©") + " â€œsoonâ€\x9d"
        priority = chance.choice(("low", "normal", "high")) if chance.random() > 0.26 else ""
        received = f"2024-{number % 12 + 1:02}-{number % 28 + 1:02}"
        table.append([f"T-{10_000 + number}", received, name, body, queue, priority])
    share = rows / 800
    spots = iter(chance.sample(range(rows), round(47 * share) + 4))
    for _ in range(round(9 * share)):
        table[next(spots)][3] = ""
    for _ in range(round(11 * share)):
        table[next(spots)][4] = ""
    for spelling, count in (("Billing", 4), ("billing ", 3)):
        for _ in range(max(1, round(count * share))):
            table[next(spots)][4] = spelling
    for _ in range(round(20 * share)):
        spot = next(spots)
        table[spot][3:5] = table[(spot + 1) % rows][3:5]
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter).writerows([COLUMNS, *table])
    return (b"\xef\xbb\xbf" if bom else b"") + text.getvalue().encode()

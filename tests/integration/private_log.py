"""A log of people, whose ids a build is to replace."""

import hashlib

from json_lines import json_lines
from small_specs import small_tree

KEY = "correct horse battery staple"
USERS, FILMS = [f"person-{n}@example.org" for n in range(9)], [f"secret-film-{n}" for n in range(6)]
LINES = [{"query_id": USERS[n % 9], "item_id": FILMS[n % 5], "event": "see"} for n in range(70)]
MORE = [{"query_id": USERS[1], "item_id": "secret-film-unlisted", "event": "see"}, {"query_id": USERS[2]}]
FILES = {
    "log.jsonl": json_lines(LINES + MORE) + b'{"query_id": "person-3@example.org", \n',
    "items.jsonl": json_lines([{"item_id": film, "shelf": "left"} for film in FILMS] + [{"shelf": "person-4@"}]),
    "queries.jsonl": json_lines([{"user": user, "country": "NL"} for user in USERS]),
}
SPEC = small_tree(
    log={"path": "log.jsonl"},
    sources={
        "items": {"path": "items.jsonl"},
        "queries": {"path": "queries.jsonl", "id": "user"},
        "pseudonymise": {"columns": ["query_id", "item_id"], "key_env": "PSEUDONYM_KEY"},
        "max_reject_ratio": 0.5,
    },
    query={"user": "id", "country": "categorical"},
    item={"film": "id", "shelf": "categorical"},
    split={"validation": 0.1, "test": 0.2},
)


def pseudonym(id_: str) -> str:
    return hashlib.blake2b(id_.encode(), key=KEY.encode(), digest_size=16).hexdigest()


PAIRS = {(pseudonym(line["query_id"]), pseudonym(line["item_id"])) for line in LINES}
"""Those that a build keeps, by their pseudonyms."""

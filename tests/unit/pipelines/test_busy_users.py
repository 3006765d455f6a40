"""Of a user with many lines in each part of a log neither step of the merge gets what all parts keep of it."""

from collections import Counter, defaultdict

import pyarrow as pa
from small_specs import small_spec

from features.interactions import LINES
from features.latest_lines import are_beyond_latest
from pipelines.aggregation.busy_users import take_busy
from pipelines.aggregation.elements import decode_counts
from pipelines.aggregation.lines_to_shuffle import LinesToShuffle, latest_of_busy, lines_of_shard
from pipelines.aggregation.packing import unpack

PARTS, OF_BOT, SHARDS = 40, 200, 16
SPEC = small_spec(log={"timestamp": "at"}, split={"method": "query_hash"}, session={"max_lines": 256})


def part(number):
    """200 lines of the bot, 65 and 64 of two other users and one of each of 60, at times in no order of parts."""
    users = ["bot"] * OF_BOT + [f"many-{number}"] * 65 + [f"few-{number}"] * 64 + [f"once-{user}" for user in range(60)]
    rows = [
        {
            "query_id": user,
            "item_id": f"i{place % 7}",
            "event": "e",
            "timestamp": (place * PARTS + number) % 9_973,
            "place": number * 1_000 + place,
        }
        for place, user in enumerate(users)
    ]
    return pa.Table.from_pylist(rows, LINES)


def shuffled(number):
    shuffle = LinesToShuffle(SPEC, SHARDS)
    found = [*shuffle.add(part(number)), *shuffle.flush()]
    assert shuffle.counts == {}, "no part has more than 256 lines of a user"
    return found


def test_the_bots_lines_meet_in_two_steps():
    busy, sent, counts = defaultdict(list), defaultdict(list), Counter()
    for number in range(PARTS):
        for kind, (shard, packed) in shuffled(number):
            (busy if kind == "busy" else sent)[shard].append(packed)

    # A 256th of 256 is one line, but users with up to 64 in a part aren't busy: no line of theirs takes the longer way.
    users = Counter(user for tables in busy.values() for table in tables for user in users_of(table))
    assert users == {"bot": PARTS * OF_BOT} | {f"many-{number}": 65 for number in range(PARTS)}
    # Four groups for 16 shards, none with half of the parts.
    sizes = [sum(users_of(table).count("bot") for table in tables) for tables in busy.values()]
    assert sum(size > 0 for size in sizes) == 4
    assert max(sizes) < 20 * OF_BOT

    for element in busy.items():
        (_, (_, gone)), (kind, (shard, packed)) = latest_of_busy(element, SPEC, shards=SHARDS)
        assert kind == "lines"
        counts.update(decode_counts(gone))
        sent[shard].append(packed)
    meet = [lines_of_shard(tables, SPEC) for tables in sent.values()]
    assert max(users_of_lines(lines).count("bot") for lines in meet) == 4 * 256
    assert counts == {"filtered/over_max_lines": PARTS * OF_BOT - 4 * 256}
    few = next(tables for tables in busy.values() if not any("bot" in users_of(table) for table in tables))
    assert next(latest_of_busy((0, few), SPEC, shards=SHARDS)) == ("counts", (0, b"{}"))

    kept = {
        place for lines in meet for place in lines.filter(pa.array(~are_beyond_latest(lines, 256)))["place"].to_pylist()
    }
    whole = pa.concat_tables([part(number) for number in range(PARTS)])
    assert kept == set(whole.filter(pa.array(~are_beyond_latest(whole, 256)))["place"].to_pylist())
    assert len(kept) == 256 + 40 * 65 + 40 * 64 + 40 * 60


def test_a_users_lines_come_to_one_shard_whichever_way_they_take():
    (bot,) = {shard // 4 for number in range(3) for shard in keys_of(number, "bot", busy=True)}
    alone = pa.table({"query_id": ["bot"], "item_id": ["i"], "event": ["e"], "timestamp": [0], "place": [0]})
    shuffle = LinesToShuffle(SPEC, SHARDS)
    ((_, (shard, _)),) = [*shuffle.add(alone.cast(LINES)), *shuffle.flush()]
    assert shard == bot


def test_of_many_lines_to_keep_a_256th_makes_a_user_busy():
    for most, is_busy in ((256 * 199, True), (256 * 200, False)):
        _, busy = take_busy(part(0), most=most, shards=SHARDS)
        assert {user for _, packed in busy for user in users_of(packed)} == ({"bot"} if is_busy else set())


def test_with_few_shards_nothing_takes_the_longer_way():
    lines = part(0)
    others, busy = take_busy(lines, most=1, shards=3)
    assert others is lines
    assert list(busy) == []


def keys_of(number, user, *, busy):
    found = [element.keyed for element in shuffled(number) if (element.kind == "busy") is busy]
    return [key for key, packed in found if user in users_of(packed)]


def users_of(packed):
    return users_of_lines(unpack(packed))


def users_of_lines(lines):
    return lines.column("query_id").to_pylist()

"""What is said of a spec that breaks a rule: the key, the rule, the value, the nearest name."""

import pytest
from refused_specs import TREE, refused

from features.spec.file import build_spec
from stage.errors import UsageError


@pytest.mark.parametrize(
    ("override", "message"),
    [
        # The key, and the nearest name.
        ("ssl.alfa=1", "ssl.alfa: no such key; did you mean 'alpha'?"),
        ("item.features.title.ngram=[1]", "item.features.title.ngram: no such key; did you mean 'ngrams'?"),
        ("item.features.page.max_values=3", "item.features.page.max_values: no such key"),
        ("sources.pseudonymise={key: secret}", "sources.pseudonymise.key: no such key; did you mean 'key_env'?"),
        ("sources.queries={pat: x}", "sources.queries.pat: no such key; did you mean 'path'?"),
        ("sources.items={path: x, idd: y}", "sources.items.idd: no such key; did you mean 'id'?"),
        # The rule, and the value.
        ("ssl.alpha=-1", "ssl.alpha: expected at least 0, got '-1'"),
        ("ssl.alpha=nan", "ssl.alpha: expected a finite number, got 'nan'"),
        (
            "train.epochs=1.5",
            "train.epochs: expected a whole number, got '1.5'",
        ),
        (
            "item.features.title.ngrams=[1, 0]",
            "item.features.title.ngrams.1: expected at least 1, got '0'",
        ),
        (
            "split.validation_seconds=604800000000",
            "split.validation_seconds: expected at most 7258118400, got '604800000000'",
        ),
        ("model.hidden=[]", "model.hidden: expected at least 1 value, got []"),
        (
            "model.hashed_tables={pages: {rows: 5}}",
            "model.hashed_tables: expected vocabularies (categories, page, title), got pages",
        ),
        ("item.features={}", "item.features: expected at least one"),
        (
            "item.features={Bad: {kind: id}}",
            "item.features.Bad: expected a lower-case letter, then lower-case letters, digits and _, got 'Bad'; "
            "a column that is called so is named by column: Bad",
        ),
        ("sources.items={id: x}", "sources.items: expected exactly one of path and query"),
        ("sources.items={path: x, query: y}", "sources.items: expected exactly one of path and query"),
        (
            "sources.items.path=bq://project.items",
            "sources.items.path: expected bq://PROJECT.DATASET.TABLE, got bq://project.items",
        ),
        (
            "sources.items={query: SELECT 1, format: csv}",
            "sources.items.format: expected auto for what BigQuery holds, got csv",
        ),
        (
            "sources.items={path: items, format: parquet, list_separator: ;}",
            "sources.items.list_separator: goes with CSV alone",
        ),
        ("sources.items={query: SELECT 1, delimiter: ;}", "sources.items.delimiter: goes with CSV alone"),
        ("sources.items={path: x.jsonl.gz, delimiter: ;}", "sources.items.delimiter: goes with CSV alone"),
        ("sources.items={path: a/*.parquet, column_names: [a]}", "sources.items.column_names: goes with CSV alone"),
        ("sources.items={path: x.avro, list_separator: ;}", "sources.items.list_separator: goes with CSV alone"),
        ("sources.items={path: x.json, quoted_newlines: false}", "sources.items.quoted_newlines: goes with CSV alone"),
        (
            "sources.items={path: p, max_age_days: 6}",
            "sources.items.max_age_days: goes with {date} in path alone, got p",
        ),
        (
            "sources.interactions={path: '{date}', days_off: [sunday, Sundays]}",
            "sources.interactions.days_off: expected a weekday, such as sunday, or a day, such as 2026-12-25, got "
            "'Sundays'; did you mean 'sunday'?",
        ),
        (
            "sources.interactions={path: '{date}', days_off: [20261225]}",
            "sources.interactions.days_off: expected a weekday, such as sunday, or a day, such as 2026-12-25, got "
            "'20261225'",
        ),
        (
            "sources.interactions={path: p, days_off: [sunday]}",
            "sources.interactions.days_off: goes with {date} in path alone, got p",
        ),
        (
            "sources.items={path: x, delimiter: ab}",
            'sources.items.delimiter: expected one character of ASCII, no double quote (a tab is "\\t" in double '
            "quotes), got 'ab'",
        ),
        (
            "sources.items={path: x, delimiter: '\"'}",
            'sources.items.delimiter: expected one character of ASCII, no double quote (a tab is "\\t" in double '
            "quotes), got '\"'",
        ),
        ("sources.items={path: x.csv, null_values: [null]}", "sources.items.null_values.0: expected text, got null"),
        ("sources.items={path: x.jsonl, null_values: [NA]}", "sources.items.null_values: goes with CSV alone"),
        (
            "sources.items={path: x.csv, column_names: [a, b, a]}",
            "sources.items.column_names: expected each name once, got a twice",
        ),
        (
            "name=A b",
            "name: expected a lower-case letter or digit, then lower-case letters, digits, _ and -, got 'A b'",
        ),
        ("train.epochs=two", "train.epochs: expected a whole number, got 'two'"),
        ("ssl.alpha=x", "ssl.alpha: expected a number, got 'x'"),
        ("evaluate.baselines=maybe", "evaluate.baselines: expected true or false, got 'maybe'"),
        ("model.hidden=3", "model.hidden: expected a list, got '3'"),
        ("ssl.alpha=null", "ssl.alpha: expected a number, got null"),
        ("name=[a]", "name: expected text, got ['a']"),
        # A truth value is no number, wherever one stands.
        (
            "item.features.title.oov_buckets=true",
            "item.features.title.oov_buckets: expected a whole number, got 'true'",
        ),
        ("split.validation_seconds=yes", "split.validation_seconds: expected a whole number, got 'yes'"),
        (
            "model.hashed_tables={page: {rows: true}}",
            "model.hashed_tables.page.rows: expected a whole number, got 'true'",
        ),
        ("model.hidden=[4, true]", "model.hidden.1: expected a whole number, got 'true'"),
        ("item.features.title.ngrams=true", "item.features.title.ngrams: expected a list, got 'true'"),
        ("ssl.alpha=off", "ssl.alpha: expected a number, got 'off'"),
        ("ssl.temperature=true", "ssl.temperature: expected a number, got 'true'"),
        ("train=3", "train: expected a mapping, key: value, got '3'"),
        ("item.features.year=numeric", "item.features.year: expected {kind: numeric}, got 'numeric'"),
        ("item.features.year=[numeric]", "item.features.year: expected a mapping, key: value, got ['numeric']"),
        ("ssl.temperature=0", "ssl.temperature: expected more than 0, got '0'"),
        ("ssl.dropout_rate=1", "ssl.dropout_rate: expected less than 1, got '1'"),
        ("split.test=1.5", "split.test: expected at most 1, got '1.5'"),
        ("split.seed=4294967296", "split.seed: expected less than 4294967296, got '4294967296'"),
        ("sources.items.list_separator=''", "sources.items.list_separator: expected at least 1 character, got ''"),
        # Choices.
        (
            "train.optimizer=adm",
            "train.optimizer: expected one of adam, adagrad, rowwise_adagrad, got 'adm'; did you mean 'adam'?",
        ),
        ("train.optimizer=sgd", "train.optimizer: expected one of adam, adagrad, rowwise_adagrad, got 'sgd'"),
        (
            "sources.interactions.format=json",
            "sources.interactions.format: expected one of auto, jsonl, csv, parquet, avro, got 'json'; "
            "did you mean 'jsonl'?",
        ),
        (
            "sources.queries={path: x, format: 3}",
            "sources.queries.format: expected one of auto, jsonl, csv, parquet, avro, got '3'",
        ),
        ("sources.queries=item", "sources.queries: expected one of items, got 'item'; did you mean 'items'?"),
        (
            "item.features.page.kind=idd",
            "item.features.page.kind: expected one of id, categorical, multivalued, text, numeric, vector, got 'idd'; "
            "did you mean 'id'?",
        ),
        (
            "item.features.new={}",
            "item.features.new.kind: expected one of id, categorical, multivalued, text, numeric, vector, got none",
        ),
        ("item.features.title.ngrams=[]", "item.features.title.ngrams: expected at least 1 value, got []"),
        (
            "item.features.title.vocabulary=a/b",
            "item.features.title.vocabulary: expected a lower-case letter, then lower-case letters, digits and _, "
            "got 'a/b'",
        ),
        (
            "item.features.title.vocabulary=../x",
            "item.features.title.vocabulary: expected a lower-case letter, then lower-case letters, digits and _, "
            "got '../x'",
        ),
        (
            "sources.interactions.timezone=Europe/Berln",
            "sources.interactions.timezone: expected an IANA zone, got 'Europe/Berln'; did you mean 'Europe/Berlin'?",
        ),
        ("sources.interactions.timezone=../x", "sources.interactions.timezone: expected an IANA zone, got '../x'"),
        ("sources.interactions.timezone=''", "sources.interactions.timezone: expected an IANA zone, got ''"),
        # Rules that hold between keys.
        (
            "sources.interactions.event=null",
            "sources.interactions.positive_events: expected none with event null, by which every line is positive, "
            "got link",
        ),
        (
            "sources.interactions={path: x.csv.gz, timestamp: at, timestamp_unit: ms, timezone: Asia/Tokyo}",
            "sources.interactions.timezone: goes with timestamp_unit iso in JSON lines and CSV; ms is counted in UTC",
        ),
        (
            "sources.interactions={path: x, format: jsonl, timestamp: at, timezone: Asia/Tokyo}",
            "sources.interactions.timezone: goes with timestamp_unit iso in JSON lines and CSV; s is counted in UTC",
        ),
        (
            "sources.interactions={path: x, event: at, timestamp: at}",
            "sources.interactions.timestamp: expected a column of its own, got at, which is event",
        ),
        (
            "sources.interactions={path: x, query_id: page, item_id: page, event: null}",
            "sources.interactions.item_id: expected a column of its own, got page, which is query_id",
        ),
        (
            "sources.interactions={path: x, query_id: event}",
            "sources.interactions.event: expected a column of its own, got event, which is query_id",
        ),
        (
            "sources.pseudonymise={key_env: K, columns: []}",
            "sources.pseudonymise.columns: expected at least 1 value, got []",
        ),
        (
            "sources.pseudonymise={key_env: K, columns: [query_id, query_id]}",
            "sources.pseudonymise.columns: expected each name once, got query_id twice",
        ),
        (
            "sources.interactions={path: x.parquet, timestamp_unit: iso}",
            "sources.interactions.timestamp_unit: expected none without timestamp, the column of times, got iso; "
            "without it the log has no times",
        ),
        (
            "sources.interactions={path: x.jsonl, timezone: Asia/Tokyo}",
            "sources.interactions.timezone: expected none without timestamp, the column of times, got Asia/Tokyo; "
            "without it the log has no times",
        ),
        (
            "item.features.page.column=other",
            "item.features.page.column: expected none, since an id is read by the key id of its table, got other",
        ),
        (
            "item.features.seller={kind: id}",
            "item.features.seller.kind: expected no second id beside page: an id is the entity's own; for another "
            "column's ids, such as a seller's, use kind categorical",
        ),
        *(
            (
                f"item.features.hashed={{kind: text, hash_buckets: 9, {key}: 2}}",
                f"item.features.hashed.{key}: goes with a learned vocabulary alone, and with hash_buckets",
            )
            for key in ("min_count", "top_k", "oov_buckets")
        ),
        *(
            (
                f"split.{key}={value}",
                f"split.{key}: goes with method time alone, got method pair_hash; null takes it away",
            )
            for key, value in {
                "validation_start": "2009-07-27",
                "test_start": "2009-07-27",
                "validation_seconds": 1,
            }.items()
        ),
        *(
            (
                f"split={{method: time, validation_seconds: 9, {key}: 0}}",
                f"split.{key}: goes with a split by hash alone, got method time, where {instead} says when {key} "
                f"begins; {default}, the default, takes it away",
            )
            for key, instead, default in (
                ("validation", "validation_start or validation_seconds", 0.03),
                ("test", "test_start", 0.1),
            )
        ),
        ("train.batch_size=10", "train.batch_size: expected a multiple of input_streams (8), got 10"),
        ("split.test=0.99", "split.validation + test: expected less than 1, got 1.02"),
        ("split.method=time", "split: expected validation_start or validation_seconds with method time"),
        (
            "split={method: time, validation_start: 2009-07-27, test_start: 2009-07-28}",
            "sources.interactions.timestamp: expected a column, since split.method time needs times, got none",
        ),
        ("sources.pseudonymise={}", "sources.pseudonymise: expected exactly one of key_env and key_file"),
        (
            "sources.pseudonymise={key_env: A, key_file: B}",
            "sources.pseudonymise: expected exactly one of key_env and key_file",
        ),
        ("ssl.mask_groups={page: [pag]}", "ssl.mask_groups: expected item features (categories, page, title), got pag"),
        (
            "query.features.query_id={kind: categorical}",
            "query.features.query_id: this name is reserved for the query's",
        ),
        (
            "item.features.id_text={kind: numeric}",
            "item.features.id_text: this name is reserved for the dataset's own columns; choose another",
        ),
        (
            "item.features.page.min_count=3",
            "item.features.page: shares the vocabulary page with query.features.page, so their rules must agree; "
            "min_count: expected 0, got 3",
        ),
        (
            "item.features.title.vocabulary=page",
            "item.features.title: shares the vocabulary page with query.features.page, so their rules must agree; "
            "kind: expected id, got other than id",
        ),
        # Columns of one table.
        (
            "item.features.price={kind: numeric, column: categories}",
            "item.features.price: expected a list, as item.features.categories reads the same column, got a number",
        ),
        (
            "query.features.words={kind: text, column: categories}",
            "query.features.words: expected a list, as item.features.categories reads the same column, got text",
        ),
        (
            "item.features.words={kind: multivalued, column: title}",
            "item.features.words: expected text, as sources.items.title reads the same column, got a list",
        ),
        (
            "item.features.number={kind: numeric, column: item_id}",
            "item.features.number: expected text, as sources.items.id reads the same column, got a number",
        ),
        (
            "item.features.look={kind: vector, size: 8, column: categories}",
            "item.features.look: expected a list, as item.features.categories reads the same column, got a vector of 8",
        ),
        ("item.features.look={kind: vector}", "item.features.look.size: expected a value, got none"),
        (
            "sources.queries=null",
            "query.features.title: expected a table of queries that holds it, in sources.queries, got none; a column "
            "of the log is of session.context",
        ),
        (
            "sources.queries={path: x, id: page, title: categories}",
            "query.features.categories: expected text, as sources.queries.title reads the same column, got a list",
        ),
    ],
)
def test_an_error_names_the_key_the_rule_the_value_and_the_nearest_name(override, message):
    key = override.partition("=")[0]
    where = "--set " if message.startswith((f"{key}:", f"{key}.")) else f"s.yaml with --set {key}: "
    assert refused(override).startswith(f"{where}{message}")


def test_an_error_of_a_key_that_no_override_named_names_the_file():
    with pytest.raises(UsageError, match=r"^s.yaml: train.epochs: expected a whole number, got 'two'$"):
        build_spec(TREE | {"train": {"epochs": "two"}}, ["ssl.alpha=1", "train.patience=1"], source="s.yaml")


def test_a_vocabulary_that_a_feature_has_by_default_is_shared_too_if_another_names_it():
    found = refused("item.features.more={kind: text, hash_buckets: 9}", "query.features.title.vocabulary=item_more")
    assert found.startswith(
        "--set item.features.more: shares the vocabulary item_more with query.features.title, so their rules must "
        "agree; hash_buckets: expected None, got 9"
    )


def test_a_vocabulary_that_is_called_as_a_feature_is_that_feature_s():
    more = "item.features.more={kind: text, column: title, vocabulary: words}"
    found = refused("query.features.words={kind: text, column: title}", more)
    assert found == (
        "--set item.features.more: its vocabulary words is called as query.features.words, whose own is query_words; "
        "to share it give both vocabulary: words, else choose another name"
    )
    # One of two features of this name has it.
    words = ["query.features.words={kind: text, column: title}", "item.features.words={kind: text, vocabulary: words}"]
    build_spec(TREE, [*words, more], source="s.yaml")


def test_an_error_counts_the_others():
    assert refused("train.temperature=0", "ssl.alpha=-1").endswith("got '-1' (and 1 more)")
    # What a key may be is one rule, by however many unions it is declared.
    assert refused("sources.items.format=7").endswith("got '7'")
    assert refused("sources.items.format=7", "train.optimizer=adm").endswith("got '7' (and 1 more)")

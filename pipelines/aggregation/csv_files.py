"""CSV files: a header per file, then records, in blocks or in ranges."""

from collections.abc import Iterator

from features.parsing.csv_lines import parse_csv, parse_header
from pipelines.aggregation.batches import Batch, to_batch
from pipelines.aggregation.blocks import check_size, decompress, read_blocks, read_line
from pipelines.aggregation.columns import Columns, check_names
from pipelines.aggregation.input_files import FileRange, InputFile
from stage import storage
from stage.errors import StageError


def read_csv(element: FileRange, columns: Columns) -> Iterator[Batch]:
    """The rows of a file or range.

    Raises:
        StageError: If the header can't be read, lacks a required column, or has one twice.
    """
    file, dialect = element.file, element.file.dialect
    names, header = read_header(file)
    if not names and not header:
        check_size(file, 0)
        return
    check_names(names, columns, path=file.path)
    rest = b""
    for start, block in read_blocks(element):
        # The first block holds the rest of the header, being of whole lines.
        skipped = max(header - start, 0)
        whole, offset = rest + block[skipped:], start + skipped - len(rest)
        parsed, taken = parse_csv(whole, columns.schema, names=names, dialect=dialect, last=not dialect.quoted_newlines)
        yield to_batch(parsed, file, offset=offset)
        rest, offset = whole[taken:], offset + taken
    if rest:
        parsed, _ = parse_csv(rest, columns.schema, names=names, dialect=dialect)
        yield to_batch(parsed, file, offset=offset)


def read_header(file: InputFile) -> tuple[tuple[str, ...], int]:
    """The columns of a file's records, and how many bytes its header has; neither of an empty file.

    Raises:
        StageError: If there is a header that can't be read.
    """
    if file.dialect.names is not None:
        return file.dialect.names, 0
    with storage.open_input(file.path, seeks=False) as raw:
        line = read_line(decompress(raw, file.compression), file)
    try:
        return parse_header(line, file.dialect), len(line)
    except ValueError as error:
        raise StageError(f"{file.path}: expected a header, the names of the columns on one line: {error}") from None

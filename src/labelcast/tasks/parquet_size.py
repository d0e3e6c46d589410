"""What a Parquet file would grow to, told from its metadata before any of it is unpacked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from labelcast.errors import InputError

LARGEST_GROUP = 2**30
"""Bytes that a row group may grow to, however little it is packed into."""

_MOST_TIMES = 200  # text packs to a tenth, and hardly ever to a fiftieth
_MANY_ROWS = 10**7
_MOST_ROWS_A_BYTE = 100
_MOST_AT_ONCE = 1024
_MEMORY = 2**30
_LIKELY_TIMES = 16
_SUSPICIOUS_TIMES = 50


def refuse_bomb(metadata: Any, path: Path) -> None:
    """Refuse a file that claims far more than it can hold.

    Args:
        metadata: pyarrow's `FileMetaData`.
        path: of the file.

    Raises:
        InputError: a row group over 1 GiB grows to more than 200 times what it is packed into, or
            there are more than 10,000,000 rows and over 100 of them to a byte.
    """
    size = path.stat().st_size
    if metadata.num_rows > max(_MANY_ROWS, _MOST_ROWS_A_BYTE * size):
        raise InputError(
            f"{path}: {metadata.num_rows:,} rows in {size:,} bytes, so nearly all are the same. "
            "Keep one of each."
        )
    for number in range(metadata.num_row_groups):
        columns = _columns(metadata.row_group(number))
        packed = sum(column.total_compressed_size for column in columns)
        whole = sum(column.total_uncompressed_size for column in columns)
        if whole > max(LARGEST_GROUP, _MOST_TIMES * packed):
            raise InputError(
                f"{path}: row group {number + 1} would grow from {packed:,} to {whole:,} bytes. "
                "Is it what it should be? Written anew with smaller row groups it can be read."
            )


def rows_at_once(metadata: Any) -> int:
    """How many rows may be unpacked together: 1024, or fewer where one value may be very large.

    A value that stands once in a column's dictionary may be meant by every row.
    """
    largest = max(
        (
            sum(_dictionary(column) for column in _columns(metadata.row_group(number)))
            for number in range(metadata.num_row_groups)
        ),
        default=0,
    )
    return max(1, min(_MOST_AT_ONCE, _MEMORY // max(largest, 1)))


def _columns(group: Any) -> list[Any]:
    return [group.column(number) for number in range(group.num_columns)]


def _dictionary(column: Any) -> int:
    """Bytes that the dictionary of a column may have, which the metadata does not say."""
    if not column.has_dictionary_page:
        return 0
    whole, packed = column.total_uncompressed_size, max(column.total_compressed_size, 1)
    begin = column.dictionary_page_offset
    if begin is None or whole > _SUSPICIOUS_TIMES * packed:
        return int(whole)
    return int(min(whole, _LIKELY_TIMES * max(column.data_page_offset - begin, 0)))

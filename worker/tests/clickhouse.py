"""Asks ClickHouse in this process: a list of SQL as JSON on standard input, the rows of each as JSON on standard output, every value
as a text: numbers are wider than most readers of JSON take them."""

import json
import sys

import chdb



def answer(sql):
    rows = json.loads(chdb.query(sql, "JSONCompact").bytes())["data"]
    return [["" if value is None else str(value) for value in row] for row in rows]


json.dump([answer(sql) for sql in json.load(sys.stdin)], sys.stdout)

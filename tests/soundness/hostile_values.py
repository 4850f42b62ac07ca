"""What breaks readers of JSON: values at the wrong place, texts that no document is, and random mutations."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

Json = Any


def nested(depth: int) -> Json:
    value: Json = 0
    for _ in range(depth):
        value = [value]
    return value


HOSTILE: list[Json] = [
    *(
        "nan",
        "NaN",
        "inf",
        "-inf",
        "Infinity",
        "1e999",
        "0x1p99999",
        "0x1p-99999",
        "1/0",
        "0/0",
        "-1/2",
        "",
        " 1",
    ),
    *(
        "0x1.8p-1\n",
        "1_000",
        "٣",
        "0x",
        "0xp0",
        "--1",
        "1/2/3",
        "9" * 5000,
        "1/" + "9" * 5000,
        "\ud800",
        "\x00",
        "true",
    ),
    *(
        10**5000,
        -(10**5000),
        10**17,
        -1,
        0,
        1,
        2,
        -0,
        2**63,
        True,
        False,
        None,
        0.5,
        float("nan"),
        float("inf"),
        -0.0,
    ),
    *(
        [],
        {},
        [[]],
        [None],
        {"": 0},
        {"envelope": {}},
        {"positions": []},
        "all",
        "gaussian",
        "deletion",
        "top-k",
        "given",
    ),
    *(nested(40), [[0, 0, 1]] * 3, ["0x1p+0", "0x1p+0"], "0x1.0000000000000p+0", "0x0.0p+0", "1", "1/2"),
]


def paths(value: Json, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(path for key, part in inner for path in paths(part, (*at, key)))]


def mutated(document: Json, stream: random.Random) -> Json:
    """One to three entries replaced, dropped, renamed, doubled or exchanged."""
    result = copy.deepcopy(document)
    for _ in range(stream.choice([1, 1, 1, 2, 3])):
        every = [path for path in paths(result) if path]
        if not every:
            return result
        *way, last = stream.choice(every)
        section = result
        for step in way:
            section = section[step]
        action = stream.randrange(7)
        if action <= 2:
            section[last] = copy.deepcopy(stream.choice(HOSTILE))
        elif action == 3:
            del section[last]
        elif action == 4 and isinstance(section, dict):
            section[stream.choice(["", "d", "kernel", last.upper(), last + " "])] = section.pop(last)
        elif action == 5 and isinstance(section, list):
            section.insert(stream.randint(0, len(section)), copy.deepcopy(stream.choice(section)))
        else:
            other = stream.choice(every)
            value = result
            try:
                for step in other:
                    value = value[step]
            except (LookupError, TypeError):
                continue
            section[last] = copy.deepcopy(value)
    return result


def texts(document: Json) -> dict[str, str]:
    """Texts that break readers rather than rules."""
    text = json.dumps(document)
    return {
        "lists nested deep": "[" * 100_000,
        "lists nested deep and closed": "[" * 100_000 + "]" * 100_000,
        "objects nested deep": '{"a":' * 100_000 + "1" + "}" * 100_000,
        "nested in provenance": text.replace('"seed": 7', '"seed": ' + "[" * 100_000 + "]" * 100_000),
        "a huge integer": text.replace('"seed": 7', '"seed": ' + "9" * 10**6),
        "a huge negative integer": text.replace('"seed": 7', '"seed": -' + "9" * 10**6),
        "a float": text.replace('"seed": 7', '"seed": 7.0'),
        "an exponent": text.replace('"seed": 7', '"seed": 1e400'),
        "NaN": text.replace('"seed": 7', '"seed": NaN'),
        "Infinity": text.replace('"seed": 7', '"seed": -Infinity'),
        "a repeated key": text.replace('"seed": 7', '"seed": 7, "seed": 7'),
        "a repeated section": text[:-1] + ', "claim": {}}',
        "a second document": text + text,
        "something behind": text + " x",
        "a byte order mark": "\ufeff" + text,
        "single quotes": text.replace('"', "'"),
        "a comment": "// certificate\n" + text,
        "a comma too many": text[:-1] + ",}",
        "a lone surrogate": text.replace('"seed": 7', '"seed": "\\ud800"'),
        "a control character": text.replace('"seed": 7', '"seed": "\x01"'),
        "nothing": "",
        "null": "null",
        "a number": "1",
        "a string": '"hybridcert/certificate/1"',
        "an empty object": "{}",
        "other schema": text.replace("certificate/1", "certificate/2"),
        "zeros": "\0" * 1000,
        "17 MiB": '"' + "a" * (17 * 2**20) + '"',
    }

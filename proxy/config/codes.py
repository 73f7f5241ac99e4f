"""The stable codes of all problems, so that a pipeline can name what it tolerates and a page can explain it."""

from enum import StrEnum


class Code(StrEnum):
    """PS10x: files and syntax. PS11x: the shape of a document. PS12x: values. PS13x: how the parts fit together."""

    UNREADABLE = "PS100"
    SYNTAX = "PS101"
    DUPLICATE_KEY = "PS102"
    TOO_DEEP = "PS103"
    BAD_ALIAS = "PS104"
    BAD_TAG = "PS105"
    EMPTY_FILE = "PS106"
    NOTHING_TO_SERVE = "PS107"
    NO_SUCH_PATH = "PS108"
    BAD_VARIABLE = "PS109"

    WRONG_TYPE = "PS110"
    UNKNOWN_KEY = "PS111"
    MISSING_KEY = "PS112"
    CONFLICTING_KEYS = "PS113"
    UNKNOWN_KIND = "PS114"
    WRONG_PLACE = "PS115"
    FOREIGN_KIND = "PS116"
    DEFINITION = "PS117"

    BAD_VALUE = "PS120"
    BAD_PATTERN = "PS121"
    BAD_ADDRESS = "PS122"
    NO_SUCH_FILE = "PS123"
    NO_WEIGHT = "PS124"
    EXPOSED_KEY = "PS125"

    DUPLICATE_NAME = "PS130"
    UNKNOWN_SERVER = "PS131"
    UNUSED_SERVER = "PS132"
    UNREACHABLE_RULE = "PS133"
    UNREACHABLE_ROUTE = "PS134"
    NO_ENDPOINTS = "PS135"
    WITHOUT_EFFECT = "PS136"
    EXPOSED_ADMIN = "PS137"
    NOT_ENFORCED = "PS138"
    TLS_CONFLICT = "PS139"

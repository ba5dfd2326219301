"""Names that a value, a group or a further key of a value cannot have in SciCat. Found by running the real backend."""

RESERVED = frozenset(
    {
        "",
        "language",  # MongoDB's text index takes the field for its own
        # MongoDB's driver and class-transformer answer 500 to these ...
        "_bsontype",
        "constructor",
        # ... and class-transformer leaves out what every object of JavaScript has, without a word
        "prototype",
        "__proto__",
        "__defineGetter__",
        "__defineSetter__",
        "__lookupGetter__",
        "__lookupSetter__",
        "hasOwnProperty",
        "isPrototypeOf",
        "propertyIsEnumerable",
        "toLocaleString",
        "toString",
        "valueOf",
    }
)

RESERVED_FOR_ENTRIES = RESERVED | {"human_name", "u", "unit"}
"""Of values and groups. The backend takes `human_name` in a group for that of the group, and ends if it is no text.

A group with `u` or `unit` in it is a quantity for it: none of its values is converted to SI units.
"""

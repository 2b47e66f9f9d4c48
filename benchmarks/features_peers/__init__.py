"""The tables of data and features by other tools, from the rules and not from our SQL."""

"""The words of the field as plain values: nothing here reads a clock, a file or a network."""

"""The way of the data, one module a stage: fetch, normalise, detect, guard, record, publish, deliver, confirm."""

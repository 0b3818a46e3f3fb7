"""A first configuration that works as it stands: exports into a folder, no target yet."""

from __future__ import annotations

from pathlib import Path

from bridge.domain.errors import ConfigError

_EXAMPLE = """\
# Skolebro. Check it with: skolebro check -c {path}
# Secrets never stand here: a key that ends in _file names a file (mode 0600) with the secret as its content.
state_folder: state

municipalities:
  "{code}":
    name: {name}
    institutions: all            # or a list: ["101001", "101002"]
    interval: 15m
    source:
      connector: stil-folder     # *.xml payload documents of wsiEKSPORT v7 are taken from here
      folder: incoming
    guard:
      max_deleted_percent: 25    # a snapshot that would delete more waits for a person
      min_deleted: 3
    targets:                     # none yet: take the # away below
      # platform:
      #   connector: scim
      #   base_url: https://platform.example/scim/v2
      #   token_file: secrets/platform-token
      #   mapping: scim/core     # or a copy of it: mappings/our-school.yaml
      # aula:
      #   connector: aula
      #   mode: agreement        # needs an agreement; without it leave `observe`
      #   base_url: https://receiver.example
      #   secret_file: secrets/aula-webhook

web:
  listen: 127.0.0.1:8600
"""


def write_example(folder: Path, code: str, name: str) -> str:
    """Write ``skolebro.yaml`` and the folder ``incoming`` and return what to do next.

    Raises `ConfigError` when a configuration is there already or the folder cannot be written.
    """
    path = folder / "skolebro.yaml"
    if path.exists():
        raise ConfigError(f"{path} is there already; it was left as it is")
    if not code.isalnum():
        raise ConfigError(f"--municipality {code!r}: allowed are letters and digits, such as 0751")
    quoted = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    try:
        (folder / "incoming").mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_text(_EXAMPLE.format(path=path, code=code, name=quoted), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror}); nothing was changed") from error
    return (
        f"Wrote {path}.\n"
        f"Next: put exports into {folder / 'incoming'}, then run\n"
        f"  skolebro check -c {path}\n"
        f"  skolebro plan  -c {path}\n"
        f"  skolebro sync  -c {path}"
    )

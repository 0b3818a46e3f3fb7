"""A first configuration that works as it stands, or lacks only what STIL gave you; no target yet."""

from __future__ import annotations

from enum import StrEnum
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
{source}
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
      #   mode: observe          # sends nothing; `skolebro report` says what Aula will see

web:
  listen: 127.0.0.1:8600
"""


class SourceKind(StrEnum):
    """Which of our own sources a first configuration is for."""

    FOLDER = "folder"
    STIL = "stil"


_SOURCES = {
    SourceKind.FOLDER: """\
    interval: 15m
    source:
      connector: stil-folder     # *.xml payload documents of wsiEKSPORT v7 are taken from here
      folder: incoming""",
    SourceKind.STIL: """\
    cron: "30 5 * * 1-5"         # when STIL is asked; or interval: 6h
    jitter: 15m
    source:
      connector: stil
      udbydersystem_id: CHANGE-ME              # the provider system's id at tilslutning.stil.dk
      size: fuldmyndighed                      # the size that the data agreements are for
      certificate_file: secrets/oces3.p12      # the provider system's OCES3 certificate with its key
      password_file: secrets/oces3-password
      oces_ca_files: [ca/oces-root-ca.pem, ca/oces-issuing-ca.pem]
      # signer: {O: "..."}       # attributes of STIL's certificate; without, any under these CAs is believed""",
}
_FOLDERS = {SourceKind.FOLDER: ("incoming",), SourceKind.STIL: ("secrets", "ca")}
_MODES = {"ca": 0o755}  # certificates are no secret, and the service may run as another user
_FIRST = {
    SourceKind.FOLDER: "put exports into {folder}/incoming, then run",
    SourceKind.STIL: (
        "put certificate, password and CA files where the file says (mode 0600 in {folder}/secrets),\n"
        "set udbydersystem_id (docs/how-to/connect-to-stil.md has all steps), then run"
    ),
}


def write_example(folder: Path, code: str, name: str, source: SourceKind = SourceKind.FOLDER) -> str:
    """Write ``skolebro.yaml`` and the folders that it names and return what to do next.

    Raises `ConfigError` when a configuration is there already or the folder cannot be written.
    """
    path = folder / "skolebro.yaml"
    if path.exists():
        raise ConfigError(f"{path} is there already; it was left as it is")
    if not code.isalnum():
        raise ConfigError(f"--municipality {code!r}: allowed are letters and digits, such as 0751")
    quoted = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    try:
        for needed in _FOLDERS[source]:
            (folder / needed).mkdir(mode=_MODES.get(needed, 0o700), parents=True, exist_ok=True)
        text = _EXAMPLE.format(path=path, code=code, name=quoted, source=_SOURCES[source])
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror}); nothing was changed") from error
    return (
        f"Wrote {path}.\n"
        f"Next: {_FIRST[source].format(folder=folder)}\n"
        f"  skolebro check -c {path}\n"
        f"  skolebro plan  -c {path}\n"
        f"  skolebro sync  -c {path}"
    )

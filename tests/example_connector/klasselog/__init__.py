"""Klasselog, a made-up platform: one PUT or DELETE a pupil, and a list of all."""

from pathlib import Path

from bridge.connector import Connector, ConnectorConfig, Services
from klasselog.target import KlasselogTarget


class KlasselogConfig(ConnectorConfig):
    """`base_url` is where Klasselog is; `token_file` holds the token that it gave us."""

    base_url: str
    token_file: Path

    @property
    def system(self) -> str:
        return self.base_url


def _target(config: KlasselogConfig, services: Services) -> KlasselogTarget:
    token = services.secret(config.token_file)
    return KlasselogTarget(services.http(config.base_url, headers={"Authorization": f"Bearer {token}"}))


MAPPING = str(Path(__file__).with_name("pupils.yaml"))
connector = Connector("klasselog", KlasselogConfig, target=_target, default_mapping=MAPPING)

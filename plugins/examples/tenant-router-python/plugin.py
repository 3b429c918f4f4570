"""Sends each tenant's requests to the backend that the operator's table assigns to the tenant."""

from dataclasses import dataclass

import pointsman
from pointsman import questions


@dataclass
class Config:
    table: str = "tenants"
    tenant: str = "header:x-tenant"


class TenantRouter:
    cacheable = True

    def __init__(self, config: Config) -> None:
        self.tenant = questions.value(config.tenant, key="tenant")
        self.backend = questions.look_up(config.table, config.tenant, key="table")

    def route(self, request: pointsman.Request) -> pointsman.Decision:
        request.tag_by("tenant", self.tenant)
        backend = request.ask_str(self.backend)
        return pointsman.next() if backend is None else pointsman.backend(backend)


Plugin = pointsman.plugin(TenantRouter, Config)

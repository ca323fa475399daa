"""The routes of organizations, people and logins."""

from __future__ import annotations

from pathlib import Path

from toolyard.control.base.declared import Slice
from toolyard.control.identity.auth_routes import add_auth_routes
from toolyard.control.identity.entrance import Entrance
from toolyard.control.identity.own_account import RegistrationOpen
from toolyard.control.identity.people_routes import add_people_routes
from toolyard.control.identity.platform_routes import add_platform_routes


def identity_slice(entrance: Entrance, data_dir: Path, registration_open: RegistrationOpen) -> Slice:
    """`data_dir`: where the token of the set-up link is. `registration_open`: whether people may make accounts for
    themselves."""
    one = Slice("identity")
    add_auth_routes(one, entrance, data_dir, registration_open)
    add_people_routes(one, entrance)
    add_platform_routes(one, entrance)
    return one

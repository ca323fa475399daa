"""The page behind the set-up link: a form without scripts that makes the first administrator.

The token in the link is the proof; nothing is done by a cookie. Everything that goes into the page is escaped.
"""

from __future__ import annotations

import html
from pathlib import Path
from typing import Annotated, Final

from fastapi import Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import ValidationError

from toolyard.control.base.declaration import Declared
from toolyard.control.base.declared import Slice
from toolyard.control.base.gate import client_address
from toolyard.control.identity.entrance import EVERYWHERE, Entrance
from toolyard.control.identity.schema_auth import Setup
from toolyard.control.identity.setup import SettingUp, setup_needed
from toolyard.kit.errors import PlatformError
from toolyard.kit.secret import Secret

PATH: Final = "/ui/setup"
_OPEN: Final = Declared("open", "none", "none", "login", transaction=False)
_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:26rem;margin:4rem auto;padding:0 1rem;color:#1c2430}"
    "h1{font-size:1.4rem}label{display:block;margin:.9rem 0 .2rem}"
    "input{width:100%;box-sizing:border-box;font:inherit;padding:.45rem .6rem}"
    "input{border:1px solid #9aa4b2;border-radius:6px}"
    "button{margin-top:1.3rem;font:inherit;padding:.5rem 1rem;border:0;border-radius:6px;background:#1f5fbf;color:#fff}"
    ".wrong{color:#a4262c}small{color:#5b6675}code{background:#eef1f5;padding:.1rem .3rem;border-radius:4px}"
)
_HEADERS: Final = {
    "content-security-policy": "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; "
    "base-uri 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
_PAGE: Final = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Toolyard</title><link rel="stylesheet" href="/ui/setup/style.css"></head>
<body>
{body}
</body>
</html>
"""
_FORM: Final = """<h1>Toolyard: the first administrator · 第一位管理员</h1>
<p class="wrong" role="alert">{wrong}</p>
<form method="post" action="/ui/setup">
<input type="hidden" name="token" value="{token}">
<label for="username">User name · 用户名</label>
<input id="username" name="username" value="{username}" required maxlength="100" autocomplete="username">
<label for="password">Password · 密码</label>
<input id="password" name="password" type="password" required minlength="12" maxlength="256"
 autocomplete="new-password">
<small>At least 12 characters · 至少 12 个字符</small>
<label for="email">E-mail (optional) · 邮箱（可选）</label>
<input id="email" name="email" type="email" value="{email}" maxlength="320" autocomplete="email">
<button>Make the account · 创建账户</button>
</form>"""
_DONE: Final = """<h1>Done · 完成</h1>
<p>The administrator <code>{username}</code> is there. Log in with <code>toolyard login</code>,
or at <code>POST /api/v1/auth/login</code>; the API is described at <a href="/docs">/docs</a>.</p>
<p>管理员 <code>{username}</code> 已创建。请用 <code>toolyard login</code> 登录，或调用
<code>POST /api/v1/auth/login</code>；API 文档见 <a href="/docs">/docs</a>。</p>"""
_GONE: Final = """<h1>Nothing to set up · 无需设置</h1>
<p>There is an administrator already. Log in with <code>toolyard login</code>; the API is at
<a href="/docs">/docs</a>.</p>
<p>已有管理员。请用 <code>toolyard login</code> 登录；API 文档见 <a href="/docs">/docs</a>。</p>"""


def setup_slice(entrance: Entrance, data_dir: Path) -> Slice:
    """The page, what its form does, and where `/` leads."""
    one = Slice("setup", prefix="")

    @one.route("GET", "/", _OPEN, include_in_schema=False)
    async def root() -> RedirectResponse:
        return RedirectResponse(PATH if await _needed(entrance) else "/docs", 307)

    @one.route("GET", "/ui/setup/style.css", _OPEN, include_in_schema=False)
    async def style() -> HTMLResponse:
        return HTMLResponse(_STYLE, media_type="text/css", headers={"x-content-type-options": "nosniff"})

    @one.route("GET", PATH, _OPEN, include_in_schema=False)
    async def page(token: str = "") -> HTMLResponse:
        if not await _needed(entrance):
            return _shown(_GONE, 410)
        return _shown(_form(token))

    @one.route("POST", PATH, _OPEN, include_in_schema=False)
    async def make(
        request: Request,
        token: Annotated[str, Form(max_length=200)] = "",
        username: Annotated[str, Form(max_length=100)] = "",
        password: Annotated[str, Form(max_length=1000)] = "",
        email: Annotated[str, Form(max_length=320)] = "",
    ) -> HTMLResponse:
        try:
            wanted = {"token": token, "username": username.strip(), "password": password}
            given = Setup.model_validate({**wanted, "email": email.strip() or None})
            user = await SettingUp(entrance, data_dir).first_admin(
                Secret(token), given.username, Secret(password), given.email, client_address(request)
            )
        except ValidationError as error:
            wrong = "; ".join(f"{one['loc'][0]}: {one['msg']}" for one in error.errors())
            return _shown(_form(token, wrong, username, email), 422)
        except PlatformError as error:
            return _shown(_form(token, error.message, username, email), error.status)
        return _shown(_DONE.format(username=html.escape(user.username)), 201)

    return one


async def _needed(entrance: Entrance) -> bool:
    async with entrance.works.read(EVERYWHERE) as work:
        return await setup_needed(work)


def _form(token: str, wrong: str = "", username: str = "", email: str = "") -> str:
    given = {"token": token, "wrong": wrong, "username": username, "email": email}
    return _FORM.format(**{name: html.escape(value, quote=True) for name, value in given.items()})


def _shown(body: str, status: int = 200) -> HTMLResponse:
    return HTMLResponse(_PAGE.format(body=body), status, _HEADERS)

"""The kinds of message, and what is expected to become of each in each cell."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.matrix import notifications, questions, scenes
from tests.matrix.world import OLD, OLDEST, Scene
from toolyard.protocol.revisions import MODERN

CELLS = [(revision, era) for revision in (MODERN, OLD, OLDEST) for era in ("modern", "legacy")]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of message. `expected`: what becomes of it, by cell; where there is no such message, the cell is not in
    it."""

    name: str
    chinese: str
    scene: Callable[[Scene], Awaitable[str]]
    expected: dict[tuple[str, str], str]


def kind(
    name: str, chinese: str, scene: Callable[[Scene], Awaitable[str]], cells: str, oldest: str | None = None
) -> Kind:
    """`cells`: what is expected, for clients modern and of 2025-11-25, each before a modern and a legacy upstream;
    `oldest`: for clients of 2024-11-05, if it is something else than for those of 2025-11-25."""
    words = [word.strip() for word in cells.split("|")]
    words = words * 4 if len(words) == 1 else words
    last = [word.strip() for word in oldest.split("|")] if oldest is not None else words[2:]
    last = last * 2 if len(last) == 1 else last
    expected = dict(zip(CELLS, [*words, *last], strict=True))
    return Kind(name, chinese, scene, {cell: word for cell, word in expected.items() if word})


ASKED = "input_required | input_required | pushed | pushed"
CANNOT = "error -32600 | tool error"
"""A server learns that a client of 2024-11-05 cannot be asked this, and says so in its own way."""
CANNOT_BEGIN = "error -32600 | error -32603"

SECTIONS: tuple[tuple[str, str, tuple[Kind, ...]], ...] = (
    (
        "The beginning",
        "开始",
        (
            kind("capabilities and instructions", "能力与说明", scenes.begin,
                 "server/discover | server/discover | initialize | initialize"),
            kind("capabilities declared to the upstream", "向上游声明的能力", scenes.declared, "the caller's"),
            kind("`ping` of the client", "客户端的 `ping`", scenes.ping,
                 "error -32601 | error -32601 | answered | answered"),
            kind("`ping` of the upstream", "上游的 `ping`", scenes.ping_back,
                 "| answered by the gateway | | answered by the gateway"),
            kind("trace ids in `_meta`", "`_meta` 中的追踪标识", scenes.trace, "same"),
            kind("a method that does not exist", "不存在的方法", scenes.unknown_method, "error -32601"),
        ),
    ),
    (
        "Lists",
        "列表",
        (
            kind("`tools/list`", "`tools/list`", scenes.list_tools, "all, in pages"),
            kind("`resources/list`", "`resources/list`", scenes.list_resources, "all, in pages"),
            kind("`resources/templates/list`", "`resources/templates/list`", scenes.list_templates, "all, in pages"),
            kind("`prompts/list`", "`prompts/list`", scenes.list_prompts, "all, in pages"),
            kind("a cursor that was never given", "从未给出过的游标", scenes.bad_cursor, "error -32602"),
        ),
    ),
    (
        "Tools",
        "工具",
        (
            kind("`tools/call`", "`tools/call`", scenes.tool, "same"),
            kind("content: text, image, resource, audio, link", "内容:文本、图像、资源、音频、链接", scenes.content,
                 "same", "audio, links → text"),
            kind("structured content, an object", "结构化内容(对象)", scenes.structured, "same", "→ text"),
            kind("structured content, anything else", "结构化内容(其他类型)", scenes.structured_list,
                 "same | | → text | "),
            kind("a tool says that it failed", "工具报告失败", scenes.tool_error, "tool error"),
            kind("a tool that does not exist", "不存在的工具", scenes.unknown_tool, "error -32602"),
            kind("a JSON-RPC error of the upstream", "上游的 JSON-RPC 错误", scenes.upstream_error, "same"),
        ),
    ),
    (
        "Resources, prompts, completion",
        "资源、提示词、补全",
        (
            kind("`resources/read`, by URI and by template", "`resources/read`(URI 与模板)", scenes.read, "same"),
            kind("a resource that does not exist", "不存在的资源", scenes.missing_resource,
                 "error -32602 | error -32602 | error -32002 | error -32002"),
            kind("`prompts/get`", "`prompts/get`", scenes.prompt, "same"),
            kind("a prompt that does not exist", "不存在的提示词", scenes.unknown_prompt, "error -32602"),
            kind("`completion/complete`, for both kinds of reference", "`completion/complete`(两种引用)",
                 scenes.completion, "same"),
        ),
    ),
    (
        "Questions to the client",
        "向客户端提问",
        (
            kind("elicitation by form", "表单征询", questions.form, ASKED, CANNOT),
            kind("elicitation by URL", "URL 征询", questions.url, ASKED, CANNOT),
            kind("`notifications/elicitation/complete`", "`notifications/elicitation/complete`", questions.url_complete,
                 "| dropped | | same", "| tool error"),
            kind("the error `-32042`: visit a page first", "错误 `-32042`:先访问页面", questions.url_required,
                 "| → input_required | | error -32042", "| error -32603"),
            kind("sampling", "采样", questions.sampling, ASKED),
            kind("sampling with tools", "带工具的采样", questions.sampling_with_tools, ASKED),
            kind("roots", "根目录", questions.roots, ASKED),
            kind("`notifications/roots/list_changed`", "`notifications/roots/list_changed`", questions.roots_changed,
                 "| | dropped | same"),
            kind("a prompt that asks first", "先提问的提示词", questions.prompt_asks, ASKED, CANNOT_BEGIN),
            kind("a resource that asks first", "先提问的资源", questions.resource_asks, ASKED, CANNOT_BEGIN),
            kind("three questions at once", "同时三个问题", questions.three_at_once,
                 "3 in 1 input_required | 3 in 1 input_required | 3 pushed | 3 pushed", CANNOT),
            kind("two rounds of questions", "两轮提问", questions.two_rounds,
                 "2 input_required | 2 input_required | 2 pushed | 2 pushed", CANNOT),
            kind("answers sent ahead", "预先发送的答案", questions.ahead, "used | used | |"),
            kind("the user declines", "用户拒绝", questions.declined, "same", CANNOT),
            kind("the client answers with an error", "客户端以错误作答", questions.refused,
                 "| | error 400 | tool error"),
            kind("the client did not declare that it can be asked", "客户端未声明可被提问", questions.undeclared,
                 "error -32021 | tool error | error -32600 | tool error"),
            kind("the upstream asks all the same", "上游仍然提问", questions.undeclared_rudely,
                 "error -32603 | tool error | error -32603 | tool error"),
        ),
    ),
    (
        "Notifications",
        "通知",
        (
            kind("progress", "进度", notifications.progress, "same"),
            kind("cancellation", "取消", notifications.cancellation, "same"),
            kind("logs, with a level", "日志(指定级别)", notifications.log, "from the level asked for"),
            kind("logs, without a level", "日志(未指定级别)", notifications.log_unasked, "none | none | all | all"),
            kind("`logging/setLevel`", "`logging/setLevel`", notifications.set_level,
                 "error -32601 | error -32601 | answered | answered"),
            kind("changes of a watched resource", "被监视资源的变化", notifications.subscription,
                 "on a listen stream | on a listen stream | in the session | in the session"),
            kind("changes of the list of tools", "工具列表变化", notifications.tools_changed,
                 "on a listen stream | on a listen stream | in the session | in the session"),
            kind("changes of the list of resources", "资源列表变化", notifications.resources_changed,
                 "on a listen stream | on a listen stream | in the session | in the session"),
            kind("changes of the list of prompts", "提示词列表变化", notifications.prompts_changed,
                 "on a listen stream | on a listen stream | in the session | in the session"),
        ),
    ),
)  # fmt: skip
KINDS = [one for _, _, kinds in SECTIONS for one in kinds]

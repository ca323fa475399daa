"""The kinds of message, and what is expected to become of each in each cell."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from tests.matrix import notifications, questions, scenes, tasks
from tests.matrix.world import OLD, OLDER, Scene
from toolyard.protocol.revisions import MODERN

CELLS = [(revision, era) for revision in (MODERN, OLD) for era in ("modern", "legacy")]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of message. `expected`: what becomes of it, by cell; where there is no such message, the cell is not in
    it."""

    name: str
    chinese: str
    scene: Callable[[Scene], Awaitable[str]]
    expected: dict[tuple[str, str], str]


def kind(
    name: str,
    chinese: str,
    scene: Callable[[Scene], Awaitable[str]],
    cells: str,
    older: Mapping[str, str] = MappingProxyType({}),
) -> Kind:
    """`cells`: what is expected, for clients modern and of 2025-11-25, each before a modern and a legacy upstream.
    `older`: what else, from which revision of the client on downwards."""
    words = _words(cells, 4)
    expected = dict(zip(CELLS, words, strict=False))
    last = words[2:]
    for revision in OLDER:
        last = _words(older[revision], 2) if revision in older else last
        expected |= {(revision, "modern"): last[0], (revision, "legacy"): last[1]}
    return Kind(name, chinese, scene, {cell: word for cell, word in expected.items() if word})


def _words(text: str, count: int) -> list[str]:
    words = [word.strip() for word in text.split("|")]
    return words * count if len(words) == 1 else words


ASKED = "input_required | input_required | pushed | pushed"
CANNOT = "error -32600 | tool error"
"""A server learns that a client of this revision cannot be asked this, and says so in its own way."""
NO_ELICITATION = {"2025-03-26": CANNOT}
NO_ELICITATION_FIRST = {"2025-03-26": "error -32600 | error -32603"}
NO_MODES = {"2025-06-18": CANNOT}

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
            kind("content: text, image, resource, audio, link", "内容：文本、图像、资源、音频、链接", scenes.content,
                 "same", {"2025-03-26": "links → text", "2024-11-05": "audio, links → text"}),
            kind("structured content, an object", "结构化内容（对象）", scenes.structured, "same",
                 {"2025-03-26": "→ text"}),
            kind("structured content, anything else", "结构化内容（其他类型）", scenes.structured_list,
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
            kind("`resources/read`, by URI and by template", "`resources/read`（URI 与模板）", scenes.read, "same"),
            kind("a resource that does not exist", "不存在的资源", scenes.missing_resource,
                 "error -32602 | error -32602 | error -32002 | error -32002"),
            kind("`prompts/get`", "`prompts/get`", scenes.prompt, "same"),
            kind("a prompt that does not exist", "不存在的提示词", scenes.unknown_prompt, "error -32602"),
            kind("`completion/complete`, for both kinds of reference", "`completion/complete`（两种引用）",
                 scenes.completion, "same"),
        ),
    ),
    (
        "Questions to the client",
        "向客户端提问",
        (
            kind("elicitation by form", "表单征询", questions.form, ASKED, NO_ELICITATION),
            kind("elicitation by URL", "URL 征询", questions.url, ASKED, NO_MODES),
            kind("`notifications/elicitation/complete`", "`notifications/elicitation/complete`", questions.url_complete,
                 "| dropped | | same", {"2025-06-18": "| tool error"}),
            kind("the error `-32042`: visit a page first", "错误 `-32042`：先访问页面", questions.url_required,
                 "| → input_required | | error -32042", {"2025-06-18": "| error -32603"}),
            kind("sampling", "采样", questions.sampling, ASKED),
            kind("sampling with tools", "带工具的采样", questions.sampling_with_tools, ASKED, NO_MODES),
            kind("roots", "根目录", questions.roots, ASKED),
            kind("`notifications/roots/list_changed`", "`notifications/roots/list_changed`", questions.roots_changed,
                 "| | dropped | same"),
            kind("a prompt that asks first", "先提问的提示词", questions.prompt_asks, ASKED, NO_ELICITATION_FIRST),
            kind("a resource that asks first", "先提问的资源", questions.resource_asks, ASKED,
                 NO_ELICITATION_FIRST),
            kind("three questions at once", "同时三个问题", questions.three_at_once,
                 "3 in 1 input_required | 3 in 1 input_required | 3 pushed | 3 pushed", NO_ELICITATION),
            kind("two rounds of questions", "两轮提问", questions.two_rounds,
                 "2 input_required | 2 input_required | 2 pushed | 2 pushed", NO_ELICITATION),
            kind("answers sent ahead", "预先发送的答案", questions.ahead, "used | used | |"),
            kind("the user declines", "用户拒绝", questions.declined, "same", NO_ELICITATION),
            kind("the client answers with an error", "客户端以错误作答", questions.refused,
                 "| | error 400 | tool error"),
            kind("the client did not declare that it can be asked", "客户端未声明可被提问", questions.undeclared,
                 "error -32021 | tool error | error -32600 | tool error"),
            kind("sampling with tools, though only sampling was declared", "仅声明采样却被要求带工具采样",
                 questions.tools_undeclared_rudely, "error -32603 | tool error | error -32603 | tool error"),
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
            kind("logs, with a level", "日志（指定级别）", notifications.log, "from the level asked for"),
            kind("logs, without a level", "日志（未指定级别）", notifications.log_unasked, "none | none | all | all"),
            kind("`logging/setLevel`", "`logging/setLevel`", notifications.set_level,
                 "error -32601 | error -32601 | answered | answered"),
            kind("changes of a watched resource", "被监视资源的变化", notifications.subscription,
                 "on a listen stream | on a listen stream | in the session | in the session"),
            kind("watching a resource that does not exist", "监视不存在的资源", notifications.missing_subscription,
                 "not acknowledged | not acknowledged | error -32002 | error -32002"),
            kind("changes of the list of tools", "工具列表变化", notifications.tools_changed,
                 "on a listen stream | on a listen stream | in the session | in the session"),
            kind("changes of the list of resources", "资源列表变化", notifications.resources_changed,
                 "on a listen stream | on a listen stream | in the session | in the session"),
            kind("changes of the list of prompts", "提示词列表变化", notifications.prompts_changed,
                 "on a listen stream | on a listen stream | in the session | in the session"),
        ),
    ),
    (
        "Tasks",
        "任务",
        (
            kind("a slow tool that the gateway makes tasks of", "由网关转为任务的慢工具", tasks.made,
                 "task | task | waited for | waited for"),
            kind("a task of the upstream", "上游自己的任务", tasks.of_upstream, "task | | waited for |"),
            kind("`tasks/cancel`", "`tasks/cancel`", tasks.cancelled, "same | same | |"),
            kind("a task that does not exist", "不存在的任务", tasks.unknown, "error -32602 | error -32602 | |"),
            kind("`tasks/get` of a client that declared no tasks", "未声明任务的客户端的 `tasks/get`", tasks.undeclared,
                 "error -32021 | error -32021 | error -32601 | error -32601"),
        ),
    ),
)  # fmt: skip
KINDS = [one for _, _, kinds in SECTIONS for one in kinds]

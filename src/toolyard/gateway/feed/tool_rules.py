"""What an entry of `upstreams` says of its tools: on or off, how long a call may take, when it becomes a task, and how
it is tagged."""

from __future__ import annotations

from toolyard.contract.snapshot import TaskRule, ToolRule, UpstreamSpec
from toolyard.contract.tags import MAX_TAGS, tag_problem
from toolyard.gateway.feed.document import Section
from toolyard.kit.quantities import seconds, switch

TASK_WORDS = {
    "off": TaskRule(),
    "always": TaskRule(after_s=0.0),
    "required": TaskRule(after_s=0.0, required=True),
}


def tool_rules(entry: Section, longest_s: float) -> dict[str, ToolRule]:
    """The rules under `tools`, by the tools' own names; problems go to the section's document."""
    section = entry.section("tools")
    rules = {}
    for name, node in section.items():
        if isinstance(node.value, str):
            enabled = section.document.parsed(node, section.path(name), switch)
            rules[name] = ToolRule(enabled=enabled is not False)
            continue
        rule = section.document.section(node, section.path(name))
        limit = rule.take("timeout")
        limit_s = None
        if limit:
            limit_s = rule.document.parsed(limit, rule.path("timeout"), lambda text: timeout(text, longest_s))
        task = rule.take("task")
        rules[name] = ToolRule(
            enabled=rule.parsed("enabled", switch, default=True),
            timeout_s=limit_s,
            task=rule.document.parsed(task, rule.path("task"), task_rule) if task else None,
            tags=tags(rule),
        )
        rule.close()
    return rules


def tags(entry: Section) -> tuple[str, ...]:
    """The list under `tags`, each once and in order; problems go to the section's document."""
    found = sorted(set(entry.texts("tags") or ()))
    for wrong in (problem for tag in found if (problem := tag_problem(tag)) is not None):
        entry.complain("tags", wrong)
    if len(found) > MAX_TAGS:
        entry.complain("tags", f"has {len(found)} tags; {MAX_TAGS} are the most")
    return tuple(found)


def timeout(text: str, longest_s: float) -> float:
    """Seconds, more than nothing and at most `longest_s`."""
    value = seconds(text)
    if not 0 < value <= longest_s:
        raise ValueError(f"'{text}' is not a time limit: more than 0 and at most {longest_s:g} s")
    return value


def task_rule(text: str) -> TaskRule:
    """`off`, `always`, `required`, or the time after which a call becomes a task. Raises ValueError."""
    known = TASK_WORDS.get(text.strip().lower())
    if known is not None:
        return known
    try:
        return TaskRule(after_s=seconds(text))
    except ValueError:
        raise ValueError(f"'{text}' is not one of {', '.join(TASK_WORDS)}, nor a duration such as 5s") from None


def check_task_times(entry: Section, spec: UpstreamSpec) -> None:
    """Complain about times after which a call would have ended by its own time limit."""
    if spec.tasks.after_s is not None and spec.tasks.after_s >= spec.timeout_s:
        entry.complain("tasks", f"a call ends after {spec.timeout_s:g} s (`timeout`), before it would become a task")
    for name, rule in spec.tools.items():
        limit_s = spec.timeout_s if rule.timeout_s is None else rule.timeout_s
        if rule.task is not None and rule.task.after_s is not None and rule.task.after_s >= limit_s:
            problem = f"a call of {name} ends after {limit_s:g} s (`timeout`), before it would become a task"
            entry.complain("tools", problem)
